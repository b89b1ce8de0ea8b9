import ModelConfiguration
import Tensors

/// A layer norm with its own weight and bias.
struct LayerNorm {
    let weight, bias: Matrix
    let epsilon: Float

    init(_ checkpoint: Checkpoint, _ name: String, count: Int, epsilon: Float) throws {
        weight = try checkpoint.vector("\(name).weight", count: count)
        bias = try checkpoint.vector("\(name).bias", count: count)
        self.epsilon = epsilon
    }

    func apply(_ x: Matrix, into y: Matrix) { layerNorm(x, weight: weight, bias: bias, epsilon: epsilon, into: y) }
}

/// A layer of CLIP's transformers, of text and of images alike: attention and a perceptron, each behind a norm.
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

    /// Memory for the layers of one forward pass.
    struct Activations {
        /// What the layers add to, [T, D].
        let hidden: Matrix
        /// Scratch, also for what is added to the hidden states, [T, D].
        let normed: Matrix
        fileprivate let queries, keys, values, attended, added, lifted: Matrix

        init(tokenCount: Int, width: Int, feedForwardWidth: Int) {
            func matrix() -> Matrix { Matrix(rows: tokenCount, columns: width) }
            (hidden, normed, queries, keys) = (matrix(), matrix(), matrix(), matrix())
            (values, attended, added) = (matrix(), matrix(), matrix())
            lifted = Matrix(rows: tokenCount, columns: feedForwardWidth)
        }
    }

    /// Changes the hidden states; `mask` is added to the scores, [heads * T, T].
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
        linear(a.normed, up, activation: activation, into: a.lifted, workspace: workspace)
        linear(a.lifted, down, into: a.added, workspace: workspace)
        add(a.added, to: a.hidden)
    }

    /// The activation under `hidden_act`.
    static func activation(_ configuration: Configuration) throws -> Activation {
        let activations: [String: Activation] = [
            "quick_gelu": .quickGelu, "gelu": .gelu, "gelu_new": .geluTanh, "gelu_pytorch_tanh": .geluTanh,
        ]
        let name = try configuration.require("hidden_act", oneOf: activations.keys.sorted(), default: "quick_gelu")
        return activations[name, default: .quickGelu]
    }
}
