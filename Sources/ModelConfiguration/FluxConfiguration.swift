import JSON

/// `transformer/config.json` of a FLUX.1 transformer (diffusers: `FluxTransformer2DModel`).
public struct FluxConfiguration: Hashable, Sendable {
    /// Latent pixels along each side of a patch: the pipeline packs 2 x 2, so the transformer's own `patch_size` is 1.
    public static let patchSize = 2

    /// Number of double-stream blocks (`num_layers`).
    public let fullBlockCount: Int
    /// Number of single-stream blocks (`num_single_layers`).
    public let singleBlockCount: Int
    /// Number of attention heads (`num_attention_heads`).
    public let headCount: Int
    /// Channels of one head (`attention_head_dim`).
    public let headDimension: Int
    /// Channels of a head that the rotary position embedding rotates by index, row and column (`axes_dims_rope`).
    public let rotaryDimensions: [Int]
    /// Channels of the packed latents, in and out (`in_channels`, `out_channels`).
    public let patchChannels: Int
    /// Channels of T5's output (`joint_attention_dim`).
    public let textWidth: Int
    /// Channels of CLIP's pooled output (`pooled_projection_dim`).
    public let pooledWidth: Int
    /// Whether the guidance scale is an input (`guidance_embeds`), as in FLUX.1-dev.
    public let embedsGuidance: Bool

    /// D: channels of the hidden states.
    public var width: Int { headCount * headDimension }
    /// Channels of the latents before packing.
    public var latentChannels: Int { patchChannels / (Self.patchSize * Self.patchSize) }

    /// Reads a configuration with the defaults of diffusers.
    ///
    /// - Throws: `JSONError` for another class, values out of range and values that do not fit each other.
    public init(_ configuration: Configuration) throws {
        let c = configuration
        let (blockLimit, headRange) = (TransformerConfiguration.blockLimit, TransformerConfiguration.headRange)
        let widthRange = TransformerConfiguration.widthRange
        try c.require("_class_name", oneOf: ["FluxTransformer2DModel"])
        fullBlockCount = try c.count("num_layers", default: 19, in: 0...blockLimit)
        singleBlockCount = try c.count("num_single_layers", default: 38, in: 0...blockLimit)
        headCount = try c.count("num_attention_heads", default: 24, in: headRange)
        headDimension = try c.count("attention_head_dim", default: 128, in: headRange)
        rotaryDimensions = try c.counts("axes_dims_rope", default: [16, 56, 56])
        patchChannels = try c.count("in_channels", default: 64, in: TransformerConfiguration.channelRange)
        // Absent and null both mean as many as `in_channels`.
        let outChannels = try c.count("out_channels", default: patchChannels)
        textWidth = try c.count("joint_attention_dim", default: 4096, in: widthRange)
        pooledWidth = try c.count("pooled_projection_dim", default: 768, in: widthRange)
        embedsGuidance = try c.bool("guidance_embeds", default: false)
        _ = try c.count("patch_size", default: 1, in: 1...1)

        guard (1...blockLimit).contains(fullBlockCount + singleBlockCount) else {
            throw c.mismatch(
                "num_layers + num_single_layers", found: fullBlockCount + singleBlockCount,
                expected: "an integer from 1 to \(blockLimit)")
        }
        guard widthRange.contains(headCount * headDimension) else {
            throw c.mismatch(
                "num_attention_heads * attention_head_dim", found: headCount * headDimension,
                expected: "at most \(widthRange.upperBound)")
        }
        guard patchChannels % (Self.patchSize * Self.patchSize) == 0 else {
            throw c.mismatch("in_channels", found: patchChannels, expected: "a multiple of 4, the pixels of a patch")
        }
        guard outChannels == patchChannels else {
            throw c.mismatch("out_channels", found: outChannels, expected: "in_channels = \(patchChannels)")
        }
        guard rotaryDimensions.count == 3, rotaryDimensions.allSatisfy({ $0 % 2 == 0 }),
            rotaryDimensions.reduce(0, +) == headDimension
        else {
            throw c.mismatch(
                "axes_dims_rope", found: rotaryDimensions,
                expected: "three even numbers that add up to attention_head_dim = \(headDimension)")
        }
    }
}
