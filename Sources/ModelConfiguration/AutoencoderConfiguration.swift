/// `vae/config.json` of a latent autoencoder (diffusers: `AutoencoderKL`), as far as decoding needs it.
public struct AutoencoderConfiguration: Hashable, Sendable {
    /// Channels of the latents (`latent_channels`).
    public let latentChannels: Int
    /// Factor of the latents after encoding (`scaling_factor`); decoding divides by it.
    public let scalingFactor: Float
    /// Subtracted from the latents before scaling (`shift_factor`); 0 for PixArt.
    public let shiftFactor: Float
    /// Pixels along each side of a native image (`sample_size`).
    public let sampleSize: Int
    /// Channels of the blocks, from the image inwards (`block_out_channels`); 1 to 8 blocks.
    public let blockChannels: [Int]
    /// ResNet blocks of one encoder block (`layers_per_block`); a decoder block has one more.
    public let layersPerBlock: Int
    /// Groups of the group norms (`norm_num_groups`).
    public let groups: Int
    /// Whether the decoder begins with a 1 x 1 convolution (`use_post_quant_conv`).
    public let usesPostQuantConvolution: Bool
    /// Whether the middle block has an attention (`mid_block_add_attention`).
    public let hasMiddleAttention: Bool

    /// Image pixels for each latent pixel, along each side.
    public var scale: Int { 1 << (blockChannels.count - 1) }

    /// Reads a configuration with the defaults of diffusers.
    ///
    /// - Throws: `JSONError` for another class, unsupported blocks and values out of range.
    public init(_ configuration: Configuration) throws {
        let c = configuration
        try c.require("_class_name", oneOf: ["AutoencoderKL"], default: "AutoencoderKL")
        latentChannels = try c.count("latent_channels", default: 4)
        scalingFactor = Float(try c.positive("scaling_factor", default: 0.18215))
        shiftFactor = Float(try c.double("shift_factor", default: 0))
        sampleSize = try c.count("sample_size", default: 32, in: 1...65_536)
        blockChannels = try c.counts("block_out_channels")
        layersPerBlock = try c.count("layers_per_block", default: 1)
        groups = try c.count("norm_num_groups", default: 32)
        usesPostQuantConvolution = try c.bool("use_post_quant_conv", default: true)
        hasMiddleAttention = try c.bool("mid_block_add_attention", default: true)
        try c.require("act_fn", oneOf: ["silu"], default: "silu")
        if let other = try c.list("up_block_types", default: []).first(where: { $0 != "UpDecoderBlock2D" }) {
            throw c.mismatch(
                "up_block_types", found: "\"\(other)\"", expected: "UpDecoderBlock2D for every block")
        }
        let groups = groups
        guard blockChannels.count <= 8, blockChannels.allSatisfy({ $0 % groups == 0 }) else {
            throw c.mismatch(
                "block_out_channels", found: blockChannels,
                expected: "up to 8 channel counts that are multiples of norm_num_groups = \(groups)")
        }
    }
}
