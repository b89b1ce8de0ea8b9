import Foundation
import ModelConfiguration
import Tensors

/// CLIP (arXiv 2103.00020): image and text features in a common space; `CLIPModel` of transformers.
public final class CLIPModel {
    /// The dimension of the common feature space.
    public let featureCount: Int

    private let tokenizer: CLIPTokenizer
    private let textLength: Int
    private let text: CLIPTextEncoder
    private let vision: CLIPVisionEncoder
    private let textProjection, imageProjection: Linear
    private let preprocessing: ImagePreprocessing
    private let workspace = Workspace()

    /// Opens a directory with `config.json`, weights, tokenizer files and, optionally, `preprocessor_config.json`.
    ///
    /// - Throws: ``ModelsError``, `TensorsError`.
    public init(folder: String) throws {
        let configuration = try Configuration(path: "\(folder)/config.json")
        _ = try configuration.require("model_type", oneOf: ["clip"], default: "")
        let checkpoint = try Checkpoint(folder: folder, library: .transformers)
        featureCount = try configuration.count("projection_dim", default: 512)
        text = try CLIPTextEncoder(checkpoint, try configuration.section("text_config"), folder: folder)
        vision = try CLIPVisionEncoder(checkpoint, try configuration.section("vision_config"))
        textProjection = try checkpoint.linear(
            "text_projection", inputs: text.width, outputs: featureCount, bias: false)
        imageProjection = try checkpoint.linear(
            "visual_projection", inputs: vision.width, outputs: featureCount, bias: false)
        tokenizer = try CLIPTokenizer(folder: folder)
        try tokenizer.validate(vocabularySize: text.vocabulary)
        textLength = min(tokenizer.maxLength, text.positionCount)
        preprocessing = try Self.preprocessing("\(folder)/preprocessor_config.json", side: vision.side)
    }

    /// The unit-length features of an image, `[1, featureCount]`.
    ///
    /// - Throws: ``ModelsError/invalidArgument(_:)`` for an empty image.
    public func features(of image: Image) throws -> Matrix {
        projected(vision.encode(try preprocessing(image)), imageProjection)
    }

    /// The unit-length features of a text, `[1, featureCount]`; texts beyond the model's length are truncated.
    ///
    /// - Throws: ``ModelsError/invalidArgument(_:)`` for a token outside the vocabulary.
    public func features(of text: String) throws -> Matrix {
        let ids = tokenizer.encode(text, maxLength: textLength)
        // Attention is causal and the end token is pooled, so padding after it has no effect.
        return projected(try self.text.encode(ids: Array(ids.ids.prefix(ids.tokenCount))).pooled, textProjection)
    }

    private func projected(_ state: Matrix, _ projection: Linear) -> Matrix {
        let features = Matrix(rows: 1, columns: featureCount)
        linear(state, projection, into: features, workspace: workspace)
        let length = features.values.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        for column in 0..<featureCount { features[0, column] = Float(Double(features[0, column]) / length) }
        return features
    }

    /// The steps of `CLIPImageProcessor` by its configuration, or its defaults for the model's image size.
    private static func preprocessing(_ path: String, side: Int) throws -> ImagePreprocessing {
        let (mean, deviation) = (ImagePreprocessing.clipMean, ImagePreprocessing.clipDeviation)
        guard FileManager.default.fileExists(atPath: path) else {
            return ImagePreprocessing(
                shorterSide: side, side: side, rule: .transformers, mean: mean, deviation: deviation)
        }
        let c = try Configuration(path: path)
        for key in ["do_resize", "do_center_crop", "do_normalize", "do_rescale"]
        where try !c.bool(key, default: true) {
            throw ModelsError.invalidValue(path: path, key: key, expected: "true", found: "false")
        }
        guard try c.int("resample", default: 3) == 3 else {
            throw ModelsError.invalidValue(
                path: path, key: "resample", expected: "3 (bicubic)", found: "\(try c.int("resample"))")
        }
        // Older files have a number here, newer ones an object.
        func length(_ key: String, _ member: String) throws -> Int {
            if let number = try? c.count(key, in: 1...4096) { return number }
            return try c.section(key).count(member, default: side, in: 1...4096)
        }
        let (shorterSide, cropSide) = (try length("size", "shortest_edge"), try length("crop_size", "height"))
        guard cropSide == side, shorterSide >= cropSide else {
            throw ModelsError.invalidValue(
                path: path, key: "crop_size", expected: "image_size = \(side), and at most size = \(shorterSide)",
                found: "\(cropSide)")
        }
        let (fileMean, fileDeviation) = (
            try c.colours("image_mean", default: mean), try c.colours("image_std", default: deviation)
        )
        guard fileDeviation.allSatisfy({ $0 > 0 }) else {
            throw ModelsError.invalidValue(
                path: path, key: "image_std", expected: "positive numbers", found: "\(fileDeviation)")
        }
        return ImagePreprocessing(
            shorterSide: shorterSide, side: cropSide, rule: .transformers, mean: fileMean,
            deviation: fileDeviation)
    }
}

/// The image encoder of CLIP (arXiv 2103.00020): `CLIPVisionModel` of transformers.
///
/// A vision transformer with a class token, learned positions, a norm before the layers and a final norm applied to the
/// class token only.
final class CLIPVisionEncoder {
    /// D: the width of the encoder's output.
    let width: Int
    /// The side of the square input in pixels.
    let side: Int

    private let feedForwardWidth: Int
    private let patches: Convolution
    private let classToken: Matrix
    /// Position embeddings of the class token, then of the patches in row-major order, `[1 + patches, D]`.
    private let positions: Matrix
    private let layers: [CLIPLayer]
    private let firstNorm, lastNorm: LayerNorm
    private let workspace = Workspace()

    /// The vision encoder in a CLIP checkpoint.
    ///
    /// - Parameters:
    ///   - checkpoint: Weights with the prefix `vision_model.`.
    ///   - c: The `vision_config`; defaults are those of `CLIPVisionConfig`.
    /// - Throws: ``ModelsError`` for inconsistent sizes, `TensorsError`.
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
        try checkpoint.requireNoMoreBlocks("\(root).encoder.layers", than: layerCount, key: "num_hidden_layers")
        layers = try (0..<layerCount).map { index in
            try CLIPLayer(
                checkpoint, prefix: "\(root).encoder.layers.\(index)", width: d, feedForwardWidth: feedForwardWidth,
                headCount: headCount, activation: activation, epsilon: epsilon)
        }
        // The published name is misspelt.
        firstNorm = try LayerNorm(checkpoint, "\(root).pre_layrnorm", count: d, epsilon: epsilon)
        lastNorm = try LayerNorm(checkpoint, "\(root).post_layernorm", count: d, epsilon: epsilon)
    }

    /// The class token's state after the final norm.
    ///
    /// - Parameter pixels: A normalised image, `[3, side²]`.
    /// - Returns: `[1, D]`.
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
