import Basics
import ModelConfiguration
import Tensors

/// The decoder of the latent autoencoder (arXiv 2112.10752): `AutoencoderKL.decode` of diffusers.
public final class AutoencoderDecoder {
    /// The architecture and the latent scaling.
    public let settings: AutoencoderConfiguration

    /// The time of a layer, with the norms and sums that are computed with it.
    public struct LayerTime: Sendable {
        /// What is computed.
        public enum Kind: String, Sendable, CaseIterable {
            /// A 3 x 3 convolution.
            case convolution
            /// A 3 x 3 convolution of the doubled map.
            case upsampling
            /// A 1 x 1 convolution.
            case pointwise
            /// The middle block's attention.
            case attention
        }

        /// What is computed.
        public let kind: Kind
        /// The width of the result in pixels.
        public let width: Int
        /// C of the input and of the result.
        public let channels: (inputs: Int, outputs: Int)
        /// Multiplications and additions of the plain method.
        public let flops: Int
        /// See ``ComputeClock``.
        public let seconds: Double
    }

    private static let epsilon: Float = 1e-6
    private static let shortcutRows = 4096

    private struct Norm {
        let weight, bias: Matrix
    }

    private struct ResnetBlock {
        let norm1, norm2: Norm
        let convolution1, convolution2: WinogradConvolution
        /// A 1 x 1 convolution.
        let shortcut: Linear?
    }

    private struct AttentionBlock {
        let norm: Norm
        let query, key, value, output: Linear
    }

    private struct UpBlock {
        let resnets: [ResnetBlock]
        let upsampler: WinogradConvolution?
    }

    private let postQuantConvolution: Linear?
    private let convolutionIn, convolutionOut: WinogradConvolution
    private let middleResnets: [ResnetBlock]
    private let middleAttention: AttentionBlock?
    private let upBlocks: [UpBlock]
    private let normOut: Norm
    /// Called after every layer, for a profile.
    public var onLayer: ((LayerTime) -> Void)?

    private let workspace = Workspace()
    private let moments = ChannelMoments()
    private let maps = MapMemory()

    /// Opens `vae/`: `config.json` and the decoder's weights.
    ///
    /// - Parameters:
    ///   - folder: The directory.
    ///   - precision: The precision of the convolutions; the processor must support it.
    /// - Throws: ``ModelsError``, `TensorsError`.
    public init(folder: String, precision: Precision = .float32) throws {
        let settings = try AutoencoderConfiguration(Configuration(path: "\(folder)/config.json"))
        let checkpoint = try Checkpoint(folder: folder, library: .diffusers)
        let layers = ConvolutionReader(checkpoint: checkpoint, precision: precision)
        let channels = Array(settings.blockChannels.reversed())
        let (z, top, last) = (settings.latentChannels, channels[0], channels[channels.count - 1])
        self.settings = settings
        if !settings.usesPostQuantConvolution {
            try checkpoint.requireNone("post_quant_conv", key: "use_post_quant_conv")
        }
        postQuantConvolution =
            settings.usesPostQuantConvolution
            ? try layers.pointwise("post_quant_conv", inputs: z, outputs: z, precision: .float32) : nil
        convolutionIn = try layers.convolution("decoder.conv_in", inputs: z, outputs: top)
        middleResnets = try (0..<2).map {
            try Self.resnetBlock(layers, "decoder.mid_block.resnets.\($0)", inputs: top, outputs: top)
        }
        middleAttention =
            settings.hasMiddleAttention
            ? try Self.attentionBlock(layers, "decoder.mid_block.attentions.0", channels: top) : nil
        upBlocks = try channels.indices.map { index in
            let inputs = channels[max(index - 1, 0)]
            let outputs = channels[index]
            let prefix = "decoder.up_blocks.\(index)"
            let isLast = index == channels.count - 1
            return UpBlock(
                resnets: try (0...settings.layersPerBlock).map {
                    try Self.resnetBlock(
                        layers, "\(prefix).resnets.\($0)", inputs: $0 == 0 ? inputs : outputs, outputs: outputs)
                },
                upsampler: isLast
                    ? nil
                    : try layers.convolution(
                        "\(prefix).upsamplers.0.conv", inputs: outputs, outputs: outputs, isUpsampling: true))
        }
        normOut = try Self.normLayer(checkpoint, "decoder.conv_norm_out", channels: last)
        convolutionOut = try layers.convolution("decoder.conv_out", inputs: last, outputs: 3)
    }

    private static func normLayer(_ checkpoint: Checkpoint, _ prefix: String, channels: Int) throws -> Norm {
        Norm(
            weight: try checkpoint.vector("\(prefix).weight", count: channels),
            bias: try checkpoint.vector("\(prefix).bias", count: channels))
    }

    private static func resnetBlock(
        _ layers: ConvolutionReader, _ prefix: String, inputs: Int, outputs: Int
    ) throws -> ResnetBlock {
        ResnetBlock(
            norm1: try normLayer(layers.checkpoint, "\(prefix).norm1", channels: inputs),
            norm2: try normLayer(layers.checkpoint, "\(prefix).norm2", channels: outputs),
            convolution1: try layers.convolution("\(prefix).conv1", inputs: inputs, outputs: outputs),
            convolution2: try layers.convolution("\(prefix).conv2", inputs: outputs, outputs: outputs),
            shortcut: inputs == outputs
                ? nil
                : try layers.pointwise("\(prefix).conv_shortcut", inputs: inputs, outputs: outputs))
    }

    /// The attention of the middle block, with the layer names of diffusers before or since 0.17.
    private static func attentionBlock(
        _ layers: ConvolutionReader, _ prefix: String, channels: Int
    ) throws -> AttentionBlock {
        let checkpoint = layers.checkpoint
        let usesOldNames = checkpoint.has("\(prefix).query.weight")
        func layer(_ name: String, _ oldName: String) throws -> Linear {
            try checkpoint.linear(
                "\(prefix).\(usesOldNames ? oldName : name)", inputs: channels, outputs: channels,
                precision: layers.precision)
        }
        return AttentionBlock(
            norm: try normLayer(checkpoint, "\(prefix).group_norm", channels: channels),
            query: try layer("to_q", "query"), key: try layer("to_k", "key"), value: try layer("to_v", "value"),
            output: try layer("to_out.0", "proj_attn"))
    }

    // MARK: - Decoding

    /// Decodes one image.
    ///
    /// The maps take 2.1 GB at 1024 x 1024 with the published channels, in proportion to the pixels; up to 256 MB are kept
    /// for the next image.
    ///
    /// - Parameter latents: Unscaled and unshifted latents, `[C, h·w]`.
    /// - Returns: The planes red, green and blue, `[3, H·W]` with H = h · ``Settings/scale``; nominally in -1...1.
    public func decode(_ latents: FeatureMap) -> FeatureMap {
        defer { maps.trim() }
        var x = maps.map(0, height: latents.height, width: latents.width, channels: settings.latentChannels)
        transpose(latents.channels, into: x.pixels)
        if let postQuantConvolution {
            let y = maps.map(1, like: x)
            linear(x.pixels, postQuantConvolution, into: y.pixels, workspace: workspace)
            x = y
        }
        x = convolved(x, convolutionIn)
        x = resnet(x, middleResnets[0])
        if let middleAttention { timed(.attention, x, x) { attend(x, middleAttention) } }
        x = resnet(x, middleResnets[1])
        for block in upBlocks {
            for layer in block.resnets { x = resnet(x, layer) }
            if let upsampler = block.upsampler { x = convolved(x, upsampler) }
        }
        let image = FeatureMap(channelCount: 3, height: x.height, width: x.width)
        transpose(convolved(x, convolutionOut, norm: normOut).pixels, into: image.channels)
        return image
    }

    /// The convolution of `x`, or of SiLU(norm(x)), in a map of its own; leaves its moments in `moments`.
    ///
    /// A norm needs the moments of `x` there.
    private func convolved(
        _ x: ChannelsLastMap, _ convolution: WinogradConvolution, norm: Norm? = nil
    ) -> ChannelsLastMap {
        let scale = convolution.isUpsampling ? 2 : 1
        let output = maps.map(
            besides: [x], height: scale * x.height, width: scale * x.width, channels: convolution.outputCount)
        timed(convolution.isUpsampling ? .upsampling : .convolution, x, output) {
            convolve(
                x, convolution, normalization: norm.map(normalization), into: output, moments: moments,
                workspace: workspace)
        }
        return output
    }

    private func timed(
        _ kind: LayerTime.Kind, _ x: ChannelsLastMap, _ y: ChannelsLastMap, _ body: () -> Void
    ) {
        guard let onLayer else { return body() }
        let seconds = ComputeClock.seconds(of: body)
        let products = x.channelCount * y.channelCount * y.pixels.rows
        let factor =
            switch kind {
            case .convolution, .upsampling: 9 * products
            case .pointwise: products
            case .attention: 4 * products + 2 * x.channelCount * x.pixels.rows * x.pixels.rows
            }
        onLayer(
            LayerTime(
                kind: kind, width: y.width, channels: (x.channelCount, y.channelCount), flops: 2 * factor,
                seconds: seconds))
    }

    private func normalization(_ norm: Norm) -> ChannelNormalization {
        moments.groupNorm(groups: settings.groups, weight: norm.weight, bias: norm.bias, epsilon: Self.epsilon)
    }

    /// Needs the moments of `x`, which may be overwritten, and leaves those of the result.
    private func resnet(_ x: ChannelsLastMap, _ block: ResnetBlock) -> ChannelsLastMap {
        let hidden = convolved(x, block.convolution1, norm: block.norm1)
        var sum = x
        if let shortcut = block.shortcut {
            sum = maps.map(besides: [x, hidden], height: x.height, width: x.width, channels: hidden.channelCount)
            timed(.pointwise, x, sum) {
                // In parts, because a product in bfloat16 copies its input.
                for first in stride(from: 0, to: x.pixels.rows, by: Self.shortcutRows) {
                    let part = first..<min(first + Self.shortcutRows, x.pixels.rows)
                    linear(x.pixels.rows(part), shortcut, into: sum.pixels.rows(part), workspace: workspace)
                }
            }
        }
        timed(.convolution, hidden, sum) {
            convolve(
                hidden, block.convolution2, normalization: normalization(block.norm2), adds: true, into: sum,
                moments: moments, workspace: workspace)
        }
        return sum
    }

    /// Adds single-head self-attention over all pixels to `x`, `[h·w, C]`; uses and leaves the moments of `x`.
    private func attend(_ x: ChannelsLastMap, _ block: AttentionBlock) {
        let tokens = maps.map(besides: [x], height: x.height, width: x.width, channels: x.channelCount)
        normalization(block.norm).apply(to: x.pixels, into: tokens.pixels)
        // Rows of bfloat16 are read in pairs.
        let precision: Precision = block.query.weight.isPacked && x.channelCount % 2 == 0 ? .bfloat16 : .float32
        let inputs = [(3, block.query), (4, block.key), (5, block.value)].map { slot, layer in
            let output = maps.map(slot, like: x, precision: precision)
            linear(tokens.pixels, layer, into: output.pixels, workspace: workspace)
            return output.pixels
        }
        let attended = maps.view(tokens, precision: precision)
        attention(
            queries: inputs[0], keys: inputs[1], values: inputs[2], headCount: 1,
            scale: 1 / Float(x.channelCount).squareRoot(), into: attended.pixels, workspace: workspace)
        let result = maps.map(3, like: x, precision: .float32)
        linear(
            attended.pixels, block.output, addingTo: ResidualSum(x.pixels), into: result.pixels, workspace: workspace)
        moments.measure(x)
    }
}

/// The memory of a decoder's maps: three for a resnet block and the upsampling, three for the middle attention.
private final class MapMemory {
    /// What is kept between images at most, in bytes: some hundredths of a second are saved for images up to 256 x 256.
    static let keptByteCount = 256 << 20

    private var slots = [Storage](repeating: Storage(count: 0), count: 6)

    /// A map in a slot, with arbitrary values; replaces what is there.
    func map(_ slot: Int, height: Int, width: Int, channels: Int) -> ChannelsLastMap {
        let count = height * width * channels
        if slots[slot].count < count {
            slots[slot] = Storage(count: 0)
            slots[slot] = Storage(count: count)
        }
        return ChannelsLastMap(
            Matrix(storage: slots[slot], offset: 0, rows: height * width, columns: channels, stride: channels),
            height: height, width: width)
    }

    func map(_ slot: Int, like x: ChannelsLastMap, precision: Precision = .float32) -> ChannelsLastMap {
        view(map(slot, height: x.height, width: x.width, channels: x.channelCount), precision: precision)
    }

    /// A map of the same shape in the same memory.
    func view(_ x: ChannelsLastMap, precision: Precision) -> ChannelsLastMap {
        ChannelsLastMap(
            Matrix(
                storage: x.pixels.storage, offset: 0, rows: x.pixels.rows, columns: x.channelCount,
                stride: x.channelCount, precision: precision),
            height: x.height, width: x.width)
    }

    /// A map in one of the first three slots, other than those of up to two maps.
    func map(besides used: [ChannelsLastMap], height: Int, width: Int, channels: Int) -> ChannelsLastMap {
        let slot = (0..<3).first { slot in used.allSatisfy { $0.pixels.storage !== slots[slot] } } ?? 2
        return map(slot, height: height, width: width, channels: channels)
    }

    func trim() {
        let byteCount = slots.reduce(0) { $0 + $1.count * MemoryLayout<Float>.stride }
        if byteCount > Self.keptByteCount { slots = slots.map { _ in Storage(count: 0) } }
    }
}

/// Reads convolutions for products in one precision.
private struct ConvolutionReader {
    private static let minBFloat16Inputs = 64

    let checkpoint: Checkpoint
    let precision: Precision

    /// The convolution `prefix.weight`, `[outputs, inputs, 3, 3]`, with bias.
    func convolution(
        _ prefix: String, inputs: Int, outputs: Int, isUpsampling: Bool = false
    ) throws -> WinogradConvolution {
        let stored = try checkpoint.tensor("\(prefix).weight", shape: [outputs, inputs, 3, 3])
        // With few inputs, such as the latents, bfloat16 saves little time and its rounding does not average out.
        let precision = inputs < Self.minBFloat16Inputs ? .float32 : precision
        return WinogradConvolution(
            weight: try Weight(stored, rows: outputs, columns: inputs * 9),
            bias: try checkpoint.vector("\(prefix).bias", count: outputs), isUpsampling: isUpsampling,
            precision: precision)
    }

    /// The 1 x 1 convolution `prefix.weight`, `[outputs, inputs, 1, 1]`, with bias.
    func pointwise(_ prefix: String, inputs: Int, outputs: Int, precision: Precision? = nil) throws -> Linear {
        let stored = try checkpoint.tensor("\(prefix).weight", shape: [outputs, inputs, 1, 1])
        let weight = try Weight(stored, rows: outputs, columns: inputs)
        return Linear(
            weight: (precision ?? self.precision) == .bfloat16 ? Weight(packing: [weight]) : weight,
            bias: try checkpoint.vector("\(prefix).bias", count: outputs))
    }
}
