import ModelConfiguration
import Models
import Schedules
import Tensors

/// From prompts to images: what `ecad generate` does.
public final class TextToImage {
    /// One image and what it took.
    public struct Generated: Sendable {
        /// The image.
        public let image: Image
        /// Seconds of the step loop.
        public let denoiseSeconds: Double
        /// Seconds of decoding.
        public let decodeSeconds: Double
    }

    private let model: DiffusionModel
    private let prompts: [DiffusionModel.Prompt]
    private let negative: DiffusionModel.Prompt
    private var sessions: [GenerationSettings: any DenoisingSession] = [:]

    /// Encodes the prompts, lets the text encoder go, and opens the rest of the model.
    ///
    /// - Parameters:
    ///   - folder: The model.
    ///   - prompts: The prompts; images name them by their index.
    ///   - negativePrompt: The prompt of the unconditional half.
    ///   - source: Where the prompts are embedded.
    /// - Throws: `ModelsError`, `TensorsError`.
    public init(
        _ folder: ModelFolder, prompts: [String], negativePrompt: String = "", source: EmbeddingSource = .textEncoders
    ) throws {
        let (negativeEmbedding, embeddings) = try source.embed(prompts, negativePrompt: negativePrompt, model: folder)
        model = try DiffusionModel(folder)
        self.prompts = try embeddings.map(model.prompt)
        negative = try model.prompt(negativeEmbedding)
    }

    /// The side of the square image that the model was made for, in pixels.
    public var nativeSize: Int { model.nativeSize }

    /// The size that the model was trained at whose ratio of height to width is the nearest.
    ///
    /// - Parameters:
    ///   - height: The height wanted, in pixels.
    ///   - width: The width wanted, in pixels.
    /// - Returns: The size.
    /// - Throws: `ModelsError.invalidArgument` for a model without such sizes.
    public func aspectRatioBin(height: Int, width: Int) throws -> (height: Int, width: Int) {
        try model.aspectRatioBin(height: height, width: width)
    }

    /// Generates one image.
    ///
    /// - Parameters:
    ///   - prompt: The prompt's index.
    ///   - seed: The seed of the initial noise.
    ///   - settings: Size, steps and guidance.
    ///   - schedule: When to recompute; nil for always.
    ///   - outputSize: The size that the image is scaled and cut to; nil for that of the settings.
    /// - Returns: The image and its times.
    /// - Throws: ``DiffusionError`` for a schedule that does not fit, `ModelsError` for a size that does not.
    public func generate(
        prompt: Int, seed: UInt64, settings: GenerationSettings, schedule: Schedule?,
        outputSize: (height: Int, width: Int)? = nil
    ) throws -> Generated {
        let shape = try model.scheduleShape(stepCount: settings.stepCount)
        if let schedule, schedule.shape != shape {
            throw DiffusionError.scheduleShape(expected: shape.description, found: schedule.shape.description)
        }
        let session = try sessions[settings] ?? model.session(imageCount: 1, settings: settings)
        sessions[settings] = session
        session.drawNoise(seeds: [seed])
        let denoiseSeconds = try session.denoise(
            prompts: [prompts[prompt]], negative: negative,
            layout: try CacheLayout(schedule ?? Schedule(shape: shape)))
        let clock = ContinuousClock()
        let start = clock.now
        let size = outputSize ?? (settings.height, settings.width)
        let planes = model.decode(session.latents, settings: settings).covering(height: size.height, width: size.width)
        let image = Image(planes: planes)
        return Generated(
            image: image, denoiseSeconds: denoiseSeconds, decodeSeconds: (clock.now - start) / .seconds(1))
    }
}
