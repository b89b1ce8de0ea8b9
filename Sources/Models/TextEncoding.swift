import ModelConfiguration

/// Turns prompts into the embeddings that the transformer reads.
///
/// The text encoders live only as long as this value does: encode all prompts, then let it go before the transformer is
/// opened.
public struct TextEncoding {
    private struct CLIP {
        let tokenizer: CLIPTokenizer
        let encoder: CLIPTextEncoder
    }

    private let tokenizer: T5Tokenizer
    private let encoder: T5Encoder
    /// FLUX reads CLIP's pooled output beside T5's.
    private let clip: CLIP?
    private let maxLength: Int

    /// Opens the tokenizers and the text encoders of a model.
    ///
    /// - Throws: ``ModelsError``, also if a tokenizer does not belong to its encoder; `TensorsError`.
    public init(model: ModelFolder) throws {
        let suffix = model.family == .flux ? "_2" : ""
        tokenizer = try T5Tokenizer(folder: model.folder("tokenizer\(suffix)"))
        encoder = try T5Encoder(folder: model.folder("text_encoder\(suffix)"))
        try tokenizer.checkPieces(fit: encoder.vocabulary)
        maxLength = model.maxTextLength
        clip = try model.family == .flux ? Self.openCLIP(model) : nil
    }

    private static func openCLIP(_ model: ModelFolder) throws -> CLIP {
        let clip = CLIP(
            tokenizer: try CLIPTokenizer(folder: model.folder("tokenizer")),
            encoder: try CLIPTextEncoder(folder: model.folder("text_encoder")))
        try clip.tokenizer.checkTokens(fit: clip.encoder.vocabulary)
        return clip
    }

    /// The embedding of a prompt.
    ///
    /// - Parameters:
    ///   - prompt: Lower-cased and stripped as the PixArt pipelines do; the FLUX pipeline takes it as it is.
    ///   - maxLength: The number of T5's tokens that a longer prompt is cut to; nil for the family's own.
    /// - Returns: One row for each token: for PixArt without padding, which its transformer would not attend to, for FLUX with it.
    /// - Throws: ``ModelsError/invalidArgument(_:)`` for an id beyond an encoder's vocabulary.
    public func embed(_ prompt: String, maxLength: Int? = nil) throws -> PromptEmbedding {
        let length = maxLength ?? self.maxLength
        guard let clip else {
            let text = tokenizer.encode(TextEncoding.cleaned(prompt), maxLength: length)
            let ids = Array(text.ids.prefix(text.tokenCount))
            return PromptEmbedding(text: try encoder.encode(ids: ids, attendedCount: ids.count))
        }
        let ids = tokenizer.encode(prompt, maxLength: length).ids
        return PromptEmbedding(
            text: try encoder.encode(ids: ids, attendedCount: ids.count),
            pooled: try clip.encoder.encode(ids: clip.tokenizer.encode(prompt).ids).pooled)
    }

    /// The prompt as the PixArt pipelines pass it on without their optional HTML cleaning: Python's `lower().strip()`.
    public static func cleaned(_ prompt: String) -> String {
        prompt.pythonLowercased.pythonStripped
    }
}
