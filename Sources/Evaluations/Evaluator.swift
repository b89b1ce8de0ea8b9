import Basics
import Diffusion
import ModelConfiguration
import Models
import Schedules
import Scoring
import Tensors

/// Evaluates candidates on one machine: images, scores, and latency relative to the uncached reference.
///
/// Prompt embeddings, sessions and uncached images with their latents are cached between tasks, the latents also on disk;
/// candidates' results are not.
public final class Evaluator {
    /// Candidates timed between two runs of the uncached reference.
    static let candidatesBetweenReferences = 4
    /// Runs shorter than this many seconds are repeated, because one interruption could double their duration.
    private static let minTimingSeconds = 0.1
    /// Maximum size of the cache of uncached images in bytes.
    private static let referenceCacheLimit = 512 << 20

    /// The shape of the run's schedules.
    public let shape: ScheduleShape

    /// Number of prompts, which tasks refer to by index.
    public var promptCount: Int { prompts.count }

    let model: DiffusionModel
    let settings: EvaluationSettings
    /// Prompts that are longer than the text encoders read.
    public let warnings: [String]
    let prompts: [DiffusionModel.Prompt]
    let negative: DiffusionModel.Prompt
    let uncached: ExecutionPlan
    private var sessions: [Int: any DenoisingSession] = [:]
    private let scorers: [any Scorer]
    /// Keyed by the images denoised together, because the last bits of an image depend on its batch.
    private var references: [[EvaluationItem]: Reference] = [:]
    /// Nil once writing has failed.
    private var store: ReferenceStore?
    /// The result of ``canary()``; nil before its first call, until which the store is not used.
    private var canaryLatents: [Float]?
    private var storeProblem: String?
    /// Keyed by their number of images.
    var uncachedTimings: [Int: UncachedTimings] = [:]
    /// Whether latencies are predicted from costs that were measured here, and so are an objective.
    var hasMeasuredCosts = false
    /// Batches of uncached images that were denoised by this evaluator, not found on disk.
    private(set) var denoisedReferenceCount = 0

    /// Embeds the run's prompts and opens the model and the scorers.
    ///
    /// - Parameters:
    ///   - folder: The model.
    ///   - settings: The settings of the run.
    ///   - source: The source of the prompt embeddings.
    ///   - store: Where latents of uncached images are kept; used after ``canary()``.
    /// - Throws: `ModelsError`, `ScoringError`, `TensorsError`.
    public init(
        model folder: ModelFolder, settings: EvaluationSettings, source: EmbeddingSource = .textEncoders,
        store: ReferenceStore? = nil
    ) throws {
        let (negativeEmbedding, embeddings, warnings) = try source.embed(
            settings.prompts, negativePrompt: settings.negativePrompt, model: folder)
        model = try DiffusionModel(folder, precision: settings.precision)
        self.settings = settings
        self.store = store
        self.warnings = warnings
        scorers = try ScorerSource.open(settings.scorers)
        prompts = try embeddings.map(model.prompt)
        negative = try model.prompt(negativeEmbedding)
        shape = try model.scheduleShape(stepCount: settings.generation.stepCount)
        uncached = try ExecutionPlan(Schedule(shape: shape))
    }

    /// Evaluates a task's candidates.
    ///
    /// - Parameters:
    ///   - task: Schedules and images.
    ///   - progress: Called with the number of finished images and the total; returns false to cancel.
    /// - Returns: A result per candidate and image, candidate-major, or nil if cancelled.
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
        if references[task.items] == nil { try restoreReference(task, session) }
        if task.measuresLatency || references[task.items] == nil {
            referenceBefore = try runReference(task, session)
        }
        for (index, candidate) in task.candidates.enumerated() {
            guard progress(results.count + pending.count * task.items.count, total) else { return nil }
            let timings = uncachedTimings[task.items.count]
            if !task.measuresLatency, timings?.isDue(at: .now, isObjective: hasMeasuredCosts) ?? true {
                _ = try runReference(task, session)
            }
            let run = try run(
                candidate.schedule, task, session, failure: { .notFinite(candidate: candidate.id, stage: $0) })
            pending.append((candidate.id, run))
            let isGroupEnd =
                pending.count == Self.candidatesBetweenReferences || index == task.candidates.count - 1
            guard isGroupEnd else { continue }
            var referenceSeconds = uncachedTimings[task.items.count]?.secondsPerImage
            if task.measuresLatency {
                let after = try runReference(task, session)
                referenceSeconds = ((referenceBefore ?? after) + after) / 2
                referenceBefore = after
            }
            for (id, run) in pending { results += try score(run, of: id, task, referenceSeconds: referenceSeconds) }
            pending = []
        }
        _ = progress(total, total)
        return results
    }

    private struct Run {
        let secondsPerImage, decodeSecondsPerImage: Double
        let images: [Image]
        /// `[images, C·h·w]`.
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
        // The first run of a session touches new memory and must not be timed; one computed step touches all of it.
        let reuse = Schedule(shape: shape, decisions: Array(repeating: .reuse, count: shape.geneCount))
        session.drawNoise(seeds: Array(repeating: 0, count: imageCount))
        try session.denoise(
            prompts: Array(repeating: negative, count: imageCount), negative: negative, plan: ExecutionPlan(reuse))
        sessions[imageCount] = session
        return session
    }

    /// Denoises and decodes a task's images with one schedule; throws the `failure` of a stage whose output is not
    /// finite, or `NonFiniteError` if a weight is the cause.
    private func run(
        _ schedule: Schedule?, _ task: EvaluationTask, _ session: any DenoisingSession,
        failure: (String) -> EvaluationsError
    ) throws -> Run {
        let plan = try schedule.map(ExecutionPlan.init) ?? uncached
        let seconds, decodeSeconds: Double
        var images: [Image] = []
        do {
            seconds = try denoise(task, session, plan)
            decodeSeconds = try ComputeClock.seconds { images = try decode(session.latents) }
        } catch NonFiniteError.output(_, let stage) {
            throw failure(stage)
        }
        let count = Double(task.items.count)
        let latents = Matrix(rows: session.latents.rows, columns: session.latents.columns)
        latents.copy(from: session.latents)
        return Run(
            secondsPerImage: seconds / count, decodeSecondsPerImage: decodeSeconds / count, images: images,
            latents: latents)
    }

    /// Decodes the latents of several images, `[images, C·h·w]`.
    private func decode(_ latents: Matrix) throws -> [Image] {
        try (0..<latents.rows).map { row in
            Image(planes: try model.decode(latents.rows(row..<(row + 1)), settings: settings.generation))
        }
    }

    /// Denoises a task's images and returns the duration in seconds; for latency measurements, the median of several runs
    /// if they are short.
    private func denoise(
        _ task: EvaluationTask, _ session: any DenoisingSession, _ plan: ExecutionPlan
    ) throws -> Double {
        func once() throws -> Double {
            session.drawNoise(seeds: task.items.map(\.seed))
            let itemPrompts = task.items.map { prompts[$0.prompt] }
            return try ComputeClock.seconds {
                try session.denoise(prompts: itemPrompts, negative: negative, plan: plan)
            }
        }
        let first = try once()
        guard task.measuresLatency, first < Self.minTimingSeconds else { return first }
        let repetitions = 3 * first < Self.minTimingSeconds ? 5 : 3
        let seconds =
            try [first]
            + (1..<repetitions).map { _ in
                try clearCaches(session)
                return try once()
            }
        return seconds.sorted()[repetitions / 2]
    }

    /// Decodes the images before a timed run, as between the candidates of a task.
    ///
    /// What the run reads is then no longer in the processor's caches, and to read it again takes a noticeable part of a
    /// short run that reuses nearly everything.
    func clearCaches(_ session: any DenoisingSession) throws {
        _ = try decode(session.latents)
    }

    /// Runs the uncached reference and returns its seconds per image; caches its images and latents.
    private func runReference(_ task: EvaluationTask, _ session: any DenoisingSession) throws -> Double {
        let seconds = try secondsOfReference(task, session)
        let count = task.items.count
        uncachedTimings[count, default: UncachedTimings(imageCount: count)].add(seconds, at: .now)
        return seconds
    }

    private func secondsOfReference(_ task: EvaluationTask, _ session: any DenoisingSession) throws -> Double {
        if references[task.items] != nil {
            return try denoise(task, session, uncached) / Double(task.items.count)
        }
        let reference = try run(nil, task, session, failure: { .referenceNotFinite(stage: $0) })
        denoisedReferenceCount += 1
        remember(Reference(images: reference.images, latents: reference.latents), of: task)
        if let store, let batch = storedBatch(task) {
            do {
                try store.keep(reference.latents, of: batch)
            } catch {
                self.store = nil
                storeProblem = "uncached images are not kept for the next start: \(error)"
            }
        }
        return reference.secondsPerImage
    }

    /// Takes the uncached images of a task from the latents on disk, if they are there.
    private func restoreReference(_ task: EvaluationTask, _ session: any DenoisingSession) throws {
        guard let store, let batch = storedBatch(task),
            let latents = store.latents(of: batch, columns: session.latents.columns)
        else { return }
        do {
            remember(Reference(images: try decode(latents), latents: latents), of: task)
        } catch NonFiniteError.output(_, let stage) {
            throw EvaluationsError.referenceNotFinite(stage: stage)
        }
    }

    /// Why uncached images are no longer kept on disk, once; it has no effect on results.
    public func takeStoreProblem() -> String? {
        defer { storeProblem = nil }
        return storeProblem
    }

    private func storedBatch(_ task: EvaluationTask) -> ReferenceStore.Batch? {
        canaryLatents.map { ReferenceStore.Batch(settings: settings, items: task.items, canary: $0) }
    }

    private func remember(_ reference: Reference, of task: EvaluationTask) {
        let bytes = references.values.reduce(0) { $0 + $1.byteCount }
        if bytes > Self.referenceCacheLimit { references = [:] }
        references[task.items] = reference
    }

    /// Applies every scorer to the images of a run.
    private func score(
        _ run: Run, of candidate: Int64, _ task: EvaluationTask, referenceSeconds: Double?
    ) throws -> [ImageResult] {
        let reference = references[task.items]
        let batch = task.items.indices.map { row in
            ScoredImage(
                image: run.images[row], prompt: settings.prompts[task.items[row].prompt],
                reference: reference?.images[row], latents: run.latents.rows(row..<(row + 1)),
                referenceLatents: reference?.latents.rows(row..<(row + 1)))
        }
        var scores = [[String: Double]](repeating: [:], count: batch.count)
        for (scorer, source) in zip(scorers, settings.scorers) {
            for (index, value) in try scorer.scores(of: batch).enumerated() {
                guard value.isFinite else {
                    try source.requireFiniteWeights()
                    throw EvaluationsError.scoreNotFinite(candidate: candidate, scorer: scorer.name)
                }
                scores[index][scorer.name] = value
            }
        }
        let hasReferences = task.returnsReferences && candidate == task.candidates.first?.id
        return task.items.indices.map { index in
            let isThumbnail = task.thumbnails.contains(task.items[index])
            let image = task.returnsImages || isThumbnail ? run.images[index] : nil
            let uncached = hasReferences && isThumbnail ? reference?.images[index] : nil
            return ImageResult(
                candidateID: candidate, item: task.items[index], scores: scores[index],
                denoiseSeconds: run.secondsPerImage, referenceSeconds: referenceSeconds,
                decodeSeconds: run.decodeSecondsPerImage, image: image?.reduced(toEdge: task.imagePixels),
                reference: uncached?.reduced(toEdge: task.imagePixels))
        }
    }

    /// Measures how much reuse of each component's output changes the final latents of one image.
    ///
    /// - Parameters:
    ///   - item: The image.
    ///   - progress: Called with the finished share of the work; returns false to cancel.
    /// - Returns: Values in the layout of `ReuseErrors.values`, or nil if cancelled.
    /// - Throws: ``EvaluationsError``, `ModelsError`.
    public func reuseErrors(of item: EvaluationItem, progress: (Double) -> Bool) throws -> [Float]? {
        guard prompts.indices.contains(item.prompt) else {
            throw EvaluationsError.unknownPrompt(index: item.prompt, count: prompts.count)
        }
        return try model.reuseErrors(
            prompt: prompts[item.prompt], negative: negative, seed: item.seed, settings: settings.generation,
            progress: progress)
    }

    /// A fingerprint for detecting machines that compute wrong results: evenly sampled latents of one uncached image.
    ///
    /// It depends only on the model and the run's settings; machines differ only by rounding.
    ///
    /// - Returns: At most 256 finite values.
    /// - Throws: ``EvaluationsError``, `ModelsError`; `NonFiniteError` if the model or the machine computes values that
    ///   are not finite.
    public func canary() throws -> [Float] {
        let session = try session(imageCount: 1)
        session.drawNoise(seeds: [0])
        try session.denoise(prompts: [prompts.first ?? negative], negative: negative, plan: uncached)
        let latents = Array(session.latents.values)
        let count = min(256, latents.count)
        let values = (0..<count).map { latents[$0 * latents.count / count] }
        canaryLatents = values
        return values
    }

    /// Decodes and scores the uncached image of ``canary()``, so that damaged weights of the autoencoder or of a scorer
    /// are reported when the model is opened, not as failures of tasks.
    ///
    /// - Throws: `NonFiniteError`.
    public func checkImage() throws {
        let latents = try session(imageCount: 1).latents
        let image = Image(planes: try model.decode(latents, settings: settings.generation))
        let scored = ScoredImage(
            image: image, prompt: settings.prompts.first ?? "", reference: image, latents: latents,
            referenceLatents: latents)
        for (scorer, source) in zip(scorers, settings.scorers) {
            // Errors of a scorer other than damaged weights depend on the image, and are reported for tasks.
            guard let score = try? scorer.scores(of: [scored]).first, score.isFinite else {
                try source.requireFiniteWeights()
                continue
            }
        }
    }
}
