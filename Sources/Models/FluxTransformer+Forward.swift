import ModelConfiguration
import Tensors

extension FluxTransformer {
    /// One forward pass: the velocity, from noise to image, at the latents.
    ///
    /// - Parameters:
    ///   - latents: Noisy latents, [P, C * h * w].
    ///   - prompts: The prompt of each image, all of the activations' length.
    ///   - modulation: The modulations of this timestep.
    ///   - actions: What each component does at this step: for every double-stream block attention, image MLP, text MLP, then for every
    ///     single-stream block attention, MLP, output projection.
    ///   - cache: The kept outputs.
    ///   - a: Scratch for this batch and size.
    ///   - output: The prediction, [P, C * h * w]; overwritten.
    public func forward(
        latents: Matrix, prompts: [Prompt], modulation: Modulation, actions: [ComponentAction], cache: ComponentCache,
        activations a: Activations, into output: Matrix
    ) {
        precondition(prompts.count == a.imageCount, "one prompt for each image")
        let t = a.imageTokenCount
        for image in 0..<a.imageCount {
            let patches = a.patches.rows((image * t)..<((image + 1) * t))
            a.grid.cut(latents.rows(image..<(image + 1)), into: patches)
            a.hidden.rows(a.textRows(image)).copy(from: prompts[image].text)
            linear(patches, latentEmbedding, into: a.hidden.rows(a.imageRows(image)), workspace: workspace)
        }
        for index in fullBlocks.indices {
            let (image, text) = (modulation.fullImage[index], modulation.fullText[index])
            run(fullBlocks[index], image, text, actions[(3 * index)..<(3 * index + 3)], cache, a)
        }
        for index in singleBlocks.indices {
            let first = 3 * (fullBlocks.count + index)
            run(singleBlocks[index], modulation.single[index], actions[first..<(first + 3)], cache, a)
        }
        for image in 0..<a.imageCount {
            let rows = a.imageRows(image)
            let patches = a.patches.rows((image * t)..<((image + 1) * t))
            // Unlike in the blocks, the scale comes first.
            modulate(a, rows, modulation.final, image, shift: 1, scale: 0)
            linear(a.normed.rows(rows), projOut, into: patches, workspace: workspace)
            a.grid.join(patches, into: output.rows(image..<(image + 1)))
        }
    }

    /// Part `number` of an image's modulation, [1, D].
    private func part(_ number: Int, of modulation: Matrix, _ image: Int) -> Matrix {
        modulation.rows(image..<(image + 1)).columns((number * settings.width)..<((number + 1) * settings.width))
    }

    /// Layer norm of some of an image's hidden states, with the given parts of the modulation.
    private func modulate(
        _ a: Activations, _ rows: Range<Int>, _ modulation: Matrix, _ image: Int, shift: Int, scale: Int
    ) {
        modulatedLayerNorm(
            a.hidden.rows(rows), scale: part(scale, of: modulation, image), shift: part(shift, of: modulation, image),
            epsilon: Self.epsilon, into: a.normed.rows(rows))
    }

    // MARK: - Double-stream blocks

    private func run(
        _ block: FluxFullBlock, _ imageModulation: Matrix, _ textModulation: Matrix,
        _ actions: ArraySlice<ComponentAction>, _ cache: ComponentCache, _ a: Activations
    ) {
        let first = actions.startIndex
        let images = 0..<a.imageCount
        let attention = cache.output(actions[first], rows: 0..<a.hidden.rows, scratch: a.component) { output in
            for image in images {
                let (imageRows, textRows) = (a.imageRows(image), a.textRows(image))
                modulate(a, imageRows, imageModulation, image, shift: 0, scale: 1)
                modulate(a, textRows, textModulation, image, shift: 0, scale: 1)
                project(a, imageRows, block.image.attention)
                project(a, textRows, block.text.attention)
                attend(a, image, into: a.attended)
                linear(
                    a.attended.rows(imageRows), block.image.attentionOutput, into: output.rows(imageRows),
                    workspace: workspace)
                linear(
                    a.attended.rows(textRows), block.text.attentionOutput, into: output.rows(textRows),
                    workspace: workspace)
            }
        }
        for image in images {
            let (imageRows, textRows) = (a.imageRows(image), a.textRows(image))
            add(attention.rows(imageRows), gate: part(2, of: imageModulation, image), to: a.hidden.rows(imageRows))
            add(attention.rows(textRows), gate: part(2, of: textModulation, image), to: a.hidden.rows(textRows))
        }
        runFeedForward(block.image, imageModulation, actions[first + 1], cache, a, isText: false)
        runFeedForward(block.text, textModulation, actions[first + 2], cache, a, isText: true)
    }

    /// Adds the feed forward of one stream to its hidden states.
    private func runFeedForward(
        _ stream: FluxFullBlock.Stream, _ modulation: Matrix, _ action: ComponentAction, _ cache: ComponentCache,
        _ a: Activations, isText: Bool
    ) {
        let count = isText ? a.textTokenCount : a.imageTokenCount
        func rows(_ image: Int) -> Range<Int> { (image * count)..<((image + 1) * count) }
        let all = 0..<(a.imageCount * count)
        let feedForward = cache.output(action, rows: all, scratch: a.component.rows(all)) { output in
            for image in 0..<a.imageCount {
                let hiddenRows = a.rows(image, isText: isText)
                modulate(a, hiddenRows, modulation, image, shift: 3, scale: 4)
                let expanded = a.expanded.rows(hiddenRows)
                linear(
                    a.normed.rows(hiddenRows), stream.feedForwardIn, activation: .geluTanh, into: expanded,
                    workspace: workspace)
                linear(expanded, stream.feedForwardOut, into: output.rows(rows(image)), workspace: workspace)
            }
        }
        for image in 0..<a.imageCount {
            let hiddenRows = a.rows(image, isText: isText)
            add(feedForward.rows(rows(image)), gate: part(5, of: modulation, image), to: a.hidden.rows(hiddenRows))
        }
    }

    // MARK: - Single-stream blocks

    private func run(
        _ block: FluxSingleBlock, _ modulation: Matrix, _ actions: ArraySlice<ComponentAction>, _ cache: ComponentCache,
        _ a: Activations
    ) {
        let first = actions.startIndex
        let all = 0..<a.hidden.rows
        if actions[first].isComputed || actions[first + 1].isComputed {
            for image in 0..<a.imageCount { modulate(a, a.rows(image), modulation, image, shift: 0, scale: 1) }
        }
        let attention = cache.output(actions[first], rows: all, scratch: a.attended) { output in
            project(a, all, block.attention)
            for image in 0..<a.imageCount { attend(a, image, into: output) }
        }
        // Kept before GELU, which runs on a reused output too.
        let expanded = cache.output(actions[first + 1], rows: all, scratch: a.expanded) { output in
            linear(a.normed, block.projMLP, into: output, workspace: workspace)
        }
        let joined = cache.output(actions[first + 2], rows: all, scratch: a.component) { output in
            if attention.pointer != a.attended.pointer { a.attended.copy(from: attention) }
            if expanded.pointer != a.expanded.pointer { a.expanded.copy(from: expanded) }
            gelu(a.expanded)
            linear(a.combined, block.projOut, into: output, workspace: workspace)
        }
        for image in 0..<a.imageCount {
            let rows = a.rows(image)
            add(joined.rows(rows), gate: part(2, of: modulation, image), to: a.hidden.rows(rows))
        }
    }

    // MARK: - Attention

    /// Queries, keys and values of some tokens, the first two normed per head.
    private func project(_ a: Activations, _ rows: Range<Int>, _ layer: FluxAttentionInput) {
        let (queries, keys) = (a.queries.rows(rows), a.keys.rows(rows))
        linear(a.normed.rows(rows), layer.query, into: queries, workspace: workspace)
        linear(a.normed.rows(rows), layer.key, into: keys, workspace: workspace)
        linear(a.normed.rows(rows), layer.value, into: a.values.rows(rows), workspace: workspace)
        normHeads(of: queries, weight: layer.queryNorm)
        normHeads(of: keys, weight: layer.keyNorm)
    }

    private func normHeads(of x: Matrix, weight: Matrix) {
        let heads = x.reshaped(rows: x.rows * settings.headCount, columns: settings.headDimension)
        rmsNorm(heads, weight: weight, epsilon: Self.epsilon, into: heads)
    }

    /// Rotates an image's projected queries and keys and attends with all its tokens, text and image.
    private func attend(_ a: Activations, _ image: Int, into output: Matrix) {
        let rows = a.rows(image)
        a.rotation.apply(to: a.queries.rows(rows))
        a.rotation.apply(to: a.keys.rows(rows))
        attention(
            queries: a.queries.rows(rows), keys: a.keys.rows(rows), values: a.values.rows(rows),
            headCount: settings.headCount, scale: 1 / Float(settings.headDimension).squareRoot(),
            into: output.rows(rows), workspace: workspace)
    }
}
