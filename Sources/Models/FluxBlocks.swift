import Basics
import ModelConfiguration
import Tensors

// The blocks of ``FluxTransformer``, whose documentation defines the shapes.

/// Joint attention: the input projections, per-head RMS norms of queries and keys, rotary embeddings.
struct FluxAttention {
    /// Queries and keys, which norms and rotary embeddings follow in float32.
    let queryKey: StackedLinear
    let value: Linear
    /// `[1, head dimension]`.
    let queryNorm, keyNorm: Matrix
    let headCount, headDimension: Int

    /// Reads the layers `names`: query, key, value, query norm, key norm.
    init(
        _ checkpoint: Checkpoint, _ prefix: String, _ names: [String], _ settings: FluxConfiguration,
        _ precision: Precision
    ) throws {
        let d = settings.width
        headCount = settings.headCount
        headDimension = settings.headDimension
        queryKey = try StackedLinear(
            checkpoint, prefix, [names[0], names[1]], inputs: d, outputs: d, precision: precision)
        value = try checkpoint.linear("\(prefix).\(names[2])", inputs: d, outputs: d, precision: precision)
        queryNorm = try checkpoint.vector("\(prefix).\(names[3]).weight", count: settings.headDimension)
        keyNorm = try checkpoint.vector("\(prefix).\(names[4]).weight", count: settings.headDimension)
    }

    /// Queries, keys and values of rows of the normalised hidden states, before norms and rotary embeddings.
    func project(_ a: FluxTransformer.Activations, _ rows: Range<Int>, workspace: Workspace) {
        let input = a.normed.rows(rows)
        queryKey.apply(input, into: a.queryKey.rows(rows), workspace: workspace)
        linear(input, value, into: a.values.rows(rows), workspace: workspace)
    }

    /// Norms and rotary embeddings of the queries and keys of a stream.
    func rotate(_ a: FluxTransformer.Activations, isText: Bool) {
        let d = a.hidden.columns
        let tokens = isText ? 0..<a.textTokenCount : a.textTokenCount..<a.tokenCount
        for image in 0..<a.imageCount {
            let rows = a.rows(image, isText: isText)
            let input = a.queryKey.rows(rows)
            a.rotation.apply(
                to: input.columns(0..<d), tokens: tokens, normWeight: queryNorm, epsilon: FluxTransformer.epsilon,
                into: a.queries.rows(rows))
            a.rotation.apply(
                to: input.columns(d..<(2 * d)), tokens: tokens, normWeight: keyNorm, epsilon: FluxTransformer.epsilon,
                into: a.keys.rows(rows))
        }
    }

    /// Joint attention over all tokens of each image.
    func attend(_ a: FluxTransformer.Activations, into output: Matrix, workspace: Workspace) {
        Tensors.attention(
            queries: a.queries, imageCount: a.imageCount, headCount: headCount,
            scale: 1 / Float(headDimension).squareRoot(), into: output, workspace: workspace
        ) { image in
            let tokens = a.tokens(image)
            return (tokens, KeysAndValues(keys: a.keys, values: a.values, rows: tokens))
        }
    }
}

/// A double-stream block (`FluxTransformerBlock`): separate weights for text and image, joint attention.
struct FluxFullBlock {
    /// The weights of the text stream or the image stream.
    struct Stream {
        /// adaLN-zero: shift, scale, gate of the attention, then of the feed-forward.
        let modulation: Linear
        let attention: FluxAttention
        let attentionOutput: Linear
        let feedForwardIn, feedForwardOut: Linear
    }

    let image, text: Stream

    init(
        _ checkpoint: Checkpoint, _ prefix: String, _ settings: FluxConfiguration, _ precision: Precision
    ) throws {
        let d = settings.width
        func linear(_ name: String, _ inputs: Int, _ outputs: Int) throws -> Linear {
            try checkpoint.linear("\(prefix).\(name)", inputs: inputs, outputs: outputs, precision: precision)
        }
        func modulation(_ name: String) throws -> Linear {
            try checkpoint.linear("\(prefix).\(name)", inputs: d, outputs: 6 * d)
        }
        image = Stream(
            modulation: try modulation("norm1.linear"),
            attention: try FluxAttention(
                checkpoint, "\(prefix).attn", ["to_q", "to_k", "to_v", "norm_q", "norm_k"], settings, precision),
            attentionOutput: try linear("attn.to_out.0", d, d),
            feedForwardIn: try linear("ff.net.0.proj", d, 4 * d), feedForwardOut: try linear("ff.net.2", 4 * d, d))
        text = Stream(
            modulation: try modulation("norm1_context.linear"),
            attention: try FluxAttention(
                checkpoint, "\(prefix).attn",
                ["add_q_proj", "add_k_proj", "add_v_proj", "norm_added_q", "norm_added_k"], settings,
                precision),
            attentionOutput: try linear("attn.to_add_out", d, d),
            feedForwardIn: try linear("ff_context.net.0.proj", d, 4 * d),
            feedForwardOut: try linear("ff_context.net.2", 4 * d, d))
    }

    /// Applies the block to the hidden states.
    ///
    /// - Parameters:
    ///   - a: The activations.
    ///   - imageModulation: `[P, 6 D]`.
    ///   - textModulation: `[P, 6 D]`.
    ///   - actions: For attention, image feed-forward, text feed-forward.
    ///   - cache: The cached outputs.
    ///   - workspace: Scratch memory.
    func apply(
        _ a: FluxTransformer.Activations, imageModulation: Matrix, textModulation: Matrix,
        actions: ArraySlice<ComponentAction>, cache: ComponentCache, workspace: Workspace
    ) {
        let first = actions.startIndex
        let all = 0..<a.hidden.rows
        let attention = cache.output(actions[first], rows: all, scratch: a.component) { output in
            project(image, a, imageModulation, isText: false, workspace: workspace)
            project(text, a, textModulation, isText: true, workspace: workspace)
            image.attention.attend(a, into: a.attended, workspace: workspace)
            let (imageRows, textRows) = (a.rows(isText: false), a.rows(isText: true))
            linear(
                a.attended.rows(imageRows), image.attentionOutput, into: output.rows(imageRows), workspace: workspace)
            linear(a.attended.rows(textRows), text.attentionOutput, into: output.rows(textRows), workspace: workspace)
        }
        a.addToHidden(attention, gate: 2, of: imageModulation, isText: false)
        a.addToHidden(attention, gate: 2, of: textModulation, isText: true)
        applyFeedForward(image, a, imageModulation, actions[first + 1], cache, isText: false, workspace: workspace)
        applyFeedForward(text, a, textModulation, actions[first + 2], cache, isText: true, workspace: workspace)
    }

    /// The inputs of the attention of one stream.
    private func project(
        _ stream: Stream, _ a: FluxTransformer.Activations, _ modulation: Matrix, isText: Bool, workspace: Workspace
    ) {
        let rows = a.rows(isText: isText)
        a.modulate(isText: isText, modulation, shift: 0, scale: 1, into: a.normed.rows(rows))
        stream.attention.project(a, rows, workspace: workspace)
        stream.attention.rotate(a, isText: isText)
    }

    /// Adds the feed-forward of one stream to its hidden states.
    private func applyFeedForward(
        _ stream: Stream, _ a: FluxTransformer.Activations, _ modulation: Matrix, _ action: ComponentAction,
        _ cache: ComponentCache, isText: Bool, workspace: Workspace
    ) {
        let rows = a.rows(isText: isText)
        let residual = ResidualSum(a.hidden.rows(rows), gate: a.part(5, of: modulation))
        let scratch = a.component.rows(rows)
        cache.addOutput(action, rows: 0..<rows.count, scratch: scratch, to: residual) { output, isKept in
            let (normed, mlpHidden) = (a.normed.rows(rows), a.mlpHidden.rows(rows))
            a.modulate(isText: isText, modulation, shift: 3, scale: 4, into: normed)
            linear(normed, stream.feedForwardIn, activation: .geluTanh, into: mlpHidden, workspace: workspace)
            linear(
                mlpHidden, stream.feedForwardOut, addingTo: residual, storesResult: isKept, into: output,
                workspace: workspace)
        }
    }
}

/// A single-stream block (`FluxSingleTransformerBlock`): parallel attention and MLP with a common output projection.
struct FluxSingleBlock {
    /// adaLN-zero: shift, scale, gate.
    let modulation: Linear
    let attention: FluxAttention
    let projMLP, projOut: Linear

    init(
        _ checkpoint: Checkpoint, _ prefix: String, _ settings: FluxConfiguration, _ precision: Precision
    ) throws {
        let d = settings.width
        modulation = try checkpoint.linear("\(prefix).norm.linear", inputs: d, outputs: 3 * d)
        attention = try FluxAttention(
            checkpoint, "\(prefix).attn", ["to_q", "to_k", "to_v", "norm_q", "norm_k"], settings, precision)
        projMLP = try checkpoint.linear("\(prefix).proj_mlp", inputs: d, outputs: 4 * d, precision: precision)
        projOut = try checkpoint.linear("\(prefix).proj_out", inputs: 5 * d, outputs: d, precision: precision)
    }

    /// Applies the block to the hidden states.
    ///
    /// - Parameters:
    ///   - a: The activations.
    ///   - modulation: `[P, 3 D]`.
    ///   - actions: For attention, MLP, output projection.
    ///   - cache: The cached outputs.
    ///   - workspace: Scratch memory.
    func apply(
        _ a: FluxTransformer.Activations, modulation: Matrix, actions: ArraySlice<ComponentAction>,
        cache: ComponentCache, workspace: Workspace
    ) {
        let first = actions.startIndex
        let all = 0..<a.hidden.rows
        if actions[first].isComputed || actions[first + 1].isComputed {
            a.modulate(isText: true, modulation, shift: 0, scale: 1, into: a.normed.rows(a.rows(isText: true)))
            a.modulate(isText: false, modulation, shift: 0, scale: 1, into: a.normed.rows(a.rows(isText: false)))
        }
        let attended = cache.output(actions[first], rows: all, scratch: a.attended) { output in
            attention.project(a, all, workspace: workspace)
            attention.rotate(a, isText: true)
            attention.rotate(a, isText: false)
            attention.attend(a, into: output, workspace: workspace)
        }
        // Cached before GELU, which is also applied to a reused output.
        let isFused = actions[first + 1] == .compute
        let mlpHidden = cache.output(actions[first + 1], rows: all, scratch: a.mlpHidden) { output in
            linear(
                a.normed, projMLP, activation: isFused ? .geluTanh : .none, into: output, workspace: workspace)
        }
        let projected = cache.output(actions[first + 2], rows: all, scratch: a.component) { output in
            if actions[first] != .compute { activate(.none, attended, into: a.attended) }
            if !isFused { activate(.geluTanh, mlpHidden, into: a.mlpHidden) }
            linear(a.combined, projOut, into: output, workspace: workspace)
        }
        a.addToHidden(projected, gate: 2, of: modulation, isText: true)
        a.addToHidden(projected, gate: 2, of: modulation, isText: false)
    }
}

extension FluxTransformer.Activations {
    /// One of the D-wide parts of the images' modulations, `[P, D]`.
    func part(_ index: Int, of modulation: Matrix) -> Matrix {
        modulation.columns((index * hidden.columns)..<((index + 1) * hidden.columns))
    }

    /// Adds a stream's rows of a component's output, `[P·S, D]`, to the hidden states, times a part of the modulation.
    func addToHidden(_ output: Matrix, gate: Int, of modulation: Matrix, isText: Bool) {
        let rows = rows(isText: isText)
        ResidualSum(hidden.rows(rows), gate: part(gate, of: modulation)).add(output.rows(rows))
    }

    /// Adaptive layer norm of a stream's hidden states; `shift` and `scale` are parts of the modulation.
    func modulate(isText: Bool, _ modulation: Matrix, shift: Int, scale: Int, into y: Matrix) {
        let (shift, scale) = (part(shift, of: modulation), part(scale, of: modulation))
        let count = isText ? textTokenCount : imageTokenCount
        for image in 0..<imageCount {
            modulatedLayerNorm(
                hidden.rows(rows(image, isText: isText)), scale: scale.rows(image..<(image + 1)),
                shift: shift.rows(image..<(image + 1)), epsilon: FluxTransformer.epsilon,
                into: y.rows((image * count)..<((image + 1) * count)))
        }
    }
}
