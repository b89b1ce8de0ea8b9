import Basics
import ModelConfiguration
import Models
import Schedules
import Tensors

/// The text-to-image pipeline behind `ecad generate`: prompts to images.
public final class TextToImage {
    /// An image and its timings.
    public struct Generated: Sendable {
        /// The image.
        public let image: Image
        /// Duration of the step loop.
        public let denoiseSeconds: Double
        /// Duration of decoding.
        public let decodeSeconds: Double
    }

    /// Prompts that are longer than the text encoders read.
    public let warnings: [String]
    private let model: DiffusionModel
    private let prompts: [DiffusionModel.Prompt]
    private let negative: DiffusionModel.Prompt
    private var sessions: [GenerationSettings: any DenoisingSession] = [:]

    /// Encodes the prompts, releases the text encoders, and opens the rest of the model.
    ///
    /// - Parameters:
    ///   - folder: The model.
    ///   - prompts: The prompts, which ``generate(prompt:seed:settings:schedule:outputSize:)`` refers to by index.
    ///   - negativePrompt: The negative prompt for classifier-free guidance.
    ///   - source: The source of the embeddings.
    ///   - precision: The precision of the products in the transformer and the decoder.
    /// - Throws: `ModelsError`, `TensorsError`.
    public init(
        _ folder: ModelFolder, prompts: [String], negativePrompt: String = "", source: EmbeddingSource = .textEncoders,
        precision: Precision = .float32
    ) throws {
        let (negativeEmbedding, embeddings, warnings) = try source.embed(
            prompts, negativePrompt: negativePrompt, model: folder)
        self.warnings = warnings
        model = try DiffusionModel(folder, precision: precision)
        self.prompts = try embeddings.map(model.prompt)
        negative = try model.prompt(negativeEmbedding)
    }

    /// The native side length of square images in pixels.
    public var nativeSize: Int { model.nativeSize }

    /// The training size (aspect ratio bin) with the nearest ratio of height to width, in pixels.
    ///
    /// - Throws: `ModelsError.invalidArgument` for a model without aspect ratio bins.
    public func aspectRatioBin(height: Int, width: Int) throws -> (height: Int, width: Int) {
        try model.aspectRatioBin(height: height, width: width)
    }

    /// Generates one image.
    ///
    /// - Parameters:
    ///   - prompt: The prompt's index.
    ///   - seed: The seed of the initial noise.
    ///   - settings: Size, steps and guidance.
    ///   - schedule: The cache schedule; nil to recompute everything.
    ///   - outputSize: The size to resize and crop the image to; nil for that of the settings.
    /// - Returns: The image and its timings.
    /// - Throws: ``DiffusionError`` for a schedule, `ModelsError` for settings that the model does not support,
    ///   `NonFiniteError` for a stage whose output is not finite.
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
            plan: try ExecutionPlan(schedule ?? Schedule(shape: shape)))
        let clock = ContinuousClock()
        let start = clock.now
        let size = outputSize ?? (settings.height, settings.width)
        let planes = try model.decode(session.latents, settings: settings).resizedAndCropped(
            height: size.height, width: size.width)
        let image = Image(planes: planes)
        return Generated(
            image: image, denoiseSeconds: denoiseSeconds, decodeSeconds: (clock.now - start) / .seconds(1))
    }
}
