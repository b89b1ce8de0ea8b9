import ModelConfiguration
import Tensors

/// The image encoder of CLIP (arXiv 2103.00020): `CLIPVisionModel` of transformers.
///
/// Patches and a class token with learned positions, a norm before the layers and one behind the last, which the class
/// token alone goes through.
public final class CLIPVisionEncoder {
    /// The width of the encoder's output.
    public let width: Int
    /// The side of its square input, in pixels.
    public let side: Int

    private let feedForwardWidth: Int
    private let patches: Convolution
    private let classToken: Matrix
    /// The class token's, then those of the patches row by row, [1 + patches, D].
    private let positions: Matrix
    private let layers: [CLIPLayer]
    private let firstNorm, lastNorm: LayerNorm
    private let workspace = Workspace()

    /// The vision encoder in a CLIP checkpoint.
    ///
    /// - Parameters:
    ///   - checkpoint: Weights under `vision_model.`.
    ///   - c: The `vision_config`; rules for absent keys are those of `CLIPVisionConfig`.
    /// - Throws: ``ModelsError`` for sizes that do not fit each other, `TensorsError`.
    init(_ checkpoint: Checkpoint, _ c: Configuration) throws {
        let d = try c.count("hidden_size", default: 768)
        let layerCount = try c.count("num_hidden_layers", default: 12, in: 1...1000)
        let headCount = try c.count("num_attention_heads", default: 12)
        let epsilon = Float(try c.positive("layer_norm_eps", default: 1e-5))
        let patch = try c.count("patch_size", default: 32, in: 1...1024)
        width = d
        side = try c.count("image_size", default: 224, in: 1...4096)
        feedForwardWidth = try c.count("intermediate_size", default: 3072)
        guard d % headCount == 0 else {
            throw ModelsError.invalidValue(
                path: c.path, key: "num_attention_heads", expected: "a divisor of hidden_size = \(d)",
                found: "\(headCount)")
        }
        guard patch <= side else {
            throw ModelsError.invalidValue(
                path: c.path, key: "patch_size", expected: "at most image_size = \(side)", found: "\(patch)")
        }
        let (feedForwardWidth, activation) = (feedForwardWidth, try CLIPLayer.activation(c))
        let root = "vision_model"
        let weight = try checkpoint.tensor(
            "\(root).embeddings.patch_embedding.weight", shape: [d, 3, patch, patch])
        patches = Convolution(
            weight: try Weight(weight, rows: d, columns: 3 * patch * patch), bias: nil, kernelSize: patch, padding: 0,
            stride: patch)
        classToken = try checkpoint.vector("\(root).embeddings.class_embedding", count: d)
        let tokenCount = 1 + (side / patch) * (side / patch)
        positions = try checkpoint.matrix(
            "\(root).embeddings.position_embedding.weight", shape: [tokenCount, d], rows: tokenCount, columns: d)
        layers = try (0..<layerCount).map { index in
            try CLIPLayer(
                checkpoint, prefix: "\(root).encoder.layers.\(index)", width: d, feedForwardWidth: feedForwardWidth,
                headCount: headCount, activation: activation, epsilon: epsilon)
        }
        // Spelt so.
        firstNorm = try LayerNorm(checkpoint, "\(root).pre_layrnorm", count: d, epsilon: epsilon)
        lastNorm = try LayerNorm(checkpoint, "\(root).post_layernorm", count: d, epsilon: epsilon)
    }

    /// The class token behind the last norm, [1, D].
    ///
    /// - Parameter pixels: A normalised image, [3, side * side].
    /// - Returns: The state.
    func encode(_ pixels: FeatureMap) -> Matrix {
        let activations = CLIPLayer.Activations(
            tokenCount: positions.rows, width: width, feedForwardWidth: feedForwardWidth)
        embedPatches(
            pixels, patches, classToken: classToken, positions: positions, into: activations.normed,
            workspace: workspace)
        firstNorm.apply(activations.normed, into: activations.hidden)
        for layer in layers { layer.apply(activations, workspace: workspace) }
        let output = Matrix(rows: 1, columns: width)
        lastNorm.apply(activations.hidden.rows(0..<1), into: output)
        return output
    }
}

/// The tokens of an image: the class token, then the patches row by row, all with their positions added.
///
/// - Parameters:
///   - pixels: A normalised image, [3, side * side].
///   - patches: A convolution whose step is its kernel.
///   - classToken: [1, D].
///   - positions: [1 + patches, D].
///   - tokens: [1 + patches, D]; overwritten.
///   - workspace: Scratch memory.
func embedPatches(
    _ pixels: FeatureMap, _ patches: Convolution, classToken: Matrix, positions: Matrix, into tokens: Matrix,
    workspace: Workspace
) {
    let size = patches.outputSize(height: pixels.height, width: pixels.width)
    let map = FeatureMap(channelCount: patches.outputCount, height: size.height, width: size.width)
    convolve(pixels, patches, into: map, workspace: workspace)
    tokens.rows(0..<1).copy(from: classToken)
    transpose(map.channels, into: tokens.rows(1..<tokens.rows))
    add(positions, to: tokens)
}
