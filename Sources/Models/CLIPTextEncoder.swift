import ModelConfiguration
import Tensors

/// The text encoder of CLIP (arXiv 2103.00020): `CLIPTextModel` of transformers.
///
/// Pre-norm layers with causal attention and learned positions. FLUX uses only the pooled output.
public final class CLIPTextEncoder {
    /// The architecture of a CLIP text encoder, from its `config.json`.
    public struct Settings: Sendable, Equatable {
        let vocabulary, width, headCount, layerCount, feedForwardWidth, positionCount: Int
        let activation: Activation
        let epsilon: Float
        let endID: Int

        /// Reads `text_encoder/config.json`; defaults are those of `CLIPTextConfig`.
        ///
        /// - Throws: ``ModelsError`` for another kind of encoder or inconsistent sizes.
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
            activation = try CLIPLayer.activation(c)
            guard width % headCount == 0 else {
                throw ModelsError.invalidValue(
                    path: c.path, key: "num_attention_heads", expected: "a divisor of hidden_size = \(width)",
                    found: "\(headCount)")
            }
        }
    }

    /// The encoder's output for one text.
    public struct Output: Sendable {
        /// Hidden states after the final norm, `[T, D]`.
        public let hiddenStates: Matrix
        /// The hidden state at the end token, `[1, D]`.
        public let pooled: Matrix
    }

    /// D: the width of the encoder's output.
    public var width: Int { settings.width }
    /// The number of token embeddings.
    public var vocabulary: Int { settings.vocabulary }
    /// The maximum number of tokens.
    public var positionCount: Int { settings.positionCount }

    private let folder: String
    private let settings: Settings
    private let embedding, positions: Weight
    private let layers: [CLIPLayer]
    private let finalNorm: LayerNorm
    private let workspace = Workspace()

    /// Opens `text_encoder/`: `config.json` and the weights.
    ///
    /// - Throws: ``ModelsError``, `TensorsError`.
    public convenience init(folder: String) throws {
        try self.init(
            Checkpoint(folder: folder, library: .transformers), Configuration(path: "\(folder)/config.json"),
            folder: folder)
    }

    /// The text encoder in a checkpoint, which may also contain a vision encoder.
    ///
    /// - Throws: ``ModelsError``, `TensorsError`.
    init(_ checkpoint: Checkpoint, _ configuration: Configuration, folder: String) throws {
        let settings = try Settings(configuration)
        let d = settings.width
        // Published files have this prefix; transformers 5 writes a stand-alone encoder without it.
        let root = checkpoint.has("text_model.embeddings.token_embedding.weight") ? "text_model." : ""
        self.folder = folder
        self.settings = settings
        embedding = try checkpoint.weight(
            "\(root)embeddings.token_embedding.weight", rows: settings.vocabulary, columns: d)
        positions = try checkpoint.weight(
            "\(root)embeddings.position_embedding.weight", rows: settings.positionCount, columns: d)
        try checkpoint.requireNoMoreBlocks(
            "\(root)encoder.layers", than: settings.layerCount, key: "num_hidden_layers")
        layers = try (0..<settings.layerCount).map { index in
            try CLIPLayer(
                checkpoint, prefix: "\(root)encoder.layers.\(index)", width: d,
                feedForwardWidth: settings.feedForwardWidth, headCount: settings.headCount,
                activation: settings.activation, epsilon: settings.epsilon)
        }
        finalNorm = try LayerNorm(checkpoint, "\(root)final_layer_norm", count: d, epsilon: settings.epsilon)
    }

    /// Encodes one text.
    ///
    /// - Parameter ids: T token ids, including padding.
    /// - Returns: The hidden states and the pooled output.
    /// - Throws: ``ModelsError/invalidArgument(_:)`` for an id outside the vocabulary or more ids than positions.
    public func encode(ids: [Int64]) throws -> Output {
        let (t, d) = (ids.count, settings.width)
        guard (1...settings.positionCount).contains(t) else {
            throw ModelsError.invalidArgument("\(folder): \(t) tokens; expected 1 to \(settings.positionCount)")
        }
        let activations = CLIPLayer.Activations(
            tokenCount: t, width: d, feedForwardWidth: settings.feedForwardWidth)
        let (hidden, normed) = (activations.hidden, activations.normed)
        positions.widen(rows: 0..<t, into: hidden.pointer)
        for (row, id) in ids.enumerated() {
            guard let id = Int(exactly: id), id >= 0, id < settings.vocabulary else {
                throw ModelsError.invalidArgument(
                    "\(folder): token id \(id) is out of range; the vocabulary has \(settings.vocabulary) entries")
            }
            embedding.widen(rows: id..<(id + 1), into: normed.rows(row..<(row + 1)).pointer)
        }
        add(normed, to: hidden)

        let mask = causalMask(tokenCount: t)
        for layer in layers { layer.apply(activations, mask: mask, workspace: workspace) }
        finalNorm.apply(hidden, into: normed)
        let end = pooledPosition(of: ids)
        return Output(hiddenStates: normed, pooled: normed.rows(end..<(end + 1)))
    }

    /// The position of the first end token.
    ///
    /// Published configurations state a wrong end id, 2, for which transformers uses the largest id.
    private func pooledPosition(of ids: [Int64]) -> Int {
        let end = settings.endID == 2 ? ids.max() : Int64(settings.endID)
        return ids.firstIndex { $0 == end } ?? 0
    }

    /// The additive causal mask of every head, `[heads · T, T]`.
    private func causalMask(tokenCount t: Int) -> Matrix {
        let mask = Matrix(rows: settings.headCount * t, columns: t)
        for row in 0..<mask.rows {
            for key in (row % t + 1)..<max(t, row % t + 1) { mask[row, key] = -.infinity }
        }
        return mask
    }
}

/// A pre-norm transformer layer of CLIP's text and image encoders: self-attention, then feed-forward.
struct CLIPLayer {
    private let headCount: Int
    private let activation: Activation
    private let attentionNorm, feedForwardNorm: LayerNorm
    private let query, key, value, output: Linear
    private let up, down: Linear

    init(
        _ checkpoint: Checkpoint, prefix: String, width: Int, feedForwardWidth: Int, headCount: Int,
        activation: Activation, epsilon: Float
    ) throws {
        func projection(_ name: String) throws -> Linear {
            try checkpoint.linear("\(prefix).self_attn.\(name)", inputs: width, outputs: width)
        }
        self.headCount = headCount
        self.activation = activation
        attentionNorm = try LayerNorm(checkpoint, "\(prefix).layer_norm1", count: width, epsilon: epsilon)
        feedForwardNorm = try LayerNorm(checkpoint, "\(prefix).layer_norm2", count: width, epsilon: epsilon)
        query = try projection("q_proj")
        key = try projection("k_proj")
        value = try projection("v_proj")
        output = try projection("out_proj")
        up = try checkpoint.linear("\(prefix).mlp.fc1", inputs: width, outputs: feedForwardWidth)
        down = try checkpoint.linear("\(prefix).mlp.fc2", inputs: feedForwardWidth, outputs: width)
    }

    /// The activations of a forward pass over T tokens, shared by all layers.
    struct Activations {
        /// The residual stream, `[T, D]`.
        let hidden: Matrix
        /// Normalised hidden states, `[T, D]`.
        let normed: Matrix
        fileprivate let queries, keys, values, attended, added, mlpHidden: Matrix

        init(tokenCount: Int, width: Int, feedForwardWidth: Int) {
            func matrix() -> Matrix { Matrix(rows: tokenCount, columns: width) }
            (hidden, normed, queries, keys) = (matrix(), matrix(), matrix(), matrix())
            (values, attended, added) = (matrix(), matrix(), matrix())
            mlpHidden = Matrix(rows: tokenCount, columns: feedForwardWidth)
        }
    }

    /// Updates the hidden states; `mask`, `[heads · T, T]`, is added to the attention scores.
    func apply(_ a: Activations, mask: Matrix? = nil, workspace: Workspace) {
        attentionNorm.apply(a.hidden, into: a.normed)
        linear(a.normed, query, into: a.queries, workspace: workspace)
        linear(a.normed, key, into: a.keys, workspace: workspace)
        linear(a.normed, value, into: a.values, workspace: workspace)
        attention(
            queries: a.queries, keys: a.keys, values: a.values, headCount: headCount,
            scale: 1 / Float(a.hidden.columns / headCount).squareRoot(), bias: mask, into: a.attended,
            workspace: workspace)
        linear(a.attended, output, into: a.added, workspace: workspace)
        add(a.added, to: a.hidden)

        feedForwardNorm.apply(a.hidden, into: a.normed)
        linear(a.normed, up, activation: activation, into: a.mlpHidden, workspace: workspace)
        linear(a.mlpHidden, down, into: a.added, workspace: workspace)
        add(a.added, to: a.hidden)
    }

    /// The activation named by `hidden_act`.
    static func activation(_ configuration: Configuration) throws -> Activation {
        let activations: [String: Activation] = [
            "quick_gelu": .quickGelu, "gelu": .gelu, "gelu_new": .geluTanh, "gelu_pytorch_tanh": .geluTanh,
        ]
        let name = try configuration.require("hidden_act", oneOf: activations.keys.sorted(), default: "quick_gelu")
        return activations[name, default: .quickGelu]
    }
}
