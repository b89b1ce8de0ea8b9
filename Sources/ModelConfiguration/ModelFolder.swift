import Basics

/// A family of text-to-image models.
public enum ModelFamily: String, CaseIterable, Codable, Sendable {
    /// PixArt-alpha: up to 120 text tokens.
    case pixartAlpha = "pixart-alpha"
    /// PixArt-Sigma: up to 300 text tokens.
    case pixartSigma = "pixart-sigma"
    /// FLUX.1: up to 512 text tokens; the raw value names the variant with distilled guidance.
    case flux = "flux-dev"
}

/// A text-to-image model in the diffusers directory layout.
public struct ModelFolder: Sendable {
    private static let pipelines: [String: ModelFamily] = [
        "PixArtAlphaPipeline": .pixartAlpha, "PixArtSigmaPipeline": .pixartSigma, "FluxPipeline": .flux,
    ]

    /// The directory with `model_index.json`.
    public let path: String
    /// The family of the pipeline's class.
    public let family: ModelFamily
    /// Tokens that T5's prompts are padded to: the pipeline's default, for FLUX at most the limit of its T5 tokenizer.
    ///
    /// FLUX attends to padding, so a model trained with fewer tokens must be given fewer.
    public let maxTextLength: Int

    /// Reads `model_index.json` and FLUX's `tokenizer_2/tokenizer_config.json`.
    ///
    /// - Throws: `FileError`, `JSONError`; among others for the pipeline of another family.
    public init(path: String) throws {
        self.path = path
        let index = try Configuration(
            path: "\(path)/model_index.json", expected: "a model directory in the diffusers layout")
        let pipeline = try index.require(
            "_class_name", oneOf: Self.pipelines.keys.sorted(), default: "PixArtAlphaPipeline")
        family = Self.pipelines[pipeline] ?? .pixartAlpha
        maxTextLength =
            switch family {
            case .pixartAlpha: 120
            case .pixartSigma: 300
            case .flux: try Self.fluxTextLength(path)
            }
    }

    private static func fluxTextLength(_ path: String) throws -> Int {
        let (longest, file) = (512.0, "\(path)/tokenizer_2/tokenizer_config.json")
        guard FileContents.exists(file) else { return Int(longest) }
        // transformers writes 1e30 for an unknown length.
        return Int(min(longest, max(1, try Configuration(path: file).double("model_max_length", default: longest))))
    }

    /// The path of a subdirectory such as `transformer` or `vae`.
    public func folder(_ name: String) -> String { "\(path)/\(name)" }

    /// Reads the configuration of a subdirectory.
    ///
    /// - Throws: `FileError`, `JSONError`.
    public func configuration(_ name: String) throws -> Configuration {
        try Configuration(path: "\(folder(name))/config.json")
    }
}
