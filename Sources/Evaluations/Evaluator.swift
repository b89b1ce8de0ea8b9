import Diffusion
import ModelConfiguration
import Models
import Schedules
import Scoring
import Tensors

/// Measures candidates on one machine: images, scores, and latency against the uncached reference.
///
/// Prompt embeddings and uncached images with their latents are kept between tasks; nothing else is.
public final class Evaluator {
    /// Candidates that are timed between two runs of the uncached reference.
    static let candidatesBetweenReferences = 4
    /// Runs shorter than this many seconds are repeated, since one interruption could double them.
    static let shortestTiming = 0.1
    /// Uncached images beyond this many bytes are computed again when needed.
    static let keptImageBytes = 512 << 20

    /// The steps, blocks and components of the run's schedules.
    public let shape: ScheduleShape

    private let model: DiffusionModel
    let settings: EvaluationSettings
    let prompts: [DiffusionModel.Prompt]
    let negative: DiffusionModel.Prompt
    let uncached: CacheLayout
    private var sessions: [Int: any DenoisingSession] = [:]
    private let scorers: [any Scorer]
    /// By the images that were denoised together: the last bits of one depend on its neighbours.
    private var references: [[EvaluationItem]: Reference] = [:]

    /// Embeds the run's prompts and opens a model.
    ///
    /// - Parameters:
    ///   - folder: The model.
    ///   - settings: What the run's evaluations have in common.
    ///   - source: Where the prompts are embedded.
    /// - Throws: `ModelsError`, `ScoringError`, `TensorsError`.
    public init(
        model folder: ModelFolder, settings: EvaluationSettings, source: EmbeddingSource = .textEncoders
    ) throws {
        let (negativeEmbedding, embeddings) = try source.embed(
            settings.prompts, negativePrompt: settings.negativePrompt, model: folder)
        model = try DiffusionModel(folder)
        self.settings = settings
        scorers = try settings.scorers.map { try $0.open() }
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
    /// - Throws: ``EvaluationsError``, `ModelsError`, `ScoringError`.
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
        if task.measuresLatency || references[task.items] == nil {
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
        /// One row for each image, `[images, C·h·w]`.
        let latents: Matrix
    }

    private struct Reference {
        let images: [Image]
        let latents: Matrix
        var byteCount: Int {
            images.reduce(latents.count * MemoryLayout<Float>.stride) { $0 + $1.pixels.count }
        }
    }

    func session(imageCount: Int) throws -> any DenoisingSession {
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
        _ schedule: Schedule?, _ task: EvaluationTask, _ session: any DenoisingSession, failure: EvaluationsError
    ) throws -> Run {
        let layout = try schedule.map(CacheLayout.init) ?? uncached
        let seconds = try denoise(task, session, layout)
        guard session.latents.values.allSatisfy(\.isFinite) else { throw failure }
        var images: [Image] = []
        let decodeSeconds = ComputeClock.seconds {
            images = task.items.indices.map { row in
                Image(planes: model.decode(session.latents.rows(row..<(row + 1)), settings: settings.generation))
            }
        }
        let count = Double(task.items.count)
        let latents = Matrix(rows: session.latents.rows, columns: session.latents.columns)
        latents.copy(from: session.latents)
        return Run(
            secondsPerImage: seconds / count, decodeSecondsPerImage: decodeSeconds / count, images: images,
            latents: latents)
    }

    /// Denoises a task's images and returns the seconds: of one run, or the median of several if it is short and its
    /// time wanted.
    private func denoise(
        _ task: EvaluationTask, _ session: any DenoisingSession, _ layout: CacheLayout
    ) throws -> Double {
        func once() throws -> Double {
            session.drawNoise(seeds: task.items.map(\.seed))
            let own = task.items.map { prompts[$0.prompt] }
            return try ComputeClock.seconds { try session.denoise(prompts: own, negative: negative, layout: layout) }
        }
        let first = try once()
        guard task.measuresLatency, first < Self.shortestTiming else { return first }
        let repetitions = 3 * first < Self.shortestTiming ? 5 : 3
        let seconds = try [first] + (1..<repetitions).map { _ in try once() }
        return seconds.sorted()[repetitions / 2]
    }

    /// Runs the uncached reference and returns its seconds per image; keeps its images and latents.
    private func runReference(_ task: EvaluationTask, _ session: any DenoisingSession) throws -> Double {
        if references[task.items] != nil {
            return try denoise(task, session, uncached) / Double(task.items.count)
        }
        let reference = try run(nil, task, session, failure: .referenceNotFinite)
        let bytes = references.values.reduce(0) { $0 + $1.byteCount }
        if bytes > Self.keptImageBytes { references = [:] }
        references[task.items] = Reference(images: reference.images, latents: reference.latents)
        return reference.secondsPerImage
    }

    /// Applies every scorer to the images of a run.
    private func score(
        _ run: Run, of candidate: Int64, _ task: EvaluationTask, reference: Double?
    ) throws -> [ImageResult] {
        let known = references[task.items]
        let batch = task.items.indices.map { row in
            ScoredImage(
                image: run.images[row], prompt: settings.prompts[task.items[row].prompt],
                reference: known?.images[row], latents: run.latents.rows(row..<(row + 1)),
                referenceLatents: known?.latents.rows(row..<(row + 1)))
        }
        var scores = [[String: Double]](repeating: [:], count: batch.count)
        for scorer in scorers {
            for (index, value) in try scorer.scores(of: batch).enumerated() {
                guard value.isFinite else {
                    throw EvaluationsError.scoreNotFinite(candidate: candidate, scorer: scorer.name)
                }
                scores[index][scorer.name] = value
            }
        }
        return task.items.indices.map { index in
            ImageResult(
                candidateID: candidate, item: task.items[index], scores: scores[index],
                denoiseSeconds: run.secondsPerImage, referenceSeconds: reference,
                decodeSeconds: run.decodeSecondsPerImage, image: task.returnsImages ? run.images[index] : nil)
        }
    }

    /// Numbers by which a machine that computes wrongly is found out: latents of one uncached image, evenly sampled.
    ///
    /// They depend on the model and the run's settings alone; between machines they differ by rounding.
    ///
    /// - Returns: At most 256 numbers, some of which may not be finite where something is wrong.
    /// - Throws: ``EvaluationsError``, `ModelsError`.
    public func canary() throws -> [Float] {
        let session = try session(imageCount: 1)
        session.drawNoise(seeds: [0])
        try session.denoise(prompts: [prompts.first ?? negative], negative: negative, layout: uncached)
        let latents = Array(session.latents.values)
        let count = min(256, latents.count)
        return (0..<count).map { latents[$0 * latents.count / count] }
    }
}
