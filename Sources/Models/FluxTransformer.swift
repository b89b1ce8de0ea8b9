import Basics
import ModelConfiguration
import Tensors

/// The FLUX.1 diffusion transformer: `FluxTransformer2DModel` of diffusers.
///
/// Shapes: P images, L text tokens, T image tokens, S = L + T, D width. Hidden states `[P·S, D]` are those of the text tokens
/// of all images, then those of the image tokens, so that a product of either stream reads its weight once. Inputs that do not depend on the latents are computed in advance:
/// ``prompt(text:pooled:)`` per prompt, ``modulations(timesteps:guidance:prompts:)`` per trajectory.
public final class FluxTransformer {
    /// The precision of the products in the blocks.
    public let precision: Precision
    /// The architecture of the network.
    public let settings: FluxConfiguration

    static let epsilon: Float = 1e-6

    private let latentEmbedding: Linear
    private let fullBlocks: [FluxFullBlock]
    private let singleBlocks: [FluxSingleBlock]
    private let projOut: Linear
    private let workspace = Workspace()
    private let textEmbedding: Linear
    private let timestepEmbedder: SinusoidEmbedder
    private let guidanceEmbedder: SinusoidEmbedder?
    private let pooledEmbedding1, pooledEmbedding2: Linear
    private let normOut: Linear

    /// Opens `transformer/`: `config.json` and the weights.
    ///
    /// - Parameters:
    ///   - folder: The directory.
    ///   - precision: The precision of the products in the blocks; the processor must support it.
    /// - Throws: ``ModelsError``, `TensorsError`.
    public init(folder: String, precision: Precision = .float32) throws {
        let settings = try FluxConfiguration(Configuration(path: "\(folder)/config.json"))
        let checkpoint = try Checkpoint(folder: folder, library: .diffusers)
        let d = settings.width
        self.settings = settings
        self.precision = precision
        latentEmbedding = try checkpoint.linear("x_embedder", inputs: settings.patchChannels, outputs: d)
        textEmbedding = try checkpoint.linear("context_embedder", inputs: settings.textWidth, outputs: d)
        timestepEmbedder = try SinusoidEmbedder(checkpoint, prefix: "time_text_embed.timestep_embedder", width: d)
        guidanceEmbedder =
            settings.embedsGuidance
            ? try SinusoidEmbedder(checkpoint, prefix: "time_text_embed.guidance_embedder", width: d) : nil
        pooledEmbedding1 = try checkpoint.linear(
            "time_text_embed.text_embedder.linear_1", inputs: settings.pooledWidth, outputs: d)
        pooledEmbedding2 = try checkpoint.linear("time_text_embed.text_embedder.linear_2", inputs: d, outputs: d)
        fullBlocks = try (0..<settings.fullBlockCount).map {
            try FluxFullBlock(checkpoint, "transformer_blocks.\($0)", settings, precision)
        }
        singleBlocks = try (0..<settings.singleBlockCount).map {
            try FluxSingleBlock(checkpoint, "single_transformer_blocks.\($0)", settings, precision)
        }
        normOut = try checkpoint.linear("norm_out.linear", inputs: d, outputs: 2 * d)
        projOut = try checkpoint.linear("proj_out", inputs: d, outputs: settings.patchChannels)
    }

    // MARK: - Once per prompt

    /// A prompt's projected embeddings.
    public struct Prompt: Sendable {
        /// T5's output projected to the hidden width, `[L, D]`.
        fileprivate let text: Matrix
        /// The embedding of CLIP's pooled output, `[1, D]`.
        fileprivate let pooled: Matrix

        /// L: the number of text tokens.
        public var tokenCount: Int { text.rows }
    }

    /// Projects a prompt's embeddings (`context_embedder` and `text_embedder`).
    ///
    /// - Parameters:
    ///   - text: T5's output including padding, `[L, joint_attention_dim]`.
    ///   - pooled: CLIP's pooled output, `[1, pooled_projection_dim]`.
    /// - Returns: The prompt, for any number of forward passes.
    public func prompt(text: Matrix, pooled: Matrix) -> Prompt {
        let d = settings.width
        let (tokens, hidden) = (Matrix(rows: text.rows, columns: d), Matrix(rows: 1, columns: d))
        let embedded = Matrix(rows: 1, columns: d)
        linear(text, textEmbedding, into: tokens, workspace: workspace)
        linear(pooled, pooledEmbedding1, activation: .silu, into: hidden, workspace: workspace)
        linear(hidden, pooledEmbedding2, into: embedded, workspace: workspace)
        return Prompt(text: tokens, pooled: embedded)
    }

    // MARK: - Once per trajectory

    /// The adaLN-zero modulations of one step, one row per image.
    public struct Modulation: Sendable {
        /// Per double-stream block, `[P, 6 D]`.
        fileprivate let fullImage, fullText: [Matrix]
        /// Per single-stream block, `[P, 3 D]`.
        fileprivate let single: [Matrix]
        /// Scale, then shift of the output layer, `[P, 2 D]`.
        fileprivate let final: Matrix
    }

    /// The modulations of all steps of a trajectory.
    ///
    /// They differ between images because they depend on the pooled text. All steps are computed together, because reading
    /// the weights costs more than the arithmetic.
    ///
    /// - Parameters:
    ///   - timesteps: The sampler's timesteps divided by 1000, as in the original's forward pass.
    ///   - guidance: The guidance scale; ignored by networks without a guidance embedding.
    ///   - prompts: One prompt per image.
    /// - Returns: One modulation per timestep.
    public func modulations(timesteps: [Float], guidance: Float, prompts: [Prompt]) -> [Modulation] {
        let (n, p, d) = (timesteps.count, prompts.count, settings.width)
        let times = timestepEmbedder(timesteps.map { $0 * 1000 }, workspace: workspace)  // [N, D]
        if let guidanceEmbedder {
            let embedded = guidanceEmbedder([guidance * 1000], workspace: workspace)
            for step in 0..<n { add(embedded, to: times.rows(step..<(step + 1))) }
        }
        let condition = Matrix(rows: n * p, columns: d)  // SiLU(timestep + guidance + pooled text), [N·P, D]
        for row in 0..<(n * p) {
            let sum = condition.rows(row..<(row + 1))
            sum.copy(from: times.rows((row / p)..<(row / p + 1)))
            add(prompts[row % p].pooled, to: sum)
        }
        silu(condition)
        func steps(_ layer: Linear) -> [Matrix] {
            let output = Matrix(rows: n * p, columns: layer.weight.rows)
            linear(condition, layer, into: output, workspace: workspace)
            return (0..<n).map { output.rows(($0 * p)..<(($0 + 1) * p)) }
        }
        let fullImage = fullBlocks.map { steps($0.image.modulation) }
        let fullText = fullBlocks.map { steps($0.text.modulation) }
        let single = singleBlocks.map { steps($0.modulation) }
        let final = steps(normOut)
        return (0..<n).map { step in
            Modulation(
                fullImage: fullImage.map { $0[step] }, fullText: fullText.map { $0[step] },
                single: single.map { $0[step] }, final: final[step])
        }
    }

    // MARK: - Activations

    /// The activations of a forward pass, allocated once for all steps.
    public struct Activations {
        /// P: the number of images.
        public let imageCount: Int
        /// L: text tokens per image.
        public let textTokenCount: Int
        /// T: image tokens per image.
        public var imageTokenCount: Int { grid.rows * grid.columns }

        let grid: PatchGrid
        let rotation: RotaryEmbedding
        /// `[P·T, patch channels]`.
        let patches: Matrix
        /// `[P·S, D]`.
        let hidden, component: Matrix
        /// Queries and keys before norms and rotary embeddings, `[P·S, 2 D]`.
        let queryKey: Matrix
        /// In the precision of the products: `[P·S, D]`.
        let normed, queries, keys, values: Matrix
        /// In the precision of the products: the attention output, then the hidden layer of the MLP, `[P·S, 5 D]`.
        let combined: Matrix
        /// The input of the output layer, `[P·T, D]`.
        let finalNormed: Matrix

        /// S: tokens per image.
        var tokenCount: Int { textTokenCount + imageTokenCount }
        var attended: Matrix { combined.columns(0..<hidden.columns) }
        var mlpHidden: Matrix { combined.columns(hidden.columns..<combined.columns) }

        /// The rows of a stream of all images.
        func rows(isText: Bool) -> Range<Int> { isText ? 0..<(imageCount * textTokenCount) : imageStream }
        private var imageStream: Range<Int> { (imageCount * textTokenCount)..<(imageCount * tokenCount) }
        /// The rows of an image in a stream.
        func rows(_ image: Int, isText: Bool) -> Range<Int> {
            let count = isText ? textTokenCount : imageTokenCount
            let first = rows(isText: isText).lowerBound + image * count
            return first..<(first + count)
        }
        /// The rows of an image's tokens, text before image.
        func tokens(_ image: Int) -> TokenRows { TokenRows(rows(image, isText: true), rows(image, isText: false)) }

        /// Allocates a cache slot for a component's output.
        public func cacheSlot(_ extent: ComponentExtent) -> Matrix {
            let d = hidden.columns
            return switch extent {
            case .tokens: Matrix(rows: imageCount * tokenCount, columns: d)
            case .imageTokens: Matrix(rows: imageCount * imageTokenCount, columns: d)
            case .textTokens: Matrix(rows: imageCount * textTokenCount, columns: d)
            case .expandedTokens: Matrix(rows: imageCount * tokenCount, columns: 4 * d)
            }
        }
    }

    /// Allocates the activations for images of one size with prompts of one length.
    ///
    /// - Parameters:
    ///   - imageCount: P.
    ///   - latentHeight: Rows of the latents.
    ///   - latentWidth: Columns of the latents.
    ///   - textTokenCount: L.
    ///   - positions: Positions along the rotary axes of the text tokens, then the image tokens, `[S, 3]`. Nil for the
    ///     pipeline's default: zeros for text, (0, row, column) for the image.
    /// - Returns: The activations.
    /// - Throws: ``ModelsError/invalidArgument(_:)`` if the latents are not divisible into patches.
    public func activations(
        imageCount: Int, latentHeight: Int, latentWidth: Int, textTokenCount: Int, positions: Matrix? = nil
    ) throws -> Activations {
        let (d, side) = (settings.width, FluxConfiguration.patchSize)
        guard imageCount > 0, latentHeight > 0, latentWidth > 0, latentHeight % side == 0, latentWidth % side == 0
        else {
            throw ModelsError.invalidArgument(
                "latents of \(latentHeight)x\(latentWidth) are not divisible into patches of \(side)x\(side)")
        }
        let grid = PatchGrid(
            channels: settings.latentChannels, side: side, rows: latentHeight / side, columns: latentWidth / side)
        let imageTokenCount = grid.rows * grid.columns
        let rows = imageCount * (textTokenCount + imageTokenCount)
        func matrix(_ columns: Int) -> Matrix { Matrix(rows: rows, columns: columns) }
        func input(_ columns: Int) -> Matrix { Matrix(rows: rows, columns: columns, precision: precision) }
        let (component, queryKey) = (matrix(d), matrix(2 * d))
        // Norms and rotary embeddings are applied in place in float32.
        let queries = precision == .float32 ? queryKey.columns(0..<d) : input(d)
        let keys = precision == .float32 ? queryKey.columns(d..<(2 * d)) : input(d)
        return Activations(
            imageCount: imageCount, textTokenCount: textTokenCount, grid: grid,
            rotation: RotaryEmbedding(
                positions: positions ?? Self.positions(grid, textTokenCount: textTokenCount),
                dimensions: settings.rotaryDimensions),
            patches: Matrix(rows: imageCount * imageTokenCount, columns: settings.patchChannels), hidden: matrix(d),
            component: component, queryKey: queryKey, normed: input(d), queries: queries, keys: keys, values: input(d),
            combined: input(5 * d), finalNormed: component.rows(0..<(imageCount * imageTokenCount)))
    }

    private static func positions(_ grid: PatchGrid, textTokenCount: Int) -> Matrix {
        let positions = Matrix(rows: textTokenCount + grid.rows * grid.columns, columns: 3)
        for token in 0..<(grid.rows * grid.columns) {
            positions[textTokenCount + token, 1] = Float(token / grid.columns)
            positions[textTokenCount + token, 2] = Float(token % grid.columns)
        }
        return positions
    }

    // MARK: - Forward pass

    /// One forward pass: predicts the velocity at the latents (`FluxTransformer2DModel.forward`).
    ///
    /// - Parameters:
    ///   - latents: Noisy latents, `[P, C·h·w]`.
    ///   - prompts: One prompt per image, with L tokens each.
    ///   - modulation: The modulations of this timestep.
    ///   - actions: The action of each component at this step: attention, image feed-forward, text feed-forward of every
    ///     double-stream block, then attention, MLP, output projection of every single-stream block.
    ///   - cache: The cached outputs.
    ///   - a: The activations for this number and size of images.
    ///   - output: The prediction, `[P, C·h·w]`; overwritten.
    public func forward(
        latents: Matrix, prompts: [Prompt], modulation: Modulation, actions: [ComponentAction], cache: ComponentCache,
        activations a: Activations, into output: Matrix
    ) {
        precondition(prompts.count == a.imageCount, "\(prompts.count) prompts for \(a.imageCount) images")
        let t = a.imageTokenCount
        func patches(_ image: Int) -> Matrix { a.patches.rows((image * t)..<((image + 1) * t)) }
        for image in 0..<a.imageCount {
            a.grid.patchify(latents.rows(image..<(image + 1)), into: patches(image))
            a.hidden.rows(a.rows(image, isText: true)).copy(from: prompts[image].text)
        }
        linear(a.patches, latentEmbedding, into: a.hidden.rows(a.rows(isText: false)), workspace: workspace)
        for index in fullBlocks.indices {
            let (image, text) = (modulation.fullImage[index], modulation.fullText[index])
            fullBlocks[index].apply(
                a, imageModulation: image, textModulation: text, actions: actions[(3 * index)..<(3 * index + 3)],
                cache: cache, workspace: workspace)
        }
        for index in singleBlocks.indices {
            let first = 3 * (fullBlocks.count + index)
            singleBlocks[index].apply(
                a, modulation: modulation.single[index], actions: actions[first..<(first + 3)], cache: cache,
                workspace: workspace)
        }
        // Unlike in the blocks, scale precedes shift.
        a.modulate(isText: false, modulation.final, shift: 1, scale: 0, into: a.finalNormed)
        linear(a.finalNormed, projOut, into: a.patches, workspace: workspace)
        for image in 0..<a.imageCount { a.grid.unpatchify(patches(image), into: output.rows(image..<(image + 1))) }
    }
}
