import ModelConfiguration
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
            activation = try CLIPLayer.activation(c)
            guard width % headCount == 0 else {
                throw ModelsError.invalidValue(
                    path: c.path, key: "num_attention_heads", expected: "a divisor of hidden_size = \(width)",
                    found: "\(headCount)")
            }
        }
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
    private let layers: [CLIPLayer]
    private let finalNorm: LayerNorm
    private let workspace = Workspace()

    /// Opens `text_encoder/`: `config.json` and the weights.
    ///
    /// - Throws: ``ModelsError``, `TensorsError`.
    public convenience init(folder: String) throws {
        try self.init(Checkpoint(folder: folder), Configuration(path: "\(folder)/config.json"), folder: folder)
    }

    /// The text encoder in a checkpoint, alone or beside a vision encoder.
    ///
    /// - Throws: ``ModelsError``, `TensorsError`.
    init(_ checkpoint: Checkpoint, _ configuration: Configuration, folder: String) throws {
        let settings = try Settings(configuration)
        let d = settings.width
        // Published files have this prefix; transformers 5 writes none for an encoder alone.
        let root = checkpoint.has("text_model.embeddings.token_embedding.weight") ? "text_model." : ""
        self.folder = folder
        self.settings = settings
        embedding = try checkpoint.weight(
            "\(root)embeddings.token_embedding.weight", rows: settings.vocabulary, columns: d)
        positions = try checkpoint.weight(
            "\(root)embeddings.position_embedding.weight", rows: settings.positionCount, columns: d)
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
    /// - Parameter ids: Token ids, padding included.
    /// - Returns: The hidden states and the pooled output.
    /// - Throws: ``ModelsError/invalidArgument(_:)`` for an id beyond the vocabulary, and for more ids than positions.
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
                    "\(folder): the tokenizer gives id \(id), but the vocabulary has \(settings.vocabulary) entries")
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
