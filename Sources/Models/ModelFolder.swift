import Foundation

/// A family of text-to-image models.
public enum ModelFamily: Sendable, Equatable {
    /// PixArt-alpha.
    case pixartAlpha
    /// PixArt-Sigma.
    case pixartSigma
    /// FLUX.1.
    case flux

    /// The scale of guidance that the original pipelines have by default.
    public var guidanceScale: Float { self == .flux ? 3.5 : 4.5 }
}

/// A text-to-image model in the diffusers directory layout.
public struct ModelFolder: Sendable {
    /// The folder that holds `model_index.json`.
    public let path: String
    /// What the pipeline's class says.
    public let family: ModelFamily

    /// The length that T5's prompts are padded to: the pipeline's default, for FLUX no more than its T5 tokenizer states.
    ///
    /// FLUX attends to padding, so a model trained with fewer tokens wants that many.
    public let maxTextLength: Int

    /// Looks at a model directory; nothing but `model_index.json` and FLUX's T5 tokenizer configuration is read.
    ///
    /// - Throws: ``ModelsError`` if the folder is none or holds a model of another family.
    public init(path: String) throws {
        self.path = path
        guard FileManager.default.fileExists(atPath: "\(path)/model_index.json") else {
            throw ModelsError.missingFile(
                path: "\(path)/model_index.json", expected: "a model directory in the diffusers layout")
        }
        let index = try Configuration(path: "\(path)/model_index.json")
        let pipeline = try index.require(
            "_class_name", oneOf: ["PixArtAlphaPipeline", "PixArtSigmaPipeline", "FluxPipeline"],
            default: "PixArtAlphaPipeline")
        family =
            switch pipeline {
            case "FluxPipeline": .flux
            case "PixArtSigmaPipeline": .pixartSigma
            default: .pixartAlpha
            }
        maxTextLength =
            switch family {
            case .pixartAlpha: 120
            case .pixartSigma: 300
            case .flux: try Self.fluxTextLength(path)
            }
    }

    private static func fluxTextLength(_ path: String) throws -> Int {
        let (longest, file) = (512.0, "\(path)/tokenizer_2/tokenizer_config.json")
        guard FileManager.default.fileExists(atPath: file) else { return Int(longest) }
        // transformers writes 1e30 for a length that it does not know.
        return Int(min(longest, max(1, try Configuration(path: file).double("model_max_length", default: longest))))
    }

    /// A sub-folder such as `transformer` or `vae`.
    public func folder(_ name: String) -> String { "\(path)/\(name)" }
}
