/// The dimensions of a PixArt transformer that its cost depends on (diffusers: `PixArtTransformer2DModel`).
public struct PixArtArchitecture: Hashable, Codable, Sendable {
    /// Number of blocks (`num_layers`).
    public var layerCount: Int
    /// Number of attention heads (`num_attention_heads`).
    public var headCount: Int
    /// Channels of one head (`attention_head_dim`).
    public var headDimension: Int
    /// Channels of the latents (`in_channels`).
    public var inChannels: Int
    /// Channels of the output: twice the latents' where the variance is predicted too (`out_channels`).
    public var outChannels: Int
    /// Edge of the square of latents that makes one token (`patch_size`).
    public var patchSize: Int
    /// Channels of the text that the blocks see (`cross_attention_dim`).
    public var crossAttentionDimension: Int
    /// Channels of the text encoder's output (`caption_channels`); nil where it is used unprojected.
    public var captionChannels: Int?
    /// Whether the model is told resolution and aspect ratio (`use_additional_conditions`).
    public var usesAdditionalConditions: Bool
    /// Rows of the latents.
    public var latentHeight: Int
    /// Columns of the latents.
    public var latentWidth: Int
    /// Text tokens: 120 for PixArt-alpha, 300 for PixArt-Sigma.
    ///
    /// The published counts have 120 for Sigma too.
    public var textLength: Int

    /// Channels of the hidden states.
    public var hiddenDimension: Int { headCount * headDimension }

    /// Number of image tokens.
    public var imageTokens: Int { (latentHeight / patchSize) * (latentWidth / patchSize) }

    /// Multiply-adds of one step for a batch of latents, 2 for an image with guidance and 1 without.
    ///
    /// Letters: B batch, T image tokens, L text tokens, D hidden, X text channels in the blocks, C caption channels.
    func costs(batch: Int) -> StepCosts {
        let (b, t, l, d, x) = (batch, imageTokens, textLength, hiddenDimension, crossAttentionDimension)
        let patch = patchSize * patchSize
        var always = b * t * patch * inChannels * d  // patch embedding
        always += b * (256 * d + d * d)  // timestep
        if usesAdditionalConditions {
            // Height, width and aspect ratio each pass an MLP of a third of the hidden channels.
            let third = d / 3
            always += 3 * b * (256 * third + third * third)
        }
        always += b * d * 6 * d  // adaLN-single
        if let captionChannels { always += b * l * (captionChannels * d + d * d) }
        always += b * t * d * patch * outChannels  // output head
        return StepCosts(
            always: always,
            components: [
                .attn1: 4 * b * t * d * d,  // query, key, value, output
                .attn2: 2 * b * t * d * d + 2 * b * l * x * d,  // query, output; key, value of the text
                .ff: 2 * b * t * d * 4 * d,
            ],
            attentionProducts: [.attn1: 2 * b * t * t * d, .attn2: 2 * b * t * l * d])
    }
}
