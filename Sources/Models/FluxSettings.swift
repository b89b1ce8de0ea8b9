/// The sizes of a FLUX transformer, from `transformer/config.json` of diffusers.
public struct FluxSettings: Sendable, Equatable {
    /// The side of a patch in latent pixels; the pipeline cuts the patches, so the configuration's `patch_size` is 1.
    public static let patchSize = 2

    /// The number of double-stream blocks.
    public let fullBlockCount: Int
    /// The number of single-stream blocks.
    public let singleBlockCount: Int
    /// The number of attention heads.
    public let headCount: Int
    /// The width of a head.
    public let headDimension: Int
    /// Columns of a head that the rotary embedding turns for each axis: index, row, column.
    public let rotaryDimensions: [Int]
    /// The channels of the latents: a quarter of `in_channels`, which counts those of a patch.
    public let latentChannels: Int
    /// The width of T5's output.
    public let textWidth: Int
    /// The width of CLIP's pooled output.
    public let pooledWidth: Int
    /// True for FLUX.1-dev: the guidance scale is an input of the network.
    public let embedsGuidance: Bool

    /// D: the width of the hidden states.
    public var width: Int { headCount * headDimension }
    /// The channels of a patch.
    public var patchChannels: Int { latentChannels * Self.patchSize * Self.patchSize }

    /// Reads a configuration; rules for absent keys are those of `FluxTransformer2DModel`.
    ///
    /// - Throws: ``ModelsError`` for a transformer of another family or sizes that do not fit each other.
    public init(_ configuration: Configuration) throws {
        let c = configuration
        _ = try c.require(
            "_class_name", oneOf: ["FluxTransformer2DModel"], default: "FluxTransformer2DModel")
        fullBlockCount = try c.count("num_layers", default: 19, in: 0...1000)
        singleBlockCount = try c.count("num_single_layers", default: 38, in: (fullBlockCount == 0 ? 1 : 0)...1000)
        headCount = try c.count("num_attention_heads", default: 24)
        headDimension = try c.count("attention_head_dim", default: 128)
        rotaryDimensions = try c.counts("axes_dims_rope", default: [16, 56, 56])
        textWidth = try c.count("joint_attention_dim", default: 4096)
        pooledWidth = try c.count("pooled_projection_dim", default: 768)
        embedsGuidance = try c.bool("guidance_embeds", default: false)
        _ = try c.count("patch_size", default: 1, in: 1...1)
        let inChannels = try c.count("in_channels", default: 64)
        latentChannels = inChannels / (Self.patchSize * Self.patchSize)
        guard inChannels % (Self.patchSize * Self.patchSize) == 0 else {
            throw ModelsError.invalidValue(
                path: c.path, key: "in_channels", expected: "a multiple of 4, the pixels of a patch",
                found: "\(inChannels)")
        }
        let outChannels = try c.count("out_channels", default: inChannels)
        guard outChannels == inChannels else {
            throw ModelsError.invalidValue(
                path: c.path, key: "out_channels", expected: "in_channels = \(inChannels)", found: "\(outChannels)")
        }
        guard rotaryDimensions.count == 3, rotaryDimensions.allSatisfy({ $0 % 2 == 0 }),
            rotaryDimensions.reduce(0, +) == headDimension
        else {
            throw ModelsError.invalidValue(
                path: c.path, key: "axes_dims_rope",
                expected: "three even numbers that add up to attention_head_dim = \(headDimension)",
                found: "\(rotaryDimensions)")
        }
    }
}
