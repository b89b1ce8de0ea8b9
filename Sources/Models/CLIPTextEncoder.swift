import Tensors

/// The text encoder of CLIP (arXiv 2103.00020): `CLIPTextModel` of transformers.
///
/// Pre-norm layers with causal attention and learned positions. FLUX reads the pooled output alone.
public final class CLIPTextEncoder {
    /// The sizes of a CLIP text encoder, from its `config.json`.
    public struct Settings: Sendable, Equatable {
        let vocabulary, width, headCount, layerCount, feedForwardWidth, positionCount: Int
        let activation: Activation
        let epsilon: Float
        let endID: Int

        /// Reads `text_encoder/config.json`; rules for absent keys are those of `CLIPTextConfig`.
        ///
        /// - Throws: ``ModelsError`` for another kind of encoder or sizes that do not fit each other.
        public init(_ configuration: Configuration) throws {
            let c = configuration
            _ = try c.require("model_type", oneOf: ["clip_text_model"], default: "clip_text_model")
            vocabulary = try c.count("vocab_size", default: 49408)
            width = try c.count("hidden_size", default: 512)
            feedForwardWidth = try c.count("intermediate_size", default: 2048)
            layerCount = try c.count("num_hidden_layers", default: 12, in: 1...1000)
            headCount = try c.count("num_attention_heads", default: 8)
            positionCount = try c.count("max_position_embeddings", default: 77, in: 1...4096)
            epsilon = Float(try c.positive("layer_norm_eps", default: 1e-5))
            endID = try c.int("eos_token_id", default: 49407)
            let activations: [String: Activation] = [
                "quick_gelu": .quickGelu, "gelu": .gelu, "gelu_new": .geluTanh, "gelu_pytorch_tanh": .geluTanh,
            ]
            let name = try c.require("hidden_act", oneOf: activations.keys.sorted(), default: "quick_gelu")
            activation = activations[name, default: .quickGelu]
            guard width % headCount == 0 else {
                throw ModelsError.invalidValue(
                    path: c.path, key: "num_attention_heads", expected: "a divisor of hidden_size = \(width)",
                    found: "\(headCount)")
            }
        }
    }

    private struct Norm {
        let weight, bias: Matrix
    }

    private struct Layer {
        let attentionNorm, feedForwardNorm: Norm
        let query, key, value, output: Linear
        let up, down: Linear
    }

    /// What the encoder makes of a text.
    public struct Output: Sendable {
        /// Hidden states after the final norm, [T, D].
        public let hiddenStates: Matrix
        /// The hidden state at the end token, [1, D].
        public let pooled: Matrix
    }

    /// The width of the encoder's output.
    public var width: Int { settings.width }
    /// The number of token ids that have an embedding.
    public var vocabulary: Int { settings.vocabulary }
    /// The most tokens that the encoder reads.
    public var positionCount: Int { settings.positionCount }

    private let folder: String
    private let settings: Settings
    private let embedding, positions: Weight
    private let layers: [Layer]
    private let finalNorm: Norm
    private let workspace = Workspace()

    /// Opens `text_encoder/`: `config.json` and the weights.
    ///
    /// - Throws: ``ModelsError``, `TensorsError`.
    public init(folder: String) throws {
        let settings = try Settings(Configuration(path: "\(folder)/config.json"))
        let checkpoint = try Checkpoint(folder: folder)
        let (d, ff) = (settings.width, settings.feedForwardWidth)
        // Published files have this prefix; transformers 5 writes none.
        let root = checkpoint.has("text_model.embeddings.token_embedding.weight") ? "text_model." : ""
        func norm(_ name: String) throws -> Norm {
            Norm(
                weight: try checkpoint.vector("\(name).weight", count: d),
                bias: try checkpoint.vector("\(name).bias", count: d))
        }
        self.folder = folder
        self.settings = settings
        embedding = try checkpoint.weight(
            "\(root)embeddings.token_embedding.weight", rows: settings.vocabulary, columns: d)
        positions = try checkpoint.weight(
            "\(root)embeddings.position_embedding.weight", rows: settings.positionCount, columns: d)
        layers = try (0..<settings.layerCount).map { index in
            let prefix = "\(root)encoder.layers.\(index)"
            func projection(_ name: String) throws -> Linear {
                try checkpoint.linear("\(prefix).self_attn.\(name)", inputs: d, outputs: d)
            }
            return Layer(
                attentionNorm: try norm("\(prefix).layer_norm1"), feedForwardNorm: try norm("\(prefix).layer_norm2"),
                query: try projection("q_proj"), key: try projection("k_proj"), value: try projection("v_proj"),
                output: try projection("out_proj"),
                up: try checkpoint.linear("\(prefix).mlp.fc1", inputs: d, outputs: ff),
                down: try checkpoint.linear("\(prefix).mlp.fc2", inputs: ff, outputs: d))
        }
        finalNorm = try norm("\(root)final_layer_norm")
    }

    /// Encodes one text.
    ///
    /// - Parameter ids: Token ids, padding included.
    /// - Returns: The hidden states and the pooled output.
    /// - Throws: ``ModelsError/invalidArgument(_:)`` for an id beyond the vocabulary, and for more ids than positions.
    public func encode(ids: [Int64]) throws -> Output {
        let (t, d) = (ids.count, settings.width)
        guard (1...settings.positionCount).contains(t) else {
            throw ModelsError.invalidArgument("\(folder): \(t) tokens; expected 1 to \(settings.positionCount)")
        }
        let hidden = Matrix(rows: t, columns: d)
        let normed = Matrix(rows: t, columns: d)
        positions.widen(rows: 0..<t, into: hidden.pointer)
        for (row, id) in ids.enumerated() {
            guard let id = Int(exactly: id), id >= 0, id < settings.vocabulary else {
                throw ModelsError.invalidArgument(
                    "\(folder): the tokenizer gives id \(id), but the vocabulary has \(settings.vocabulary) entries")
            }
            embedding.widen(rows: id..<(id + 1), into: normed.rows(row..<(row + 1)).pointer)
        }
        add(normed, to: hidden)

        let (queries, keys) = (Matrix(rows: t, columns: d), Matrix(rows: t, columns: d))
        let (values, attended) = (Matrix(rows: t, columns: d), Matrix(rows: t, columns: d))
        let lifted = Matrix(rows: t, columns: settings.feedForwardWidth)
        let output = Matrix(rows: t, columns: d)
        let mask = causalMask(tokenCount: t)
        func apply(_ norm: Norm) {
            layerNorm(hidden, weight: norm.weight, bias: norm.bias, epsilon: settings.epsilon, into: normed)
        }
        for layer in layers {
            apply(layer.attentionNorm)
            linear(normed, layer.query, into: queries, workspace: workspace)
            linear(normed, layer.key, into: keys, workspace: workspace)
            linear(normed, layer.value, into: values, workspace: workspace)
            attention(
                queries: queries, keys: keys, values: values, headCount: settings.headCount,
                scale: 1 / Float(d / settings.headCount).squareRoot(), bias: mask, into: attended,
                workspace: workspace)
            linear(attended, layer.output, into: output, workspace: workspace)
            add(output, to: hidden)

            apply(layer.feedForwardNorm)
            linear(normed, layer.up, activation: settings.activation, into: lifted, workspace: workspace)
            linear(lifted, layer.down, into: output, workspace: workspace)
            add(output, to: hidden)
        }
        apply(finalNorm)
        let end = pooledPosition(of: ids)
        return Output(hiddenStates: normed, pooled: normed.rows(end..<(end + 1)))
    }

    /// The first end token; published configurations name a wrong one, 2, for which transformers takes the largest id.
    private func pooledPosition(of ids: [Int64]) -> Int {
        let end = settings.endID == 2 ? ids.max() : Int64(settings.endID)
        return ids.firstIndex { $0 == end } ?? 0
    }

    /// Keeps every token from looking at later ones: a bias for each head, [H * T, T].
    private func causalMask(tokenCount t: Int) -> Matrix {
        let mask = Matrix(rows: settings.headCount * t, columns: t)
        for row in 0..<mask.rows {
            for key in (row % t + 1)..<max(t, row % t + 1) { mask[row, key] = -.infinity }
        }
        return mask
    }
}
