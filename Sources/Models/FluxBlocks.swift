import Basics
import ModelConfiguration
import Tensors

// The blocks of ``FluxTransformer``, whose documentation defines the shapes.

/// Joint attention: the input projections, per-head RMS norms of queries and keys, rotary embeddings.
struct FluxAttention {
    let query, key, value: Linear
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
        query = try checkpoint.linear("\(prefix).\(names[0])", inputs: d, outputs: d, precision: precision)
        key = try checkpoint.linear("\(prefix).\(names[1])", inputs: d, outputs: d, precision: precision)
        value = try checkpoint.linear("\(prefix).\(names[2])", inputs: d, outputs: d, precision: precision)
        queryNorm = try checkpoint.vector("\(prefix).\(names[3]).weight", count: settings.headDimension)
        keyNorm = try checkpoint.vector("\(prefix).\(names[4]).weight", count: settings.headDimension)
    }

    /// Queries, keys and values of a range of tokens, with per-head RMS norms of queries and keys.
    func project(_ a: FluxTransformer.Activations, _ rows: Range<Int>, workspace: Workspace) {
        let (queries, keys) = (a.queries.rows(rows), a.keys.rows(rows))
        linear(a.normed.rows(rows), query, into: queries, workspace: workspace)
        linear(a.normed.rows(rows), key, into: keys, workspace: workspace)
        linear(a.normed.rows(rows), value, into: a.values.rows(rows), workspace: workspace)
        normHeads(of: queries, weight: queryNorm)
        normHeads(of: keys, weight: keyNorm)
    }

    private func normHeads(of x: Matrix, weight: Matrix) {
        let heads = x.reshaped(rows: x.rows * headCount, columns: headDimension)
        rmsNorm(heads, weight: weight, epsilon: FluxTransformer.epsilon, into: heads)
    }

    /// Rotary embeddings and joint attention over all tokens of an image.
    func attend(_ a: FluxTransformer.Activations, _ image: Int, into output: Matrix, workspace: Workspace) {
        let rows = a.rows(image)
        a.rotation.apply(to: a.queries.rows(rows))
        a.rotation.apply(to: a.keys.rows(rows))
        attention(
            queries: a.queries.rows(rows), keys: a.keys.rows(rows), values: a.values.rows(rows),
            headCount: headCount, scale: 1 / Float(headDimension).squareRoot(),
            into: output.rows(rows), workspace: workspace)
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
        let images = 0..<a.imageCount
        let attention = cache.output(actions[first], rows: 0..<a.hidden.rows, scratch: a.component) { output in
            for image in images {
                let (imageRows, textRows) = (a.imageRows(image), a.textRows(image))
                a.modulate(imageRows, imageModulation, image, shift: 0, scale: 1)
                a.modulate(textRows, textModulation, image, shift: 0, scale: 1)
                self.image.attention.project(a, imageRows, workspace: workspace)
                text.attention.project(a, textRows, workspace: workspace)
                self.image.attention.attend(a, image, into: a.attended, workspace: workspace)
                linear(
                    a.attended.rows(imageRows), self.image.attentionOutput, into: output.rows(imageRows),
                    workspace: workspace)
                linear(
                    a.attended.rows(textRows), text.attentionOutput, into: output.rows(textRows),
                    workspace: workspace)
            }
        }
        for image in images {
            let (imageRows, textRows) = (a.imageRows(image), a.textRows(image))
            add(attention.rows(imageRows), gate: a.part(2, of: imageModulation, image), to: a.hidden.rows(imageRows))
            add(attention.rows(textRows), gate: a.part(2, of: textModulation, image), to: a.hidden.rows(textRows))
        }
        applyFeedForward(
            image, a, imageModulation, actions[first + 1], cache, isText: false, workspace: workspace)
        applyFeedForward(
            text, a, textModulation, actions[first + 2], cache, isText: true, workspace: workspace)
    }

    /// Adds the feed-forward of one stream to its hidden states.
    private func applyFeedForward(
        _ stream: Stream, _ a: FluxTransformer.Activations, _ modulation: Matrix, _ action: ComponentAction,
        _ cache: ComponentCache, isText: Bool, workspace: Workspace
    ) {
        let count = isText ? a.textTokenCount : a.imageTokenCount
        func rows(_ image: Int) -> Range<Int> { (image * count)..<((image + 1) * count) }
        let all = 0..<(a.imageCount * count)
        let feedForward = cache.output(action, rows: all, scratch: a.component.rows(all)) { output in
            for image in 0..<a.imageCount {
                let hiddenRows = a.rows(image, isText: isText)
                a.modulate(hiddenRows, modulation, image, shift: 3, scale: 4)
                let mlpHidden = a.mlpHidden.rows(hiddenRows)
                linear(
                    a.normed.rows(hiddenRows), stream.feedForwardIn, activation: .geluTanh, into: mlpHidden,
                    workspace: workspace)
                linear(mlpHidden, stream.feedForwardOut, into: output.rows(rows(image)), workspace: workspace)
            }
        }
        for image in 0..<a.imageCount {
            let hiddenRows = a.rows(image, isText: isText)
            add(feedForward.rows(rows(image)), gate: a.part(5, of: modulation, image), to: a.hidden.rows(hiddenRows))
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
            for image in 0..<a.imageCount { a.modulate(a.rows(image), modulation, image, shift: 0, scale: 1) }
        }
        let attended = cache.output(actions[first], rows: all, scratch: a.attended) { output in
            attention.project(a, all, workspace: workspace)
            for image in 0..<a.imageCount { attention.attend(a, image, into: output, workspace: workspace) }
        }
        // Cached before GELU, which is also applied to a reused output.
        let mlpHidden = cache.output(actions[first + 1], rows: all, scratch: a.mlpHidden) { output in
            linear(a.normed, projMLP, into: output, workspace: workspace)
        }
        let projected = cache.output(actions[first + 2], rows: all, scratch: a.component) { output in
            if attended.pointer != a.attended.pointer { a.attended.copy(from: attended) }
            if mlpHidden.pointer != a.mlpHidden.pointer { a.mlpHidden.copy(from: mlpHidden) }
            gelu(a.mlpHidden)
            linear(a.combined, projOut, into: output, workspace: workspace)
        }
        for image in 0..<a.imageCount {
            let rows = a.rows(image)
            add(projected.rows(rows), gate: a.part(2, of: modulation, image), to: a.hidden.rows(rows))
        }
    }
}

extension FluxTransformer.Activations {
    /// One of the D-wide parts of an image's modulation, `[1, D]`.
    func part(_ index: Int, of modulation: Matrix, _ image: Int) -> Matrix {
        modulation.rows(image..<(image + 1)).columns((index * hidden.columns)..<((index + 1) * hidden.columns))
    }

    /// Adaptive layer norm of rows of an image's hidden states; `shift` and `scale` are parts of the modulation.
    func modulate(_ rows: Range<Int>, _ modulation: Matrix, _ image: Int, shift: Int, scale: Int) {
        modulatedLayerNorm(
            hidden.rows(rows), scale: part(scale, of: modulation, image), shift: part(shift, of: modulation, image),
            epsilon: FluxTransformer.epsilon, into: normed.rows(rows))
    }
}
