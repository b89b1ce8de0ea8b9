import ModelConfiguration
import Tensors

/// The weights of an attention's input: projections, and the RMS norms of each head's queries and keys.
struct FluxAttentionInput {
    let query, key, value: Linear
    /// [1, head dimension].
    let queryNorm, keyNorm: Matrix

    /// Reads an attention whose layers query, key, value and whose norms of queries and keys have the given names.
    init(_ checkpoint: Checkpoint, _ prefix: String, _ names: [String], _ settings: FluxConfiguration) throws {
        let d = settings.width
        query = try checkpoint.linear("\(prefix).\(names[0])", inputs: d, outputs: d)
        key = try checkpoint.linear("\(prefix).\(names[1])", inputs: d, outputs: d)
        value = try checkpoint.linear("\(prefix).\(names[2])", inputs: d, outputs: d)
        queryNorm = try checkpoint.vector("\(prefix).\(names[3]).weight", count: settings.headDimension)
        keyNorm = try checkpoint.vector("\(prefix).\(names[4]).weight", count: settings.headDimension)
    }
}

/// A double-stream block (`FluxTransformerBlock`): text and image have weights of their own and attend to each other.
struct FluxFullBlock {
    /// What the block does to one of its streams.
    struct Stream {
        /// adaLN-zero: shift, scale, gate of the attention, then of the feed forward.
        let modulation: Linear
        let attention: FluxAttentionInput
        let attentionOutput: Linear
        let feedForwardIn, feedForwardOut: Linear
    }

    let image, text: Stream

    init(_ checkpoint: Checkpoint, _ prefix: String, _ settings: FluxConfiguration) throws {
        let d = settings.width
        func linear(_ name: String, _ inputs: Int, _ outputs: Int) throws -> Linear {
            try checkpoint.linear("\(prefix).\(name)", inputs: inputs, outputs: outputs)
        }
        image = Stream(
            modulation: try linear("norm1.linear", d, 6 * d),
            attention: try FluxAttentionInput(
                checkpoint, "\(prefix).attn", ["to_q", "to_k", "to_v", "norm_q", "norm_k"], settings),
            attentionOutput: try linear("attn.to_out.0", d, d),
            feedForwardIn: try linear("ff.net.0.proj", d, 4 * d), feedForwardOut: try linear("ff.net.2", 4 * d, d))
        text = Stream(
            modulation: try linear("norm1_context.linear", d, 6 * d),
            attention: try FluxAttentionInput(
                checkpoint, "\(prefix).attn",
                ["add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q", "norm_added_k"], settings),
            attentionOutput: try linear("attn.to_add_out", d, d),
            feedForwardIn: try linear("ff_context.net.0.proj", d, 4 * d),
            feedForwardOut: try linear("ff_context.net.2", 4 * d, d))
    }
}

/// A single-stream block (`FluxSingleTransformerBlock`): attention and MLP side by side, joined by one output projection.
struct FluxSingleBlock {
    /// adaLN-zero: shift, scale, gate.
    let modulation: Linear
    let attention: FluxAttentionInput
    let projMLP, projOut: Linear

    init(_ checkpoint: Checkpoint, _ prefix: String, _ settings: FluxConfiguration) throws {
        let d = settings.width
        modulation = try checkpoint.linear("\(prefix).norm.linear", inputs: d, outputs: 3 * d)
        attention = try FluxAttentionInput(
            checkpoint, "\(prefix).attn", ["to_q", "to_k", "to_v", "norm_q", "norm_k"], settings)
        projMLP = try checkpoint.linear("\(prefix).proj_mlp", inputs: d, outputs: 4 * d)
        projOut = try checkpoint.linear("\(prefix).proj_out", inputs: 5 * d, outputs: d)
    }
}
