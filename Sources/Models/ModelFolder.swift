import Foundation

/// A text-to-image model in the diffusers directory layout.
public struct ModelFolder: Sendable {
    /// The folder that holds `model_index.json`.
    public let path: String
    /// The length that prompts are padded to: 120 for PixArt-alpha, 300 for PixArt-Sigma.
    public let maxTextLength: Int

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
            "_class_name", oneOf: ["PixArtAlphaPipeline", "PixArtSigmaPipeline"], default: "PixArtAlphaPipeline")
        maxTextLength = pipeline == "PixArtSigmaPipeline" ? 300 : 120
    }

    /// A sub-folder such as `transformer` or `vae`.
    public func folder(_ name: String) -> String { "\(path)/\(name)" }
}
