import Tensors

/// Turns prompts into the embeddings that the transformer reads.
///
/// The text encoder lives only as long as this value does: encode all prompts, then let it go before the transformer is
/// opened.
public struct TextEncoding {
    private let tokenizer: SentencePieceTokenizer
    private let encoder: T5Encoder
    private let maxLength: Int

    /// Opens the tokenizer and the text encoder of a model.
    ///
    /// - Throws: ``ModelsError``, also if the two do not belong together; `TensorsError`.
    public init(model: ModelFolder) throws {
        tokenizer = try SentencePieceTokenizer(folder: model.folder("tokenizer"))
        encoder = try T5Encoder(folder: model.folder("text_encoder"))
        try tokenizer.checkPieces(fit: encoder.vocabulary)
        maxLength = model.maxTextLength
    }

    /// The embedding of a prompt: the encoder's output for the tokens that are not padding, [S, d_model].
    ///
    /// - Parameters:
    ///   - prompt: Lower-cased and stripped as the PixArt pipelines do.
    ///   - maxLength: The number of tokens that a longer prompt is cut to; nil for the family's own.
    /// - Returns: One row for each token that is not padding.
    /// - Throws: ``ModelsError/invalidArgument(_:)`` for an id beyond the encoder's vocabulary.
    public func embed(_ prompt: String, maxLength: Int? = nil) throws -> Matrix {
        let text = tokenizer.encode(TextEncoding.cleaned(prompt), maxLength: maxLength ?? self.maxLength)
        return try encoder.encode(ids: Array(text.ids.prefix(text.tokenCount)), attendedCount: text.tokenCount)
    }

    /// The prompt as the PixArt pipelines pass it on without their optional HTML cleaning: Python's `lower().strip()`.
    public static func cleaned(_ prompt: String) -> String {
        prompt.pythonLowercased.pythonStripped
    }
}
