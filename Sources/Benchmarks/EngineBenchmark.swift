import Basics
import Diffusion
import ModelConfiguration
import Models
import Schedules
import Tensors

/// A part of the engine that is timed on its own: a product, an attention, or a stage of a model.
public struct EngineBenchmark {
    /// What is timed.
    public enum Part: Sendable, Equatable {
        /// A linear layer with bias, `[rows, inputs]` to `[rows, outputs]`.
        case product(rows: Int, outputs: Int, inputs: Int)
        /// Self-attention of a number of images.
        case attention(images: Int, heads: Int, tokens: Int, dimension: Int)
        /// One denoising step: a forward pass of the transformer, twice the batch with guidance, and the sampler.
        case forward
        /// All denoising steps.
        case denoise
        /// Decoding the latents of one image.
        case decode
        /// Denoising and decoding one image.
        case generate
    }

    /// A model and the inputs of its stages.
    public struct ModelInputs {
        let folder: ModelFolder
        let embeddings: PromptEmbeddings
        let settings: GenerationSettings
        let schedule: Schedule?

        /// The first prompt of a file of embeddings, at seed 0.
        public init(
            _ folder: ModelFolder, embeddings: PromptEmbeddings, settings: GenerationSettings, schedule: Schedule? = nil
        ) {
            self.folder = folder
            self.embeddings = embeddings
            self.settings = settings
            self.schedule = schedule
        }
    }

    /// Multiplications and additions of one run; nil for a stage of a model.
    public let operations: Double?
    private let body: () throws -> Void

    /// A product or an attention on random inputs.
    public init(_ part: Part, precision: Precision) throws {
        try precision.requireSupported()
        let workspace = Workspace()
        switch part {
        case .product(let rows, let outputs, let inputs):
            let weight = Linear(weight: Weight(Self.random(outputs, inputs, 1)), bias: Self.random(1, outputs, 2))
            let layer = precision == .bfloat16 ? weight.packed : weight
            let x = Self.random(rows, inputs, 3, precision)
            let y = Matrix(rows: rows, columns: outputs, precision: precision)
            operations = 2 * Double(rows) * Double(outputs) * Double(inputs)
            body = { linear(x, layer, into: y, workspace: workspace) }
        case .attention(let images, let heads, let tokens, let dimension):
            let (rows, columns) = (images * tokens, heads * dimension)
            let (q, k) = (Self.random(rows, columns, 1, precision), Self.random(rows, columns, 2, precision))
            let v = Self.random(rows, columns, 3, precision)
            let output = Matrix(rows: rows, columns: columns, precision: precision)
            operations = 4 * Double(images * heads * dimension) * Double(tokens) * Double(tokens)
            body = {
                attention(
                    queries: q, imageCount: images, headCount: heads, scale: 1 / Float(dimension).squareRoot(),
                    into: output, workspace: workspace
                ) { image in
                    let rows = TokenRows((image * tokens)..<((image + 1) * tokens))
                    return (rows, KeysAndValues(keys: k, values: v, rows: rows))
                }
            }
        case .forward, .denoise, .decode, .generate: preconditionFailure("a stage of a model")
        }
    }

    /// A stage of a model.
    ///
    /// - Throws: `ModelsError`, `TensorsError`; `DiffusionError` for a schedule of another shape.
    public init(_ part: Part, of inputs: ModelInputs, precision: Precision) throws {
        let model = try DiffusionModel(inputs.folder, precision: precision)
        var settings = inputs.settings
        if part == .forward { settings.stepCount = 1 }
        let shape = try model.scheduleShape(stepCount: settings.stepCount)
        if let schedule = inputs.schedule, schedule.shape != shape {
            throw DiffusionError.scheduleShape(expected: shape.description, found: schedule.shape.description)
        }
        try inputs.embeddings.check(for: inputs.folder)
        guard let text = inputs.embeddings.prompts.first else {
            throw ModelsError.invalidArgument("\(inputs.embeddings.path): no prompts; expected at least one")
        }
        let prompt = try model.prompt(inputs.embeddings.embedding(of: text))
        let negative = try model.prompt(inputs.embeddings.negative(inputs.embeddings.negativePrompt))
        let plan = try ExecutionPlan(inputs.schedule ?? Schedule(shape: shape))
        let session = try model.session(imageCount: 1, settings: settings)
        session.drawNoise(seeds: [0])
        operations = nil
        body = {
            if part != .decode {
                session.drawNoise(seeds: [0])
                try session.denoise(prompts: [prompt], negative: negative, plan: plan)
            }
            if part == .decode || part == .generate {
                _ = Image(planes: try model.decode(session.latents, settings: settings))
            }
        }
    }

    /// Runs the part once and returns its duration in seconds.
    public func seconds() throws -> Double {
        let clock = ContinuousClock()
        let start = clock.now
        try body()
        return (clock.now - start) / .seconds(1)
    }

    /// The best of several runs of a large product, in operations per second: the ceiling for the parts of a model.
    public static func bestProductRate(precision: Precision) throws -> Double {
        let product = try EngineBenchmark(.product(rows: 1024, outputs: 4096, inputs: 1536), precision: precision)
        let seconds = try (0..<8).map { _ in try product.seconds() }.min()
        return (product.operations ?? 0) / (seconds ?? .infinity)
    }

    private static func random(_ rows: Int, _ columns: Int, _ seed: UInt64, _ precision: Precision = .float32) -> Matrix
    {
        var generator = TorchNormal(seed: seed)
        let x = Matrix(generator.normal(count: rows * columns), rows: rows, columns: columns)
        guard precision == .bfloat16 else { return x }
        let narrow = Matrix(rows: rows, columns: columns, precision: .bfloat16)
        Tensors.narrow(x, into: narrow)
        return narrow
    }
}
