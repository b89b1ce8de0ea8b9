import ModelConfiguration
import Tensors

/// The FLUX.1 diffusion transformer: `FluxTransformer2DModel` of diffusers.
///
/// Shapes: P images, L text tokens, T image tokens, S = L + T, D width. Hidden states hold image after image, [P * S, D], the text
/// tokens of each before those of its picture. What does not depend on the latents is computed apart: ``prompt(text:pooled:)`` once
/// per prompt, ``modulations(timesteps:guidance:prompts:)`` once per trajectory.
public final class FluxTransformer {
    /// The sizes of the network.
    public let settings: FluxConfiguration

    static let epsilon: Float = 1e-6

    let latentEmbedding: Linear
    let fullBlocks: [FluxFullBlock]
    let singleBlocks: [FluxSingleBlock]
    let projOut: Linear
    let workspace = Workspace()

    private let textEmbedding: Linear
    private let timestepEmbedder: SinusoidEmbedder
    private let guidanceEmbedder: SinusoidEmbedder?
    private let pooledEmbedding1, pooledEmbedding2: Linear
    private let normOut: Linear

    /// Opens `transformer/`: `config.json` and the weights.
    ///
    /// - Throws: ``ModelsError``, `TensorsError`.
    public init(folder: String) throws {
        let settings = try FluxConfiguration(Configuration(path: "\(folder)/config.json"))
        let checkpoint = try Checkpoint(folder: folder)
        let d = settings.width
        self.settings = settings
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
            try FluxFullBlock(checkpoint, "transformer_blocks.\($0)", settings)
        }
        singleBlocks = try (0..<settings.singleBlockCount).map {
            try FluxSingleBlock(checkpoint, "single_transformer_blocks.\($0)", settings)
        }
        normOut = try checkpoint.linear("norm_out.linear", inputs: d, outputs: 2 * d)
        projOut = try checkpoint.linear("proj_out", inputs: d, outputs: settings.patchChannels)
    }

    // MARK: - Once per prompt

    /// A prompt as the transformer reads it.
    public struct Prompt: Sendable {
        /// T5's output projected to the hidden width, [L, D].
        let text: Matrix
        /// CLIP's pooled output, embedded, [1, D].
        let pooled: Matrix

        /// The number of text tokens, L.
        public var tokenCount: Int { text.rows }
    }

    /// Projects a prompt's two embeddings.
    ///
    /// - Parameters:
    ///   - text: T5's output for all tokens, padding included, [L, joint attention width].
    ///   - pooled: CLIP's pooled output, [1, pooled width].
    /// - Returns: The prompt, to be used as often as needed.
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

    /// The adaLN modulations of all images at one step, a row for each image.
    public struct Modulation: Sendable {
        /// Of each double-stream block, [P, 6 D].
        let fullImage, fullText: [Matrix]
        /// Of each single-stream block, [P, 3 D].
        let single: [Matrix]
        /// Scale, then shift of the output layer, [P, 2 D].
        let final: Matrix
    }

    /// The modulations of all steps of a trajectory.
    ///
    /// They depend on the pooled text, so each image has its own. Computed together, since reading the weights costs more than all
    /// steps' arithmetic.
    ///
    /// - Parameters:
    ///   - timesteps: The sampler's timesteps divided by 1000, as the original's forward pass takes them.
    ///   - guidance: The guidance scale; networks without a guidance embedding do not use it.
    ///   - prompts: The prompt of each image.
    /// - Returns: One for each timestep.
    public func modulations(timesteps: [Float], guidance: Float, prompts: [Prompt]) -> [Modulation] {
        let (n, p, d) = (timesteps.count, prompts.count, settings.width)
        let times = timestepEmbedder(timesteps.map { $0 * 1000 }, workspace: workspace)
        if let guidanceEmbedder {
            let embedded = guidanceEmbedder([guidance * 1000], workspace: workspace)
            for step in 0..<n { add(embedded, to: times.rows(step..<(step + 1))) }
        }
        let condition = Matrix(rows: n * p, columns: d)
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
}
