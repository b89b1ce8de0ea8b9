import Basics
import ModelConfiguration
import Tensors

/// The decoder of the latent autoencoder (arXiv 2112.10752): `AutoencoderKL.decode` of diffusers.
public final class AutoencoderDecoder {
    /// The architecture and the latent scaling.
    public let settings: AutoencoderConfiguration

    private static let epsilon: Float = 1e-6

    private struct Norm {
        let weight, bias: Matrix
    }

    private struct ResnetBlock {
        let norm1, norm2: Norm
        let convolution1, convolution2: Convolution
        let shortcut: Convolution?
    }

    private struct AttentionBlock {
        let norm: Norm
        let query, key, value, output: Linear
    }

    private struct UpBlock {
        let resnets: [ResnetBlock]
        let upsampler: Convolution?
    }

    private let postQuantConvolution: Convolution?
    private let convolutionIn, convolutionOut: Convolution
    private let middleResnets: [ResnetBlock]
    private let middleAttention: AttentionBlock?
    private let upBlocks: [UpBlock]
    private let normOut: Norm
    private let workspace = Workspace()

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
            ? try layers.convolution("post_quant_conv", inputs: z, outputs: z, kernelSize: 1) : nil
        convolutionIn = try layers.convolution("decoder.conv_in", inputs: z, outputs: top, kernelSize: 3)
        middleResnets = try (0..<2).map {
            try Self.resnetBlock(layers, "decoder.mid_block.resnets.\($0)", inputs: top, outputs: top)
        }
        middleAttention =
            settings.hasMiddleAttention
            ? try Self.attentionBlock(checkpoint, "decoder.mid_block.attentions.0", channels: top) : nil
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
                        "\(prefix).upsamplers.0.conv", inputs: outputs, outputs: outputs, kernelSize: 3))
        }
        normOut = try Self.normLayer(checkpoint, "decoder.conv_norm_out", channels: last)
        convolutionOut = try layers.convolution("decoder.conv_out", inputs: last, outputs: 3, kernelSize: 3)
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
            convolution1: try layers.convolution(
                "\(prefix).conv1", inputs: inputs, outputs: outputs, kernelSize: 3),
            convolution2: try layers.convolution(
                "\(prefix).conv2", inputs: outputs, outputs: outputs, kernelSize: 3),
            shortcut: inputs == outputs
                ? nil
                : try layers.convolution(
                    "\(prefix).conv_shortcut", inputs: inputs, outputs: outputs, kernelSize: 1))
    }

    /// The attention of the middle block, with the layer names of diffusers before or since 0.17.
    private static func attentionBlock(
        _ checkpoint: Checkpoint, _ prefix: String, channels: Int
    ) throws -> AttentionBlock {
        let usesOldNames = checkpoint.has("\(prefix).query.weight")
        func layer(_ name: String, _ oldName: String) throws -> Linear {
            try checkpoint.linear("\(prefix).\(usesOldNames ? oldName : name)", inputs: channels, outputs: channels)
        }
        return AttentionBlock(
            norm: try normLayer(checkpoint, "\(prefix).group_norm", channels: channels),
            query: try layer("to_q", "query"), key: try layer("to_k", "key"), value: try layer("to_v", "value"),
            output: try layer("to_out.0", "proj_attn"))
    }

    // MARK: - Decoding

    /// Decodes one image.
    ///
    /// - Parameter latents: Unscaled and unshifted latents, `[C, h·w]`.
    /// - Returns: The planes red, green and blue, `[3, H·W]` with H = h · ``Settings/scale``; nominally in -1...1.
    public func decode(_ latents: FeatureMap) -> FeatureMap {
        var x = latents  // [C, h·w]
        if let postQuantConvolution { x = convolved(x, postQuantConvolution) }
        x = convolved(x, convolutionIn)
        x = resnet(x, middleResnets[0])
        if let middleAttention { attend(x, middleAttention) }
        x = resnet(x, middleResnets[1])
        for block in upBlocks {
            for layer in block.resnets { x = resnet(x, layer) }
            if let upsampler = block.upsampler {
                let larger = FeatureMap(channelCount: x.channels.rows, height: 2 * x.height, width: 2 * x.width)
                upsampleNearest2x(x, into: larger)
                x = convolved(larger, upsampler)
            }
        }
        return convolved(normed(x, normOut, silu: true), convolutionOut)
    }

    private func convolved(_ x: FeatureMap, _ convolution: Convolution) -> FeatureMap {
        let output = FeatureMap(channelCount: convolution.outputCount, height: x.height, width: x.width)
        convolve(x, convolution, into: output, workspace: workspace)
        return output
    }

    private func normed(_ x: FeatureMap, _ norm: Norm, silu: Bool) -> FeatureMap {
        let output = FeatureMap(channelCount: x.channels.rows, height: x.height, width: x.width)
        groupNorm(
            x, groups: settings.groups, weight: norm.weight, bias: norm.bias, epsilon: Self.epsilon, silu: silu,
            into: output)
        return output
    }

    private func resnet(_ x: FeatureMap, _ block: ResnetBlock) -> FeatureMap {
        let hidden = convolved(normed(x, block.norm1, silu: true), block.convolution1)
        let output = convolved(normed(hidden, block.norm2, silu: true), block.convolution2)
        add(block.shortcut.map { convolved(x, $0).channels } ?? x.channels, to: output.channels)
        return output
    }

    /// Adds single-head self-attention over all pixels to `x`, `[C, h·w]`.
    private func attend(_ x: FeatureMap, _ block: AttentionBlock) {
        let (channels, pixels) = (x.channels.rows, x.height * x.width)
        let tokens = Matrix(rows: pixels, columns: channels)  // [h·w, C]
        transpose(normed(x, block.norm, silu: false).channels, into: tokens)
        func project(_ input: Matrix, _ layer: Linear) -> Matrix {
            let output = Matrix(rows: pixels, columns: channels)
            linear(input, layer, into: output, workspace: workspace)
            return output
        }
        let attended = Matrix(rows: pixels, columns: channels)
        attention(
            queries: project(tokens, block.query), keys: project(tokens, block.key),
            values: project(tokens, block.value), headCount: 1, scale: 1 / Float(channels).squareRoot(),
            into: attended, workspace: workspace)
        let output = Matrix(rows: channels, columns: pixels)
        transpose(project(attended, block.output), into: output)
        add(output, to: x.channels)
    }
}

/// Reads convolutions for products in one precision.
private struct ConvolutionReader {
    let checkpoint: Checkpoint
    let precision: Precision

    /// The convolution `prefix.weight`, `[outputs, inputs, k, k]`, with bias and padding that preserves the size.
    func convolution(_ prefix: String, inputs: Int, outputs: Int, kernelSize k: Int) throws -> Convolution {
        let stored = try checkpoint.tensor("\(prefix).weight", shape: [outputs, inputs, k, k])
        return Convolution(
            weight: try Weight(stored, rows: outputs, columns: inputs * k * k),
            bias: try checkpoint.vector("\(prefix).bias", count: outputs), kernelSize: k, padding: k / 2,
            precision: precision)
    }
}
