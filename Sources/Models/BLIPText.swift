import ModelConfiguration
import Tensors

/// BLIP's text encoder (arXiv 2201.12086): BERT (arXiv 1810.04805) whose layers look at an image's tokens too.
///
/// Norms stand behind the sums. There are no token types, and padding is left out, which the original masks.
struct BLIPText {
    /// The sizes, from `med_config`; absent keys are those of bert-base-uncased with BLIP's vocabulary.
    struct Settings: Sendable, Equatable {
        let vocabulary, width, layerCount, headCount, feedForwardWidth, positionCount: Int
        let epsilon: Float

        init(_ c: Configuration) throws {
            _ = try c.require("hidden_act", oneOf: ["gelu"], default: "gelu")
            vocabulary = try c.count("vocab_size", default: 30524)
            width = try c.count("hidden_size", default: 768)
            layerCount = try c.count("num_hidden_layers", default: 12, in: 1...1000)
            headCount = try c.count("num_attention_heads", default: 12)
            feedForwardWidth = try c.count("intermediate_size", default: 3072)
            positionCount = try c.count("max_position_embeddings", default: 512, in: 2...65536)
            epsilon = Float(try c.positive("layer_norm_eps", default: 1e-12))
            guard width % headCount == 0 else {
                throw ModelsError.invalidValue(
                    path: c.path, key: "num_attention_heads", expected: "a divisor of hidden_size = \(width)",
                    found: "\(headCount)")
            }
        }
    }

    private struct Attention {
        let query, key, value, output: Linear
        let norm: LayerNorm
    }

    private struct Layer {
        let own, image: Attention
        let up, down: Linear
        let norm: LayerNorm
    }

    let settings: Settings
    private let words, positions: Weight
    private let firstNorm: LayerNorm
    private let layers: [Layer]

    init(_ checkpoint: Checkpoint, prefix: String, settings: Settings, imageWidth: Int) throws {
        let (d, ff) = (settings.width, settings.feedForwardWidth)
        func norm(_ name: String) throws -> LayerNorm {
            try LayerNorm(checkpoint, name, count: d, epsilon: settings.epsilon)
        }
        func attention(_ name: String, inputs: Int) throws -> Attention {
            Attention(
                query: try checkpoint.linear("\(name).self.query", inputs: d, outputs: d),
                key: try checkpoint.linear("\(name).self.key", inputs: inputs, outputs: d),
                value: try checkpoint.linear("\(name).self.value", inputs: inputs, outputs: d),
                output: try checkpoint.linear("\(name).output.dense", inputs: d, outputs: d),
                norm: try norm("\(name).output.LayerNorm"))
        }
        self.settings = settings
        words = try checkpoint.weight(
            "\(prefix).embeddings.word_embeddings.weight", rows: settings.vocabulary, columns: d)
        positions = try checkpoint.weight(
            "\(prefix).embeddings.position_embeddings.weight", rows: settings.positionCount, columns: d)
        firstNorm = try norm("\(prefix).embeddings.LayerNorm")
        layers = try (0..<settings.layerCount).map { index in
            let layer = "\(prefix).encoder.layer.\(index)"
            return Layer(
                own: try attention("\(layer).attention", inputs: d),
                image: try attention("\(layer).crossattention", inputs: imageWidth),
                up: try checkpoint.linear("\(layer).intermediate.dense", inputs: d, outputs: ff),
                down: try checkpoint.linear("\(layer).output.dense", inputs: ff, outputs: d),
                norm: try norm("\(layer).output.LayerNorm"))
        }
    }

    /// The first token's state behind the last layer, [1, D].
    ///
    /// - Parameters:
    ///   - ids: Token ids without padding, at least one, each within the vocabulary.
    ///   - image: The image's tokens, [N, image width].
    ///   - workspace: Scratch memory.
    /// - Returns: The state.
    func encode(ids: [Int], image: Matrix, workspace: Workspace) -> Matrix {
        let (t, d) = (ids.count, settings.width)
        func matrix(_ rows: Int) -> Matrix { Matrix(rows: rows, columns: d) }
        let (hidden, added) = (matrix(t), matrix(t))
        for (row, id) in ids.enumerated() {
            words.widen(rows: id..<(id + 1), into: hidden.rows(row..<(row + 1)).pointer)
        }
        positions.widen(rows: 0..<t, into: added.pointer)
        add(added, to: hidden)
        firstNorm.apply(hidden, into: hidden)

        let (queries, attended, lifted) = (
            matrix(t), matrix(t), Matrix(rows: t, columns: settings.feedForwardWidth)
        )
        let own = (keys: matrix(t), values: matrix(t))
        let other = (keys: matrix(image.rows), values: matrix(image.rows))
        func attend(_ layer: Attention, to source: Matrix, _ memory: (keys: Matrix, values: Matrix)) {
            linear(hidden, layer.query, into: queries, workspace: workspace)
            linear(source, layer.key, into: memory.keys, workspace: workspace)
            linear(source, layer.value, into: memory.values, workspace: workspace)
            attention(
                queries: queries, keys: memory.keys, values: memory.values, headCount: settings.headCount,
                scale: 1 / Float(d / settings.headCount).squareRoot(), into: attended, workspace: workspace)
            linear(attended, layer.output, into: added, workspace: workspace)
            add(added, to: hidden)
            layer.norm.apply(hidden, into: hidden)
        }
        for layer in layers {
            attend(layer.own, to: hidden, own)
            attend(layer.image, to: image, other)
            linear(hidden, layer.up, activation: .gelu, into: lifted, workspace: workspace)
            linear(lifted, layer.down, into: added, workspace: workspace)
            add(added, to: hidden)
            layer.norm.apply(hidden, into: hidden)
        }
        return hidden.rows(0..<1)
    }
}
