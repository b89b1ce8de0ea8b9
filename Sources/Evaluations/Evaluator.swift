import Diffusion
import Models
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

    /// Settings of a run.
    public init(generation: GenerationSettings, prompts: [String], negativePrompt: String) {
        self.generation = generation
        self.prompts = prompts
        self.negativePrompt = negativePrompt
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
    /// Seconds of the step loop, divided by the number of images denoised together.
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

/// Measures candidates on one machine: images, scores, and latency against the uncached reference.
///
/// Prompt embeddings and uncached images are kept between tasks; nothing else is.
public final class Evaluator {
    /// Candidates that are timed between two runs of the uncached reference.
    static let candidatesBetweenReferences = 4
    /// Uncached images beyond this many bytes are computed again when needed.
    static let keptImageBytes = 512 << 20

    /// The steps, blocks and components of the run's schedules.
    public let shape: ScheduleShape

    private let model: DiffusionModel
    private let settings: EvaluationSettings
    private let prompts: [PixArtTransformer.Prompt]
    private let negative: PixArtTransformer.Prompt
    private let uncached: CacheLayout
    private var sessions: [Int: DenoisingSession] = [:]
    private var referenceImages: [EvaluationItem: Image] = [:]

    /// Opens a model and encodes the run's prompts.
    ///
    /// - Throws: `ModelsError`, `TensorsError`.
    public init(model folder: ModelFolder, settings: EvaluationSettings) throws {
        let (negativeEmbedding, embeddings) = try {
            let text = try TextEncoding(model: folder)
            return (try text.embed(settings.negativePrompt), try settings.prompts.map { try text.embed($0) })
        }()
        model = try DiffusionModel(folder)
        self.settings = settings
        prompts = try embeddings.map(model.prompt)
        negative = try model.prompt(negativeEmbedding)
        shape = try model.scheduleShape(stepCount: settings.generation.stepCount)
        uncached = try CacheLayout(Schedule(shape: shape))
    }

    /// Measures a task's candidates.
    ///
    /// - Parameters:
    ///   - task: Schedules and images.
    ///   - progress: Called with the number of images done and the number of all; return false to give the task up.
    /// - Returns: A result for every candidate and image, or nil if the task was given up.
    /// - Throws: ``EvaluationsError``, `ModelsError`.
    public func evaluate(_ task: EvaluationTask, progress: (Int, Int) -> Bool) throws -> [ImageResult]? {
        for item in task.items where !prompts.indices.contains(item.prompt) {
            throw EvaluationsError.unknownPrompt(index: item.prompt, count: prompts.count)
        }
        for (id, schedule) in task.candidates {
            if let schedule, schedule.shape != shape { throw EvaluationsError.scheduleShape(candidate: id) }
        }
        let session = try session(imageCount: task.items.count)
        let total = task.candidates.count * task.items.count
        var results: [ImageResult] = []
        var pending: [(id: Int64, run: Run)] = []
        var referenceBefore: Double?
        if task.measuresLatency || task.items.contains(where: { referenceImages[$0] == nil }) {
            referenceBefore = try runReference(task, session)
        }
        for (index, candidate) in task.candidates.enumerated() {
            guard progress(results.count + pending.count * task.items.count, total) else { return nil }
            let run = try run(candidate.schedule, task, session, failure: .notFinite(candidate: candidate.id))
            pending.append((candidate.id, run))
            let isGroupEnd =
                pending.count == Self.candidatesBetweenReferences || index == task.candidates.count - 1
            guard isGroupEnd else { continue }
            var reference: Double?
            if task.measuresLatency {
                let after = try runReference(task, session)
                reference = ((referenceBefore ?? after) + after) / 2
                referenceBefore = after
            }
            for (id, run) in pending { results += try score(run, of: id, task, reference: reference) }
            pending = []
        }
        _ = progress(total, total)
        return results
    }

    private struct Run {
        let secondsPerImage, decodeSecondsPerImage: Double
        let images: [Image]
    }

    private func session(imageCount: Int) throws -> DenoisingSession {
        if let session = sessions[imageCount] { return session }
        let session = try model.session(imageCount: imageCount, settings: settings.generation)
        // The first run of a session touches new memory: it is not timed.
        session.drawNoise(seeds: Array(repeating: 0, count: imageCount))
        try session.denoise(
            prompts: Array(repeating: negative, count: imageCount), negative: negative, layout: uncached)
        sessions[imageCount] = session
        return session
    }

    /// Denoises and decodes a task's images under one schedule; `failure` is thrown for latents that are not finite.
    private func run(
        _ schedule: Schedule?, _ task: EvaluationTask, _ session: DenoisingSession, failure: EvaluationsError
    ) throws -> Run {
        let layout = try schedule.map(CacheLayout.init) ?? uncached
        session.drawNoise(seeds: task.items.map(\.seed))
        let seconds = try session.denoise(
            prompts: task.items.map { prompts[$0.prompt] }, negative: negative, layout: layout)
        guard session.latents.values.allSatisfy(\.isFinite) else { throw failure }
        let clock = ContinuousClock()
        let start = clock.now
        let images = task.items.indices.map { row in
            Image(planes: model.decode(session.latents.rows(row..<(row + 1)), settings: settings.generation))
        }
        let count = Double(task.items.count)
        return Run(
            secondsPerImage: seconds / count, decodeSecondsPerImage: (clock.now - start) / .seconds(1) / count,
            images: images)
    }

    /// Runs the uncached reference and returns its seconds per image; keeps its images.
    private func runReference(_ task: EvaluationTask, _ session: DenoisingSession) throws -> Double {
        if task.items.allSatisfy({ referenceImages[$0] != nil }) {
            session.drawNoise(seeds: task.items.map(\.seed))
            let seconds = try session.denoise(
                prompts: task.items.map { prompts[$0.prompt] }, negative: negative, layout: uncached)
            return seconds / Double(task.items.count)
        }
        let reference = try run(nil, task, session, failure: .referenceNotFinite)
        let bytes = referenceImages.values.reduce(0) { $0 + $1.pixels.count }
        if bytes > Self.keptImageBytes { referenceImages = [:] }
        for (item, image) in zip(task.items, reference.images) { referenceImages[item] = image }
        return reference.secondsPerImage
    }

    private func score(
        _ run: Run, of candidate: Int64, _ task: EvaluationTask, reference: Double?
    ) throws -> [ImageResult] {
        try zip(task.items, run.images).map { item, image in
            var scores: [String: Double] = [:]
            if let referenceImage = referenceImages[item] {
                scores["psnr"] = try PairedFidelity.psnr(image, reference: referenceImage)
            }
            return ImageResult(
                candidateID: candidate, item: item, scores: scores, denoiseSeconds: run.secondsPerImage,
                referenceSeconds: reference, decodeSeconds: run.decodeSecondsPerImage,
                image: task.returnsImages ? image : nil)
        }
    }
}
