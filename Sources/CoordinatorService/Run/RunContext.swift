import Basics
import Foundation
import History
import Messages
import ModelConfiguration
import Schedules

/// What does not change while a run is distributed: its history, model, prompts and settings.
struct RunContext {
    let history: RunHistory
    let runID: Int64
    let configuration: RunConfiguration
    let model: ModelDescription
    /// The fingerprint of the model files that workers need.
    let modelHash: String
    let shape: ScheduleShape
    /// The prompts that tasks refer to by index, and their set's name in the history.
    let prompts: [String]
    let evaluationSet: String
    /// The prompts' embeddings; nil if every worker computes its own.
    let embeddings: EmbeddingsFile?
    /// Images per prompt.
    let seedsPerPrompt: Int
    /// Multiply-adds of an uncached image.
    let uncachedMACs: Int
    /// Images in the batch for which workers measure a cost table; nil if none is needed.
    let costImageCount: Int?
    /// What the log says about the run's files when it is opened.
    let notices: [String]

    init(
        history: RunHistory, runID: Int64, configuration: RunConfiguration, model: ModelDescription, modelHash: String,
        shape: ScheduleShape, prompts: [String], evaluationSet: String, embeddings: EmbeddingsFile?,
        seedsPerPrompt: Int, costImageCount: Int?, notices: [String] = []
    ) throws {
        self.history = history
        self.runID = runID
        self.configuration = configuration
        self.model = model
        self.modelHash = modelHash
        self.shape = shape
        self.prompts = prompts
        self.evaluationSet = evaluationSet
        self.embeddings = embeddings
        self.seedsPerPrompt = seedsPerPrompt
        self.costImageCount = costImageCount
        self.notices = notices
        uncachedMACs = try model.architecture.macs(Schedule(shape: shape)).total
    }

    /// Whether canaries are compared with that of the run's first worker.
    ///
    /// A canary depends on the first prompt, so only those on the calibration prompts are comparable.
    var keepsCanary: Bool { evaluationSet == RunHistory.calibration }

    /// All images of an evaluation, in the order in which they are divided into tasks.
    var images: [ImageKey] {
        prompts.indices.flatMap { prompt in (0..<seedsPerPrompt).map { ImageKey(prompt: prompt, seed: Int64($0)) } }
    }

    // MARK: - Tasks

    /// Divides an evaluation into tasks: some schedules on a shard of the images.
    ///
    /// The shards follow from the configuration alone, because the last bits of an image depend on the images in its
    /// batch.
    ///
    /// - Parameters:
    ///   - indices: Positions of the schedules among those inserted together.
    ///   - candidates: Those inserted together.
    ///   - images: The images of each.
    ///   - size: How many schedules a task evaluates.
    /// - Returns: The tasks, in the order in which they are assigned.
    func tasks(
        for indices: [Int], of candidates: [NewCandidate], images: [ImageKey], size: TaskSize
    ) -> [NewTask] {
        let shard = configuration.imagesPerTask
        // The most expensive first: short tasks at the end keep all workers busy until about the same time.
        let macs = candidates.map { $0.macs ?? 0 }
        let indices = indices.sorted { (macs[$1], $0) < (macs[$0], $1) }
        return size.division(of: indices.count, images: images.count, imagesPerTask: shard).flatMap { range in
            stride(from: 0, to: images.count, by: shard).map { start in
                NewTask(
                    kind: .evaluate, candidates: Array(indices[range]),
                    images: Array(images[start..<min(start + shard, images.count)]))
            }
        }
    }

    /// Finished tasks of the recheck sample that were not confirmed before the coordinator ended.
    ///
    /// Only tasks of candidates without totals: the search has used the others.
    func pendingRechecks() throws -> [Recheck] {
        guard configuration.recheckShare > 0 else { return [] }
        // A worker that reproduces its own result confirms nothing.
        let confirmations = try history.results.rechecks(of: runID).filter {
            $0.agrees && $0.workerID != $0.checkedWorkerID
        }
        let confirmed = Set(confirmations.map(\.taskID))
        return try history.results.unsettledTasks(of: runID, on: evaluationSet).compactMap { task, worker in
            guard Recheck.isSampled(task.id, share: configuration.recheckShare), !confirmed.contains(task.id) else {
                return nil
            }
            return Recheck(task: task, original: worker, originalScores: try scores(of: task))
        }
    }

    private func scores(of task: TaskRecord) throws -> Recheck.Scores {
        let images = Set(task.images)
        var scores: Recheck.Scores = [:]
        for candidate in task.candidateIDs {
            for score in try history.results.measurements(of: candidate, on: evaluationSet).scores
            where configuration.quality.isNamed(score.scorer) && images.contains(score.image) {
                scores[Recheck.ScoreKey(candidate: candidate, image: score.image)] = score.value
            }
        }
        return scores
    }

    // MARK: - Totals

    /// The cost table from which latencies are modelled; nil before a worker has measured one.
    func costTable() throws -> CostTable? {
        let record = try history.runs.costTables(of: runID).first { $0.isObjective }
        return try record.map { try CostTable(json: $0.costs, shape: shape, source: history.file) }
    }

    /// Summarizes a candidate's images.
    ///
    /// - Parameters:
    ///   - candidate: The candidate.
    ///   - schedule: Its schedule.
    ///   - costTable: The run's cost table, if there is one.
    ///   - isCostRequired: Whether to return nil if the run's cost objective is unknown. Otherwise the nearest known
    ///     cost takes its place: measured latency, then multiply-adds.
    /// - Returns: Nil unless all images have been measured.
    /// - Throws: `HistoryError`, `SchedulesError`.
    func totals(
        of candidate: Int64, schedule: Schedule, costTable: CostTable?, isCostRequired: Bool
    ) throws -> EvaluationTotals? {
        let measured = try history.results.measurements(of: candidate, on: evaluationSet)
        let expected = Set(images)
        let scores = measured.scores.filter {
            configuration.quality.isNamed($0.scorer) && expected.contains($0.image)
        }
        let timings = measured.timings.filter { expected.contains($0.image) }
        guard scores.count == expected.count, timings.count >= expected.count else { return nil }
        let seconds = timings.reduce(0) { $0 + $1.denoiseSeconds }
        let referenceSeconds = timings.reduce(0) { $0 + ($1.referenceSeconds ?? 0) }
        let latencyRatio = referenceSeconds > 0 ? seconds / referenceSeconds : nil
        let modelledRatio = costTable?.ratio(of: schedule)
        let macs = try model.architecture.macs(schedule).total
        let macsRatio = Double(macs) / Double(uncachedMACs)
        let cost: Double? =
            switch configuration.cost {
            case .latency: modelledRatio
            case .measured: latencyRatio
            case .macs: macsRatio
            }
        guard let cost = cost ?? (isCostRequired ? nil : latencyRatio ?? macsRatio) else { return nil }
        return EvaluationTotals(
            cost: cost, quality: scores.reduce(0) { $0 + $1.value } / Double(expected.count),
            latencyRatio: latencyRatio, modelledRatio: modelledRatio, macs: Int64(macs), images: expected.count,
            denoiseSeconds: seconds, referenceSeconds: referenceSeconds)
    }

    // MARK: - Messages

    /// The answer to a registration, except for the coordinator's own settings.
    var welcome: Welcome {
        var welcome = Welcome()
        // A worker's stored results belong to one prompt set.
        let suffix = evaluationSet == RunHistory.calibration ? "" : "-\(evaluationSet)"
        welcome.runID = "\(runID)-\(modelHash.prefix(16))\(suffix)"
        welcome.settings.modelHash = modelHash
        welcome.settings.stepCount = UInt32(configuration.stepCount)
        welcome.settings.height = UInt32(model.height)
        welcome.settings.width = UInt32(model.width)
        // A run stores its scale when it begins.
        welcome.settings.guidanceScale =
            configuration.guidanceScale ?? model.architecture.transformer.guidance.defaultScale
        let arithmetic = configuration.arithmetic
        if arithmetic.precision != .float32 { welcome.settings.precision = arithmetic.precision.rawValue }
        if arithmetic.engine != .native { welcome.settings.engine = arithmetic.engine.rawValue }
        welcome.settings.negativePrompt = configuration.negativePrompt
        welcome.settings.scorers = configuration.scorers.map(\.rawValue)
        welcome.settings.scorerModels = configuration.scorers.compactMap { scorer in
            guard let hash = scorer.model.flatMap({ configuration.scorerFingerprints[$0] }) else { return nil }
            var model = ScorerModel()
            model.scorer = scorer.rawValue
            model.hash = hash
            return model
        }
        if let embeddings { welcome.embeddings = embeddings.reference }
        if let costImageCount { welcome.costImageCount = UInt32(costImageCount) }
        welcome.prompts = prompts.enumerated().map { index, text in
            var entry = PromptEntry()
            entry.index = UInt32(index)
            entry.text = text
            return entry
        }
        return welcome
    }

    /// The message that assigns an item to a worker.
    func assignment(of item: WorkItem, under lease: Dispatcher.Lease) throws -> Assignment {
        var assignment =
            switch item.work {
            case .evaluation(let task): try withThumbnails(assignment(of: task))
            case .recheck(let recheck): try assignment(of: recheck.task)
            case .contactSheet(let sheet): sheet.assignment
            case .reuseErrors(let measurement): measurement.assignment
            }
        assignment.taskID = item.id.wireID
        assignment.leaseEpoch = Int64(lease.epoch)
        assignment.leaseSeconds = lease.seconds
        return assignment
    }

    /// Requests the images that a member of the front keeps: whether a candidate becomes one is not known before.
    private func withThumbnails(_ assignment: Assignment) throws -> Assignment {
        let images = assignment.items.map { ImageKey(prompt: Int($0.promptIndex), seed: $0.seed) }
        let wanted = images.filter(hasThumbnail)
        guard !wanted.isEmpty else { return assignment }
        var assignment = assignment
        assignment.thumbnails = wanted.map(PromptSeed.init)
        assignment.imagePixels = UInt32(configuration.thumbnailPixels)
        assignment.returnReferences = try !history.results.storedReferences(of: runID).isSuperset(of: wanted)
        return assignment
    }

    /// Whether members of the front keep this image.
    private func hasThumbnail(_ image: ImageKey) -> Bool {
        evaluationSet == RunHistory.calibration && image.seed == 0 && image.prompt < configuration.thumbnailPrompts
    }

    /// Whether a worker's image is stored: one that was requested, of the size that was requested.
    func accepts(_ thumbnail: Thumbnail) -> Bool { hasThumbnail(thumbnail.image) && isThumbnail(thumbnail.png) }

    /// Whether a worker's bytes are a PNG file of at most the requested size: readers of the history decode it.
    func isThumbnail(_ png: [UInt8]) -> Bool {
        let edge = configuration.thumbnailPixels
        // Signature, and length and name of the first chunk (https://www.w3.org/TR/png/#5Introduction).
        let start: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52]
        // A PNG of noise has little more than three bytes for each pixel.
        guard png.starts(with: start), (24...(4 * edge * edge + 1024)).contains(png.count) else { return false }
        let sizes = [16, 20].map { png[$0..<($0 + 4)].reduce(0) { $0 << 8 | Int($1) } }
        return sizes.allSatisfy((1...edge).contains)
    }

    private func assignment(of task: TaskRecord) throws -> Assignment {
        var assignment = Assignment()
        assignment.kind = .evaluate
        assignment.candidates = try task.candidateIDs.map { id in
            var candidate = AssignedCandidate()
            candidate.candidateID = id
            let record = try history.search.candidate(id)
            candidate.genome = Data(record.genome)
            if let gateStep = record.gateStep { candidate.gateStep = UInt32(gateStep) }
            candidate.geneCount = UInt32(shape.geneCount)
            return candidate
        }
        assignment.items = task.images.map(PromptSeed.init)
        // A predicted cost needs no more than a glance at the latency; a benchmark reports it.
        assignment.measureLatency = configuration.cost == .measured || evaluationSet != RunHistory.calibration
        return assignment
    }
}
