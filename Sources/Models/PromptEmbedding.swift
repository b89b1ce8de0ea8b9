import Tensors

/// A prompt as the text encoders give it.
public struct PromptEmbedding: Sendable {
    /// T5's output, [S, d_model]: for PixArt of the tokens that are not padding, for FLUX of all.
    public let text: Matrix
    /// CLIP's pooled output, [1, D]; only FLUX has it.
    public let pooled: Matrix?

    /// An embedding of its parts.
    public init(text: Matrix, pooled: Matrix? = nil) {
        self.text = text
        self.pooled = pooled
    }
}
