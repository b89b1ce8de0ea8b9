/// The sizes of a PixArt transformer, from `transformer/config.json` of diffusers.
public struct PixArtSettings: Sendable, Equatable {
    /// The number of transformer blocks.
    public let blockCount: Int
    /// The number of attention heads.
    public let headCount: Int
    /// The width of a head.
    public let headDimension: Int
    /// The channels of the latents that go in.
    public let inChannels: Int
    /// The channels that come out: noise, and a variance that the sampler does not read.
    public let outChannels: Int
    /// The side of a patch in latent pixels.
    public let patchSize: Int
    /// The native side of the latents.
    public let sampleSize: Int
    /// The stretch of the position embedding at sizes other than the native one.
    public let interpolationScale: Double
    /// The width of the text encoder's output.
    public let captionChannels: Int
    /// True for 1024-MS: resolution and aspect ratio are embedded beside the timestep.
    public let usesAdditionalConditions: Bool
    /// The epsilon of the layer norms.
    public let normEpsilon: Float

    /// D: the width of the hidden states.
    public var width: Int { headCount * headDimension }

    /// Reads a configuration; rules for absent keys are those of `PixArtTransformer2DModel`.
    ///
    /// - Throws: ``ModelsError`` for a missing key or a transformer of another family.
    public init(_ configuration: Configuration) throws {
        let className = try configuration.string("_class_name", default: "PixArtTransformer2DModel")
        // Published files carry the class name of before diffusers 0.28; it is PixArt if its norm is `ada_norm_single`.
        let isLegacy = className == "Transformer2DModel"
        guard className == "PixArtTransformer2DModel" || isLegacy else {
            throw ModelsError.invalidValue(
                path: configuration.path, key: "_class_name", expected: "PixArtTransformer2DModel",
                found: "\"\(className)\"")
        }
        let norm = isLegacy ? "layer_norm" : "ada_norm_single"
        _ = try configuration.require("norm_type", oneOf: ["ada_norm_single"], default: norm)
        _ = try configuration.require("activation_fn", oneOf: ["gelu-approximate"], default: "gelu-approximate")
        headCount = try configuration.count("num_attention_heads", default: 16)
        headDimension = try configuration.count("attention_head_dim", default: 72)
        blockCount = try configuration.count("num_layers", default: 28, in: 1...1000)
        inChannels = try configuration.count("in_channels", default: 4)
        outChannels = try configuration.count("out_channels", default: 8)
        patchSize = try configuration.count("patch_size", default: 2)
        sampleSize = try configuration.count("sample_size", default: 128)
        captionChannels = try configuration.count("caption_channels", default: 4096)
        interpolationScale = try configuration.positive(
            "interpolation_scale", default: Double(max(sampleSize / 64, 1)))
        usesAdditionalConditions = try configuration.bool("use_additional_conditions", default: sampleSize == 128)
        normEpsilon = Float(try configuration.positive("norm_eps", default: 1e-6))
        let crossAttentionWidth = try configuration.int("cross_attention_dim", default: width)
        guard crossAttentionWidth == width else {
            throw ModelsError.invalidValue(
                path: configuration.path, key: "cross_attention_dim",
                expected: "num_attention_heads * attention_head_dim = \(width)", found: "\(crossAttentionWidth)")
        }
        let divisor = usesAdditionalConditions ? 12 : 4
        guard width % divisor == 0 else {
            throw ModelsError.invalidValue(
                path: configuration.path, key: "attention_head_dim",
                expected: "a width, num_attention_heads * attention_head_dim, that divides by \(divisor)",
                found: "\(headDimension), which makes a width of \(width)")
        }
    }
}
