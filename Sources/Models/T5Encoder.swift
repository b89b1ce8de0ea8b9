import Foundation
import ModelConfiguration
import Tensors

/// The encoder of T5 v1.1 (arXiv 1910.10683, 2002.05202): `T5EncoderModel` of transformers.
///
/// Pre-norm layers with RMS norm, unscaled attention, one relative position bias shared by all layers, and gated
/// tanh-GELU (GEGLU) feed-forward.
public final class T5Encoder {
    /// The architecture of a T5 encoder, from its `config.json`.
    public struct Settings: Sendable, Equatable {
        let vocabulary, width, innerWidth, headCount, layerCount, feedForwardWidth: Int
        let bucketCount, maxDistance: Int
        let epsilon: Float

        /// Reads `text_encoder/config.json`.
        ///
        /// - Throws: ``ModelsError`` for a missing key or an architecture other than T5 v1.1.
        public init(_ configuration: Configuration) throws {
            _ = try configuration.require("model_type", oneOf: ["t5"], default: "t5")
            vocabulary = try configuration.count("vocab_size")
            width = try configuration.count("d_model")
            headCount = try configuration.count("num_heads")
            innerWidth = try configuration.count("d_kv") * headCount
            layerCount = try configuration.count("num_layers")
            feedForwardWidth = try configuration.count("d_ff")
            bucketCount = try configuration.count("relative_attention_num_buckets", default: 32, in: 4...1_000_000)
            // Logarithmic buckets start at a quarter of the bucket count, which must be below the maximum distance.
            maxDistance = try configuration.count(
                "relative_attention_max_distance", default: 128, in: (bucketCount / 4 + 1)...1_000_000)
            epsilon = Float(try configuration.positive("layer_norm_epsilon", default: 1e-6))
            _ = try configuration.require("feed_forward_proj", oneOf: ["gated-gelu"], default: "gated-gelu")
        }
    }

    private struct Layer {
        let attentionNorm, feedForwardNorm: Matrix
        let query, key, value, output: Linear
        let gate, up, down: Linear
    }

    /// d_model: the width of the encoder's output.
    public var width: Int { settings.width }
    /// The number of token embeddings.
    public var vocabulary: Int { settings.vocabulary }

    private let folder: String
    private let settings: Settings
    private let embedding: Weight
    private let positionBias: [Float]
    private let layers: [Layer]
    private let finalNorm: Matrix
    private let workspace = Workspace()

    /// Opens `text_encoder/`: `config.json` and the weights.
    ///
    /// - Throws: ``ModelsError``, `TensorsError`.
    public init(folder: String) throws {
        let settings = try Settings(Configuration(path: "\(folder)/config.json"))
        let checkpoint = try Checkpoint(folder: folder, library: .transformers)
        let (d, inner, ff) = (settings.width, settings.innerWidth, settings.feedForwardWidth)
        self.folder = folder
        self.settings = settings
        // Published files have `shared`; some exports only have the alias.
        let embeddingName = checkpoint.has("shared.weight") ? "shared.weight" : "encoder.embed_tokens.weight"
        embedding = try checkpoint.weight(embeddingName, rows: settings.vocabulary, columns: d)
        positionBias = try checkpoint.tensor(
            "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
            shape: [settings.bucketCount, settings.headCount]
        ).floats()
        try checkpoint.requireNoMoreBlocks("encoder.block", than: settings.layerCount, key: "num_layers")
        layers = try (0..<settings.layerCount).map { index in
            let attention = "encoder.block.\(index).layer.0"
            let feedForward = "encoder.block.\(index).layer.1"
            func linear(_ name: String, _ inputs: Int, _ outputs: Int) throws -> Linear {
                try checkpoint.linear(name, inputs: inputs, outputs: outputs, bias: false)
            }
            return Layer(
                attentionNorm: try checkpoint.vector("\(attention).layer_norm.weight", count: d),
                feedForwardNorm: try checkpoint.vector("\(feedForward).layer_norm.weight", count: d),
                query: try linear("\(attention).SelfAttention.q", d, inner),
                key: try linear("\(attention).SelfAttention.k", d, inner),
                value: try linear("\(attention).SelfAttention.v", d, inner),
                output: try linear("\(attention).SelfAttention.o", inner, d),
                gate: try linear("\(feedForward).DenseReluDense.wi_0", d, ff),
                up: try linear("\(feedForward).DenseReluDense.wi_1", d, ff),
                down: try linear("\(feedForward).DenseReluDense.wo", ff, d))
        }
        finalNorm = try checkpoint.vector("encoder.final_layer_norm.weight", count: d)
    }

    /// Encodes one text.
    ///
    /// - Parameters:
    ///   - ids: T token ids.
    ///   - attendedCount: S, the number of leading tokens to attend to; the rest is padding. Omitting padding from `ids`
    ///     gives the same leading rows for less work.
    /// - Returns: Hidden states after the final norm, `[T, d_model]`.
    /// - Throws: ``ModelsError/invalidArgument(_:)`` for an id outside the vocabulary.
    public func encode(ids: [Int64], attendedCount: Int) throws -> Matrix {
        let (t, d) = (ids.count, settings.width)
        let hidden = Matrix(rows: t, columns: d)  // [T, d_model]
        for (row, id) in ids.enumerated() {
            guard let id = Int(exactly: id), id >= 0, id < settings.vocabulary else {
                throw ModelsError.invalidArgument(
                    "\(folder): token id \(id) is out of range; the vocabulary has \(settings.vocabulary) entries")
            }
            embedding.widen(rows: id..<(id + 1), into: hidden.rows(row..<(row + 1)).pointer)
        }
        let bias = relativePositionBias(queryCount: t, keyCount: attendedCount)  // [heads · T, S]
        let normed = Matrix(rows: t, columns: d)
        let queries = Matrix(rows: t, columns: settings.innerWidth)
        let keys = Matrix(rows: t, columns: settings.innerWidth)
        let values = Matrix(rows: t, columns: settings.innerWidth)
        let attended = Matrix(rows: t, columns: settings.innerWidth)
        let gated = Matrix(rows: t, columns: settings.feedForwardWidth)
        let mlpHidden = Matrix(rows: t, columns: settings.feedForwardWidth)
        let output = Matrix(rows: t, columns: d)

        for layer in layers {
            rmsNorm(hidden, weight: layer.attentionNorm, epsilon: settings.epsilon, into: normed)
            linear(normed, layer.query, into: queries, workspace: workspace)
            linear(normed, layer.key, into: keys, workspace: workspace)
            linear(normed, layer.value, into: values, workspace: workspace)
            attention(
                queries: queries, keys: keys.rows(0..<attendedCount), values: values.rows(0..<attendedCount),
                headCount: settings.headCount, scale: 1, bias: bias, into: attended, workspace: workspace)
            linear(attended, layer.output, into: output, workspace: workspace)
            add(output, to: hidden)

            rmsNorm(hidden, weight: layer.feedForwardNorm, epsilon: settings.epsilon, into: normed)
            linear(normed, layer.gate, activation: .geluTanh, into: gated, workspace: workspace)
            linear(normed, layer.up, into: mlpHidden, workspace: workspace)
            multiply(mlpHidden, into: gated)
            linear(gated, layer.down, into: output, workspace: workspace)
            add(output, to: hidden)
        }
        rmsNorm(hidden, weight: finalNorm, epsilon: settings.epsilon, into: normed)
        return normed
    }

    /// The additive bias of every head, `[heads · T, S]`: a learned value per bucket of distances.
    private func relativePositionBias(queryCount: Int, keyCount: Int) -> Matrix {
        let heads = settings.headCount
        var values = [Float](repeating: 0, count: heads * queryCount * keyCount)
        for query in 0..<queryCount {
            for key in 0..<keyCount {
                let bucket = bucket(ofRelativePosition: key - query)
                for head in 0..<heads {
                    values[(head * queryCount + query) * keyCount + key] = positionBias[bucket * heads + head]
                }
            }
        }
        return Matrix(values, rows: heads * queryCount, columns: keyCount)
    }

    /// Bidirectional buckets (`_relative_position_bucket`): exact for short distances, logarithmic up to the maximum.
    private func bucket(ofRelativePosition relative: Int) -> Int {
        let half = settings.bucketCount / 2
        let exact = half / 2
        let side = relative > 0 ? half : 0
        let distance = abs(relative)
        guard distance >= exact, exact > 0 else { return side + min(distance, half - 1) }
        let logarithmic =
            log(Float(distance) / Float(exact)) / log(Float(settings.maxDistance) / Float(exact))
            * Float(half - exact)
        return side + min(half - 1, exact + Int(logarithmic))
    }
}
