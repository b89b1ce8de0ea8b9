import JSON

/// `transformer/config.json` of a PixArt transformer (diffusers: `PixArtTransformer2DModel`).
public struct PixArtConfiguration: Hashable, Sendable {
    /// Number of blocks (`num_layers`).
    public let blockCount: Int
    /// Number of attention heads (`num_attention_heads`).
    public let headCount: Int
    /// Channels of one head (`attention_head_dim`).
    public let headDimension: Int
    /// Channels of the latents (`in_channels`).
    public let inChannels: Int
    /// Channels of the output (`out_channels`): the predicted noise, and in published models a variance that samplers
    /// ignore.
    public let outChannels: Int
    /// Latent pixels along each side of a patch (`patch_size`).
    public let patchSize: Int
    /// Latent pixels along each side of a native image (`sample_size`).
    public let sampleSize: Int
    /// Scale of the position embedding at other image sizes (`interpolation_scale`).
    public let interpolationScale: Double
    /// Channels of the text encoder's output (`caption_channels`).
    public let captionChannels: Int
    /// Whether resolution and aspect ratio are inputs (`use_additional_conditions`), as in 1024-MS.
    public let usesAdditionalConditions: Bool
    /// Epsilon of the layer norms (`norm_eps`).
    public let normEpsilon: Float

    /// D: channels of the hidden states, and of the text in the blocks (`cross_attention_dim`).
    public var width: Int { headCount * headDimension }

    /// Reads a configuration with the defaults of diffusers.
    ///
    /// - Throws: `JSONError` for another class, values out of range and values that do not fit each other.
    public init(_ configuration: Configuration) throws {
        let c = configuration
        // Files from before diffusers 0.28 have the class of all transformers, and PixArt's kind of norm.
        let className = try c.require("_class_name", oneOf: ["PixArtTransformer2DModel", "Transformer2DModel"])
        let isLegacy = className == "Transformer2DModel"
        try c.require("norm_type", oneOf: ["ada_norm_single"], default: isLegacy ? nil : "ada_norm_single")
        try c.require("activation_fn", oneOf: ["gelu-approximate"], default: "gelu-approximate")
        blockCount = try c.count("num_layers", default: 28, in: 1...TransformerConfiguration.blockLimit)
        headCount = try c.count("num_attention_heads", default: 16, in: TransformerConfiguration.headRange)
        headDimension = try c.count("attention_head_dim", default: 72, in: TransformerConfiguration.headRange)
        inChannels = try c.count("in_channels", default: 4, in: TransformerConfiguration.channelRange)
        // An absent key is the default of 8; null means as many as `in_channels`.
        let outDefault = c.object["out_channels"] == .null ? inChannels : 8
        outChannels = try c.count("out_channels", default: outDefault, in: TransformerConfiguration.channelRange)
        patchSize = try c.count("patch_size", default: 2, in: 1...64)
        sampleSize = try c.count("sample_size", default: 128, in: 1...65_536)
        interpolationScale = try c.positive("interpolation_scale", default: Double(max(sampleSize / 64, 1)))
        captionChannels = try c.count("caption_channels", in: TransformerConfiguration.widthRange)
        usesAdditionalConditions = try c.bool("use_additional_conditions", default: sampleSize == 128)
        normEpsilon = Float(try c.positive("norm_eps", default: 1e-6))
        let width = headCount * headDimension
        let divisor = usesAdditionalConditions ? 12 : 4
        guard TransformerConfiguration.widthRange.contains(width), width % divisor == 0 else {
            throw c.mismatch(
                "num_attention_heads * attention_head_dim", found: width,
                expected: "a multiple of \(divisor) up to \(TransformerConfiguration.widthRange.upperBound)")
        }
        let crossAttentionWidth = try c.count("cross_attention_dim", default: 1152)
        guard crossAttentionWidth == width else {
            throw c.mismatch(
                "cross_attention_dim", found: crossAttentionWidth,
                expected: "num_attention_heads * attention_head_dim = \(width)")
        }
    }
}
