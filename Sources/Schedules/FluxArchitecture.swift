/// The dimensions of a FLUX transformer that its cost depends on (diffusers: `FluxTransformer2DModel`).
public struct FluxArchitecture: Hashable, Codable, Sendable {
    /// Number of double-stream blocks (`num_layers`).
    public var fullLayerCount: Int
    /// Number of single-stream blocks (`num_single_layers`).
    public var singleLayerCount: Int
    /// Number of attention heads (`num_attention_heads`).
    public var headCount: Int
    /// Channels of one head (`attention_head_dim`).
    public var headDimension: Int
    /// Channels of one packed 2 x 2 square of latents (`in_channels`).
    public var inChannels: Int
    /// Channels of the output (`out_channels`).
    public var outChannels: Int
    /// Channels of the text encoder's output (`joint_attention_dim`).
    public var jointAttentionDimension: Int
    /// Channels of the pooled text (`pooled_projection_dim`).
    public var pooledProjectionDimension: Int
    /// Whether the guidance scale is an input of the model (`guidance_embeds`).
    public var guidanceEmbeds: Bool
    /// Rows of the unpacked latents.
    public var latentHeight: Int
    /// Columns of the unpacked latents.
    public var latentWidth: Int
    /// Text tokens.
    public var textLength: Int

    /// Channels of the hidden states.
    public var hiddenDimension: Int { headCount * headDimension }

    /// Number of image tokens: one for every 2 x 2 latents.
    public var imageTokens: Int { (latentHeight / 2) * (latentWidth / 2) }

    /// Multiply-adds of one step for a batch of images.
    ///
    /// Letters: B batch, T image tokens, L text tokens, S = T + L, D hidden.
    func costs(batch: Int) -> StepCosts {
        let (b, t, l, d) = (batch, imageTokens, textLength, hiddenDimension)
        let s = t + l
        var always = b * t * inChannels * d  // image embedding
        always += b * l * jointAttentionDimension * d  // text embedding
        always += b * (256 * d + d * d)  // timestep
        if guidanceEmbeds { always += b * (256 * d + d * d) }
        always += b * (pooledProjectionDimension * d + d * d)
        always += fullLayerCount * 2 * b * d * 6 * d  // adaLN-zero of image and text
        always += singleLayerCount * b * d * 3 * d  // adaLN-zero-single
        always += b * d * 2 * d  // output norm
        always += b * t * d * outChannels
        let attention = 2 * b * s * s * d
        return StepCosts(
            always: always,
            components: [
                .fullAttn: 4 * b * s * d * d,
                .fullFF: 2 * b * t * d * 4 * d,
                .fullFFContext: 2 * b * l * d * 4 * d,
                .singleAttn: 3 * b * s * d * d,  // no output projection
                .singleProjMLP: b * s * d * 4 * d,
                .singleProjOut: b * s * (d + 4 * d) * d,
            ],
            attentionProducts: [.fullAttn: attention, .singleAttn: attention])
    }
}
