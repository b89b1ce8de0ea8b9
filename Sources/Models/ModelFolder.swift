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

    /// The length that T5's prompts are padded to.
    public var maxTextLength: Int {
        switch family {
        case .pixartAlpha: 120
        case .pixartSigma: 300
        case .flux: 512
        }
    }

    /// Looks at a model directory; nothing but `model_index.json` is read.
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
    }

    /// A sub-folder such as `transformer` or `vae`.
    public func folder(_ name: String) -> String { "\(path)/\(name)" }
}
