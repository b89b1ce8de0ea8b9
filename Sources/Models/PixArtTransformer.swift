import Basics
import ModelConfiguration
import Tensors

/// The PixArt diffusion transformer (arXiv 2310.00426, 2403.04692): `PixArtTransformer2DModel` of diffusers.
///
/// Shapes: B rows of the batch (images, twice with classifier-free guidance), T image tokens, S text tokens, D width.
/// Inputs that do not depend on the latents are computed in advance: ``prompt(_:)`` per prompt,
/// ``modulations(timesteps:size:)`` per trajectory.
public final class PixArtTransformer {
    /// The precision of the products in the blocks.
    public let precision: Precision
    /// The architecture of the network.
    public let settings: PixArtConfiguration

    private let patchEmbedding: Linear
    private let timestepEmbedder: SinusoidEmbedder
    private let resolutionEmbedder, aspectRatioEmbedder: SinusoidEmbedder?
    private let adaLNSingle: Linear
    private let captionProjection1, captionProjection2: Linear
    private let blocks: [Block]
    private let finalTable: Matrix
    private let projOut: Linear
    private let workspace = Workspace()

    private struct Block {
        let scaleShiftTable: Matrix
        /// Self-attention: queries, keys and values, then the output projection.
        let attn1Inputs: StackedLinear
        let attn1Output: Linear
        /// Cross-attention: queries of the image, keys and values of the text, then the output projection.
        let attn2Query: Linear
        let attn2KeyValue: StackedLinear
        let attn2Output: Linear
        let feedForwardIn, feedForwardOut: Linear
    }

    /// Opens `transformer/`: `config.json` and the weights.
    ///
    /// - Parameters:
    ///   - folder: The directory.
    ///   - precision: The precision of the products in the blocks; the processor must support it.
    /// - Throws: ``ModelsError``, `TensorsError`.
    public init(folder: String, precision: Precision = .float32) throws {
        let settings = try PixArtConfiguration(Configuration(path: "\(folder)/config.json"))
        let checkpoint = try Checkpoint(folder: folder, library: .diffusers)
        let (d, p) = (settings.width, settings.patchSize)
        self.settings = settings
        self.precision = precision
        let patchElements = settings.inChannels * p * p
        patchEmbedding = Linear(
            weight: Weight(
                try checkpoint.matrix(
                    "pos_embed.proj.weight", shape: [d, settings.inChannels, p, p], rows: d, columns: patchElements)),
            bias: try checkpoint.vector("pos_embed.proj.bias", count: d))
        let embedders = "adaln_single.emb"
        timestepEmbedder = try SinusoidEmbedder(checkpoint, prefix: "\(embedders).timestep_embedder", width: d)
        if settings.usesAdditionalConditions {
            resolutionEmbedder = try SinusoidEmbedder(
                checkpoint, prefix: "\(embedders).resolution_embedder", width: d / 3)
            aspectRatioEmbedder = try SinusoidEmbedder(
                checkpoint, prefix: "\(embedders).aspect_ratio_embedder", width: d / 3)
        } else {
            resolutionEmbedder = nil
            aspectRatioEmbedder = nil
        }
        adaLNSingle = try checkpoint.linear("adaln_single.linear", inputs: d, outputs: 6 * d)
        captionProjection1 = try checkpoint.linear(
            "caption_projection.linear_1", inputs: settings.captionChannels, outputs: d)
        captionProjection2 = try checkpoint.linear("caption_projection.linear_2", inputs: d, outputs: d)
        blocks = try (0..<settings.blockCount).map { index in
            let prefix = "transformer_blocks.\(index)"
            func stacked(_ name: String, _ layers: [String]) throws -> StackedLinear {
                try StackedLinear(
                    checkpoint, "\(prefix).\(name)", layers, inputs: d, outputs: d, precision: precision)
            }
            func layer(_ name: String) throws -> Linear {
                try checkpoint.linear("\(prefix).\(name)", inputs: d, outputs: d, precision: precision)
            }
            return Block(
                scaleShiftTable: try checkpoint.matrix(
                    "\(prefix).scale_shift_table", shape: [6, d], rows: 1, columns: 6 * d),
                attn1Inputs: try stacked("attn1", ["to_q", "to_k", "to_v"]), attn1Output: try layer("attn1.to_out.0"),
                attn2Query: try layer("attn2.to_q"), attn2KeyValue: try stacked("attn2", ["to_k", "to_v"]),
                attn2Output: try layer("attn2.to_out.0"),
                feedForwardIn: try checkpoint.linear(
                    "\(prefix).ff.net.0.proj", inputs: d, outputs: 4 * d, precision: precision),
                feedForwardOut: try checkpoint.linear(
                    "\(prefix).ff.net.2", inputs: 4 * d, outputs: d, precision: precision))
        }
        finalTable = try checkpoint.matrix("scale_shift_table", shape: [2, d], rows: 1, columns: 2 * d)
        projOut = try checkpoint.linear("proj_out", inputs: d, outputs: p * p * settings.outChannels)
    }

    // MARK: - Once per prompt

    /// The cross-attention keys and values of a prompt, `[S, D]` each per block, for the unmasked tokens only.
    ///
    /// In the original, a masked token has weight exp(-10000) = 0, so omitting it is equivalent.
    public struct Prompt: Sendable {
        fileprivate let keys, values: [Matrix]
    }

    /// Projects a prompt's embedding and computes the cross-attention keys and values.
    ///
    /// - Parameter embedding: The text encoder's output for the unmasked tokens, `[S, caption_channels]`.
    /// - Returns: The prompt, for any number of forward passes.
    public func prompt(_ embedding: Matrix) -> Prompt {
        let (s, d) = (embedding.rows, settings.width)
        let hidden = Matrix(rows: s, columns: d)
        let caption = Matrix(rows: s, columns: d)
        linear(embedding, captionProjection1, activation: .geluTanh, into: hidden, workspace: workspace)
        linear(hidden, captionProjection2, into: caption, workspace: workspace)
        let both = blocks.map { block in
            let output = Matrix(rows: s, columns: 2 * d, precision: precision)
            block.attn2KeyValue.apply(caption, into: output, workspace: workspace)
            return output
        }
        return Prompt(keys: both.map { $0.columns(0..<d) }, values: both.map { $0.columns(d..<(2 * d)) })
    }

    // MARK: - Once per trajectory

    /// The adaLN-single modulation of one timestep (arXiv 2310.00426, section 2.3).
    public struct Modulation: Sendable {
        /// Per block: shift, scale, gate of self-attention, then of the feed-forward, `[1, 6 D]`.
        fileprivate let blocks: [Matrix]
        /// Shift and scale of the output layer, `[1, 2 D]`.
        fileprivate let final: Matrix
    }

    /// The size of the image in pixels, which 1024-MS models embed.
    public struct ImageSize: Sendable, Equatable {
        let height, width, aspectRatio: Float

        /// A size in pixels; the aspect ratio is height / width.
        public init(height: Int, width: Int) {
            self.init(height: Float(height), width: Float(width), aspectRatio: Float(height) / Float(width))
        }

        /// A size with an explicit aspect ratio, as in the original's forward pass.
        public init(height: Float, width: Float, aspectRatio: Float) {
            self.height = height
            self.width = width
            self.aspectRatio = aspectRatio
        }
    }

    /// The modulations of all steps of a trajectory.
    ///
    /// - Parameters:
    ///   - timesteps: The sampler's timesteps, 0...999.
    ///   - size: The image size; ignored by models without additional conditions.
    /// - Returns: One modulation per timestep.
    public func modulations(timesteps: [Int], size: ImageSize) -> [Modulation] {
        let (n, d) = (timesteps.count, settings.width)
        let embedded = timestepEmbedder(timesteps.map(Float.init), workspace: workspace)
        if let resolutionEmbedder, let aspectRatioEmbedder {
            let resolution = resolutionEmbedder([size.height, size.width], workspace: workspace)
            let aspectRatio = aspectRatioEmbedder([size.aspectRatio], workspace: workspace)
            let condition = Matrix(resolution.values + aspectRatio.values, rows: 1, columns: d)
            for row in 0..<n { add(condition, to: embedded.rows(row..<(row + 1))) }
        }
        let activated = Matrix(rows: n, columns: d)
        activated.copy(from: embedded)
        silu(activated)
        let six = Matrix(rows: n, columns: 6 * d)
        linear(activated, adaLNSingle, into: six, workspace: workspace)
        return (0..<n).map { step in
            let embeddedTwice = Matrix(rows: 1, columns: 2 * d)
            embeddedTwice.columns(0..<d).copy(from: embedded.rows(step..<(step + 1)))
            embeddedTwice.columns(d..<(2 * d)).copy(from: embedded.rows(step..<(step + 1)))
            add(finalTable, to: embeddedTwice)
            return Modulation(
                blocks: blocks.map { block in
                    let modulation = Matrix(rows: 1, columns: 6 * d)
                    modulation.copy(from: six.rows(step..<(step + 1)))
                    add(block.scaleShiftTable, to: modulation)
                    return modulation
                },
                final: embeddedTwice)
        }
    }

    /// The activations of a forward pass, allocated once for all steps.
    public struct Activations {
        /// B: the rows of the batch.
        public let batch: Int
        /// Rows of the token grid.
        public let gridHeight: Int
        /// Columns of the token grid.
        public let gridWidth: Int
        /// T: tokens per image, `gridHeight · gridWidth`.
        public var tokenCount: Int { gridHeight * gridWidth }

        /// `[T, D]`.
        fileprivate let positions: Matrix
        /// `[B·T, p²·C]`.
        fileprivate let patches: Matrix
        /// `[B·T, D]`.
        fileprivate let hidden, component: Matrix
        /// The input of the output layer, `[B·T, D]`.
        fileprivate let finalNormed: Matrix
        /// Inputs of products, in their precision: `[B·T, D]`.
        fileprivate let normed, attended: Matrix
        /// Queries, keys and values, in the precision of the products: `[B·T, 3 D]`.
        fileprivate let projected: Matrix
        /// An input of products, in their precision: `[B·T, 4 D]`.
        fileprivate let mlpHidden: Matrix
        /// `[B·T, p²·out_channels]`.
        fileprivate let output: Matrix

        /// The tokens of a row of the batch.
        fileprivate func rows(_ row: Int) -> TokenRows { TokenRows((row * tokenCount)..<((row + 1) * tokenCount)) }
        fileprivate var queries: Matrix { projected.columns(0..<hidden.columns) }
        fileprivate var keys: Matrix { projected.columns(hidden.columns..<(2 * hidden.columns)) }
        fileprivate var values: Matrix { projected.columns((2 * hidden.columns)..<(3 * hidden.columns)) }

        /// A view for a smaller batch.
        fileprivate func firstRows(_ count: Int) -> Activations {
            let rows = 0..<(count * tokenCount)
            return Activations(
                batch: count, gridHeight: gridHeight, gridWidth: gridWidth, positions: positions,
                patches: patches.rows(rows), hidden: hidden.rows(rows), component: component.rows(rows),
                finalNormed: finalNormed.rows(rows), normed: normed.rows(rows), attended: attended.rows(rows),
                projected: projected.rows(rows), mlpHidden: mlpHidden.rows(rows), output: output.rows(rows))
        }
    }

    /// Allocates the activations for B rows of latents `[C, h, w]`.
    ///
    /// - Throws: ``ModelsError/invalidArgument(_:)`` if the latents are not divisible into patches.
    public func activations(batch: Int, latentHeight: Int, latentWidth: Int) throws -> Activations {
        let (d, p) = (settings.width, settings.patchSize)
        guard batch > 0, latentHeight > 0, latentWidth > 0, latentHeight % p == 0, latentWidth % p == 0 else {
            throw ModelsError.invalidArgument(
                "latents of \(latentHeight)x\(latentWidth) are not divisible into patches of \(p)x\(p)")
        }
        let (gridHeight, gridWidth) = (latentHeight / p, latentWidth / p)
        let rows = batch * gridHeight * gridWidth
        func matrix(_ columns: Int) -> Matrix { Matrix(rows: rows, columns: columns) }
        func input(_ columns: Int) -> Matrix { Matrix(rows: rows, columns: columns, precision: precision) }
        let component = matrix(d)
        return Activations(
            batch: batch, gridHeight: gridHeight, gridWidth: gridWidth,
            positions: positionEmbedding(
                height: gridHeight, width: gridWidth, baseSize: max(settings.sampleSize / p, 1),
                interpolationScale: settings.interpolationScale, dimension: d),
            patches: matrix(settings.inChannels * p * p), hidden: matrix(d), component: component,
            finalNormed: component, normed: input(d), attended: input(d), projected: input(3 * d),
            mlpHidden: input(4 * d), output: matrix(p * p * settings.outChannels))
    }

    // MARK: - Every step

    /// One forward pass: predicts noise and variance (`PixArtTransformer2DModel.forward`).
    ///
    /// - Parameters:
    ///   - latents: Noisy latents, `[images, C·h·w]`. Row b of the batch reads image b modulo the number of images, so the
    ///     two halves of classifier-free guidance share one copy.
    ///   - prompts: One prompt per row of the batch; their number is B, at most that of the activations.
    ///   - modulation: The modulation of this timestep.
    ///   - actions: The action of each component at this step: attn1, attn2, ff of every block.
    ///   - cache: The cached outputs, `[B·T, D]` each.
    ///   - activations: The activations for this size and at least B rows.
    ///   - output: The prediction, `[B, out_channels·h·w]`; further rows are left unchanged.
    public func forward(
        latents: Matrix, prompts: [Prompt], modulation: Modulation, actions: [ComponentAction], cache: ComponentCache,
        activations: Activations, into output: Matrix
    ) {
        let d = settings.width
        let a = activations.firstRows(prompts.count)
        let x = a.hidden  // [B·T, D]
        let rows = 0..<x.rows
        embedPatches(of: latents, a)
        for index in blocks.indices {
            let block = blocks[index]
            let m = modulation.blocks[index]
            func part(_ number: Int) -> Matrix { m.columns((number * d)..<((number + 1) * d)) }  // [1, D]
            let (shiftMSA, scaleMSA, gateMSA) = (part(0), part(1), part(2))
            let (shiftMLP, scaleMLP, gateMLP) = (part(3), part(4), part(5))

            let attn1 = ResidualSum(x, gate: gateMSA)
            cache.addOutput(actions[3 * index], rows: rows, scratch: a.component, to: attn1) { output, isKept in
                modulatedLayerNorm(x, scale: scaleMSA, shift: shiftMSA, epsilon: settings.normEpsilon, into: a.normed)
                block.attn1Inputs.apply(a.normed, into: a.projected, workspace: workspace)
                selfAttention(a)
                linear(
                    a.attended, block.attn1Output, addingTo: attn1, storesResult: isKept, into: output,
                    workspace: workspace)
            }

            let attn2 = ResidualSum(x)
            cache.addOutput(actions[3 * index + 1], rows: rows, scratch: a.component, to: attn2) { output, isKept in
                linear(x, block.attn2Query, into: a.queries, workspace: workspace)
                crossAttention(a, prompts, blockIndex: index)
                linear(
                    a.attended, block.attn2Output, addingTo: attn2, storesResult: isKept, into: output,
                    workspace: workspace)
            }

            let ff = ResidualSum(x, gate: gateMLP)
            cache.addOutput(actions[3 * index + 2], rows: rows, scratch: a.component, to: ff) { output, isKept in
                modulatedLayerNorm(x, scale: scaleMLP, shift: shiftMLP, epsilon: settings.normEpsilon, into: a.normed)
                linear(a.normed, block.feedForwardIn, activation: .geluTanh, into: a.mlpHidden, workspace: workspace)
                linear(
                    a.mlpHidden, block.feedForwardOut, addingTo: ff, storesResult: isKept, into: output,
                    workspace: workspace)
            }
        }
        let final = modulation.final
        modulatedLayerNorm(
            x, scale: final.columns(d..<(2 * d)), shift: final.columns(0..<d), epsilon: settings.normEpsilon,
            into: a.finalNormed)
        linear(a.finalNormed, projOut, into: a.output, workspace: workspace)
        unpatchify(a, into: output)
    }

    /// Attention within the tokens of each row of the batch.
    private func selfAttention(_ a: Activations) {
        attend(a) { KeysAndValues(keys: a.keys, values: a.values, rows: a.rows($0)) }
    }

    /// Attention to the tokens of each row's prompt.
    private func crossAttention(_ a: Activations, _ prompts: [Prompt], blockIndex: Int) {
        attend(a) { KeysAndValues(keys: prompts[$0].keys[blockIndex], values: prompts[$0].values[blockIndex]) }
    }

    private func attend(_ a: Activations, context: (Int) -> KeysAndValues) {
        attention(
            queries: a.queries, imageCount: a.batch, headCount: settings.headCount,
            scale: 1 / Float(settings.headDimension).squareRoot(), into: a.attended, workspace: workspace
        ) { (a.rows($0), context($0)) }
    }

    /// Patchifies the latents, projects the patches and adds the positions: hidden states `[B·T, D]`.
    private func embedPatches(of latents: Matrix, _ a: Activations) {
        let grid = PatchGrid(
            channels: settings.inChannels, side: settings.patchSize, rows: a.gridHeight, columns: a.gridWidth)
        for row in 0..<a.batch {
            let image = latents.rows((row % latents.rows)..<(row % latents.rows + 1))
            grid.patchify(image, into: a.patches.rows((row * a.tokenCount)..<((row + 1) * a.tokenCount)))
        }
        linear(a.patches, patchEmbedding, into: a.hidden, workspace: workspace)
        for row in 0..<a.batch {
            add(a.positions, to: a.hidden.rows((row * a.tokenCount)..<((row + 1) * a.tokenCount)))
        }
    }

    /// Converts output tokens in the order (row, column, channel) to images: `nhwpqc->nchpwq`.
    private func unpatchify(_ a: Activations, into output: Matrix) {
        let (c, p) = (settings.outChannels, settings.patchSize)
        let (height, width) = (a.gridHeight * p, a.gridWidth * p)
        for row in 0..<a.batch {
            let image = output.pointer + row * output.stride
            for token in 0..<a.tokenCount {
                let (gridRow, gridColumn) = (token / a.gridWidth, token % a.gridWidth)
                let values = a.output.pointer + (row * a.tokenCount + token) * a.output.stride
                for patchRow in 0..<p {
                    for patchColumn in 0..<p {
                        let pixel = (gridRow * p + patchRow) * width + gridColumn * p + patchColumn
                        for channel in 0..<c {
                            image[channel * height * width + pixel] = values[(patchRow * p + patchColumn) * c + channel]
                        }
                    }
                }
            }
        }
    }
}
