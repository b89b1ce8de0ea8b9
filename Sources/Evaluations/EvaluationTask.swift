import Diffusion
import Schedules
import Scoring
import Tensors

/// What all evaluations of a run have in common.
public struct EvaluationSettings: Sendable {
    /// Size, steps and guidance of every image.
    public var generation: GenerationSettings
    /// The prompts; tasks name them by their index.
    public var prompts: [String]
    /// The prompt of the unconditional half.
    public var negativePrompt: String
    /// What every image is scored by.
    public var scorers: [ScorerSource]

    /// Settings of a run.
    public init(
        generation: GenerationSettings, prompts: [String], negativePrompt: String,
        scorers: [ScorerSource] = ScorerSource.paired
    ) {
        self.generation = generation
        self.prompts = prompts
        self.negativePrompt = negativePrompt
        self.scorers = scorers
    }
}

/// One image to make: a prompt and a seed.
public struct EvaluationItem: Sendable, Hashable {
    /// The prompt, by its index in the run.
    public let prompt: Int
    /// The seed of the initial noise.
    public let seed: UInt64

    /// A prompt and a seed.
    public init(prompt: Int, seed: UInt64) {
        self.prompt = prompt
        self.seed = seed
    }
}

/// Schedules to be measured on the same images.
public struct EvaluationTask: Sendable {
    /// The candidates: a number of the coordinator's and the schedule; nil is the uncached reference itself.
    public var candidates: [(id: Int64, schedule: Schedule?)]
    /// The images, denoised together.
    public var items: [EvaluationItem]
    /// True if the uncached reference is timed between the candidates.
    public var measuresLatency: Bool
    /// True if the images themselves are wanted.
    public var returnsImages: Bool

    /// A task.
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

/// One image of one candidate, scored and timed.
public struct ImageResult: Sendable {
    /// The candidate's number.
    public let candidateID: Int64
    /// Prompt and seed.
    public let item: EvaluationItem
    /// Values by the scorer's name.
    public let scores: [String: Double]
    /// Seconds of the step loop by `ComputeClock`, divided by the number of images denoised together.
    public let denoiseSeconds: Double
    /// The same of the uncached reference, timed before and after; nil if it was not timed.
    public let referenceSeconds: Double?
    /// Seconds of decoding.
    public let decodeSeconds: Double
    /// The image, if it was asked for.
    public let image: Image?

    /// A result.
    public init(
        candidateID: Int64, item: EvaluationItem, scores: [String: Double], denoiseSeconds: Double,
        referenceSeconds: Double?, decodeSeconds: Double, image: Image?
    ) {
        self.candidateID = candidateID
        self.item = item
        self.scores = scores
        self.denoiseSeconds = denoiseSeconds
        self.referenceSeconds = referenceSeconds
        self.decodeSeconds = decodeSeconds
        self.image = image
    }
}
