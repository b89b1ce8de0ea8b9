import Basics
import Diffusion
import Schedules
import Scoring
import Tensors

/// The settings shared by all evaluations of a run.
public struct EvaluationSettings: Sendable {
    /// Size, steps and guidance of every image.
    public var generation: GenerationSettings
    /// The prompts, which tasks refer to by index.
    public var prompts: [String]
    /// The negative prompt for classifier-free guidance.
    public var negativePrompt: String
    /// The scorers to apply to every image.
    public var scorers: [ScorerSource]
    /// The precision of the products in transformer and decoder.
    public var precision: Precision

    /// Settings, by default with the paired fidelity scorers.
    public init(
        generation: GenerationSettings, prompts: [String], negativePrompt: String,
        scorers: [ScorerSource] = ScorerSource.paired, precision: Precision = .float32
    ) {
        self.generation = generation
        self.prompts = prompts
        self.negativePrompt = negativePrompt
        self.scorers = scorers
        self.precision = precision
    }
}

/// An image to generate.
public struct EvaluationItem: Sendable, Hashable {
    /// The index of the prompt in the run.
    public let prompt: Int
    /// The seed of the initial noise.
    public let seed: UInt64

    /// An image by its prompt index and seed.
    public init(prompt: Int, seed: UInt64) {
        self.prompt = prompt
        self.seed = seed
    }
}

/// Candidates to evaluate on the same images.
public struct EvaluationTask: Sendable {
    /// The candidates by the coordinator's id; a nil schedule is the uncached reference.
    public var candidates: [(id: Int64, schedule: Schedule?)]
    /// The images, denoised together.
    public var items: [EvaluationItem]
    /// Whether latency is an objective.
    ///
    /// If so, candidates are timed between runs of the uncached reference, short ones repeatedly. Otherwise each is timed once, against a recent uncached run.
    public var measuresLatency: Bool
    /// Whether results include the images.
    public var returnsImages: Bool
    /// Items whose images results include in any case.
    public var thumbnails: Set<EvaluationItem> = []
    /// Whether the results of the first candidate include the uncached images of ``thumbnails``.
    public var returnsReferences = false
    /// The longest edge of the images in results in pixels, to which larger ones are reduced; nil for any.
    public var imagePixels: Int?

    /// A task for the coordinator's candidates.
    public init(
        candidates: [(id: Int64, schedule: Schedule?)], items: [EvaluationItem], measuresLatency: Bool,
        returnsImages: Bool
    ) {
        self.candidates = candidates
        self.items = items
        self.measuresLatency = measuresLatency
        self.returnsImages = returnsImages
    }
}

/// The scores and timings of one image of one candidate.
public struct ImageResult: Sendable {
    /// The coordinator's id of the candidate.
    public let candidateID: Int64
    /// The prompt and seed of the image.
    public let item: EvaluationItem
    /// Scores by scorer name.
    public let scores: [String: Double]
    /// Duration of the step loop by `ComputeClock`, per image of the batch.
    public let denoiseSeconds: Double
    /// The same for the uncached reference: averaged over the runs before and after if latency is an objective, otherwise
    /// of a recent run.
    public let referenceSeconds: Double?
    /// Duration of decoding, per image of the batch.
    public let decodeSeconds: Double
    /// The image, if the task requested it.
    public let image: Image?
    /// The uncached image, if the task requested it.
    public let reference: Image?

    /// A result with all measurements.
    public init(
        candidateID: Int64, item: EvaluationItem, scores: [String: Double], denoiseSeconds: Double,
        referenceSeconds: Double?, decodeSeconds: Double, image: Image?, reference: Image? = nil
    ) {
        self.candidateID = candidateID
        self.item = item
        self.scores = scores
        self.denoiseSeconds = denoiseSeconds
        self.referenceSeconds = referenceSeconds
        self.decodeSeconds = decodeSeconds
        self.image = image
        self.reference = reference
    }
}
