import Evolution
import Foundation
import History
import Messages
import ModelConfiguration
import Schedules

/// A run's life: the search breeds candidates, the history keeps them, results come back and are told to the search.
///
/// Everything that matters is in the history before anything else happens with it. A calibration that is opened again
/// after a crash goes on from there: committed results are kept, open tasks are given out again, and the search draws
/// the same random numbers.
final class Calibration: ServedRun {
    /// The reference point of the hypervolume: a tenth slower than uncached, at no quality at all.
    static func reference(_ quality: ScorerKind) -> ReferencePoint { ReferencePoint(cost: 1.1, quality: quality.worst) }

    let history: RunHistory
    let runID: Int64
    let configuration: RunConfiguration
    let model: ModelDescription
    let modelHash: String
    let prompts: [String]
    /// The prompts' embeddings that workers are given; nil if they embed the prompts themselves.
    let embeddings: EmbeddingsFile?
    let shape: ScheduleShape

    /// How much work a task is.
    var taskSize: TaskSize
    /// Tasks whose results are wanted.
    var tasks: [Int64: TaskRecord] = [:]
    /// The generation bred last.
    var generation = 0
    /// Candidates of all generations so far.
    var candidateCount = 0
    /// True once the last generation is complete.
    var isFinished = false

    var search: Search
    let evaluationSet = RunHistory.calibration
    let keepsCanary = true
    var seedsPerPrompt: Int { configuration.seedsPerPrompt }
    /// What the parts of the model cost, once that is known; the same for the whole run.
    var costTable: CostTable?
    /// The hypervolume after each complete generation.
    var hypervolumes: [Double] = []
    /// Seconds of work on complete generations.
    var secondsBefore = 0.0
    /// When the work on the generation at hand began, or went on.
    var generationStart = ContinuousClock.now
    /// True between the beginning of a generation and its end, where a barrier ends it.
    var isGenerationOpen = false
    /// The candidate that a pending offspring's images are made by.
    var candidateOfOffspring: [Int: Int64] = [:]
    private var newTasks: [TaskRecord] = []
    private var candidateOfHash: [String: Int64] = [:]
    private var candidateOfGenome: [Genome: Int64] = [:]
    private let evaluationKey: String
    private let uncachedMACs: Int

    init(
        history: RunHistory, runID: Int64, configuration: RunConfiguration, model: ModelDescription, modelHash: String,
        prompts: [String], embeddings: EmbeddingsFile?, shape: ScheduleShape, search: Search
    ) throws {
        self.history = history
        self.runID = runID
        self.configuration = configuration
        self.model = model
        self.modelHash = modelHash
        self.prompts = prompts
        self.embeddings = embeddings
        self.shape = shape
        self.search = search
        taskSize = TaskSize(fixed: configuration.schedulesPerTask, seconds: configuration.secondsPerTask)
        evaluationKey = Self.evaluationKey(configuration, model: model, modelHash: modelHash, prompts: prompts)
        uncachedMACs = try model.architecture.macs(Schedule(shape: shape)).total
        let table = try history.costTables(of: runID).first { $0.isObjective }
        costTable = try table.map { try CostTable(json: $0.costs, shape: shape, source: history.file) }
    }

    /// Goes on from where a history stands.
    ///
    /// - Parameters:
    ///   - snapshot: The history's latest generation.
    ///   - candidates: All candidates of the run.
    /// - Throws: `HistoryError`, `EvolutionError`, `SchedulesError`.
    func takeUp(_ snapshot: RunSnapshot, candidates: [CandidateRecord]) throws {
        for candidate in candidates {
            let genome = try Genome(bytes: candidate.genome, geneCount: shape.geneCount)
            note(candidate.id, genome: genome, canonicalHash: candidate.canonicalHash)
        }
        // Whoever held a lease belongs to the coordinator that is gone; a result that still arrives is taken all the
        // same.
        _ = try history.expireLeases(of: runID, expiringBy: .infinity)
        try history.setStatus(.running, of: runID)
        if snapshot.run.evaluationKey == nil {
            try history.setConfiguration(snapshot.run.configuration, evaluationKey: evaluationKey, of: runID)
        }
        guard let last = snapshot.generation else {
            try beginGeneration()
            return try proceed()
        }
        for record in try history.generations(of: runID) {
            secondsBefore += record.wallSeconds
            if record.isFinished { hypervolumes.append(record.hypervolume ?? 0) }
        }
        generation = last.number
        isGenerationOpen = !last.isFinished
        // Benchmarks wait for one who asks for them again.
        want(snapshot.tasks.filter { $0.isOpen && $0.evaluationSet == evaluationSet })
        for offspring in search.pending {
            candidateOfOffspring[offspring.id] = candidateOfHash[canonicalHash(offspring.genome)]
        }
        try proceed()
    }

    /// Goes on as far as that is possible without the results that are still out.
    func proceed() throws {
        switch configuration.mode {
        case .generations: try proceedByGenerations()
        case .steadyState: try proceedInSteadyState()
        }
    }

    // MARK: - Candidates

    /// Enters offspring of one generation in the history, with the tasks that evaluate them.
    ///
    /// A genome that was discarded generations ago may be bred again, and two of the same images in one generation:
    /// they share one evaluation. So do genomes that another run of the same file has evaluated under these settings.
    func enter(_ offspring: [Offspring], isContinued: Bool) throws {
        guard let first = offspring.first else { return }
        generation = first.generation
        let hashes = offspring.map { canonicalHash($0.genome) }
        var fresh: Set<String> = []
        let new = zip(offspring, hashes).filter { candidateOfHash[$0.1] == nil && fresh.insert($0.1).inserted }
        let measured = try history.measuredElsewhere(
            new.map(\.1), evaluationKey: evaluationKey, besides: runID)
        let candidates = try new.map { offspring, hash in
            NewCandidate(
                genome: offspring.genome.bytes, genomeSHA256: offspring.genome.sha256, canonicalHash: hash,
                parentA: parent(offspring, 0), parentB: parent(offspring, 1), operator: offspring.operation.rawValue,
                origin: offspring.origin,
                macs: Int64(try model.architecture.macs(Schedule(shape: shape, genome: offspring.genome)).total),
                measuredAs: measured[hash])
        }
        let unmeasured = candidates.indices.filter { candidates[$0].measuredAs == nil }
        let entered = try history.beginGeneration(
            generation, of: runID, isContinued: isContinued, searchState: encodedSearch, candidates: candidates,
            tasks: taskGrid(unmeasured))
        for (id, (offspring, hash)) in zip(entered.candidateIDs, new) {
            note(id, genome: offspring.genome, canonicalHash: hash)
        }
        for (offspring, hash) in zip(offspring, hashes) { candidateOfOffspring[offspring.id] = candidateOfHash[hash] }
        want(try entered.taskIDs.map(history.task))
    }

    private func note(_ candidate: Int64, genome: Genome, canonicalHash: String) {
        candidateOfHash[canonicalHash] = candidate
        candidateOfGenome[genome] = candidate
        candidateCount += 1
    }

    /// Takes the tasks that have come to be wanted since the last call.
    func takeNewTasks() -> [TaskRecord] {
        defer { newTasks = [] }
        return newTasks
    }

    private func want(_ records: [TaskRecord]) {
        for record in records { tasks[record.id] = record }
        newTasks += records
    }

    /// Cuts an evaluation into tasks: some schedules on a shard of the images.
    ///
    /// The shards depend on the configuration alone, since the last bits of an image depend on the images that are
    /// denoised with it.
    private func taskGrid(_ candidates: [Int]) -> [NewTask] {
        taskGrid(candidates, images: images)
    }

    private func parent(_ offspring: Offspring, _ index: Int) -> Int64? {
        guard index < offspring.parents.count else { return nil }
        let individual = search.population.first { $0.id == offspring.parents[index] }
        return individual.flatMap { candidateOfHash[canonicalHash($0.offspring.genome)] }
    }

    private func canonicalHash(_ genome: Genome) -> String { genome.canonical(for: shape).sha256 }

    /// The search as bytes; genomes stand in it by the numbers of their candidates.
    var encodedSearch: [UInt8] { search.encoded { [candidateOfGenome] in candidateOfGenome[$0.genome] } }

    /// Evaluations that no open task is part of.
    var doneCount: Int {
        let open = Set(tasks.values.flatMap(\.candidateIDs))
        return candidateCount - open.count
    }

    /// Evaluations that the whole run will take, if every generation is as large as the population and no rule stops
    /// it before.
    var expectedCount: Int {
        let all = candidateCount + max(0, configuration.generations - generation - 1) * configuration.population
        return max(candidateCount, min(all, configuration.stop.evaluations ?? all))
    }

    // MARK: - Results

    /// Tells the search what came of offspring whose tasks are all closed; those without a result are given up.
    func settle(_ offspring: [Offspring]) throws {
        var outcomes: [Outcome] = []
        var lost: [Int] = []
        var new: [Int64: EvaluationTotals] = [:]
        for child in offspring {
            guard let id = candidateOfOffspring.removeValue(forKey: child.id) else {
                lost.append(child.id)
                continue
            }
            let candidate = try history.candidate(id)
            if let totals = try candidate.evaluation ?? new[id] ?? totals(of: candidate) {
                if candidate.evaluation == nil { new[id] = totals }
                outcomes.append(Outcome(id: child.id, objectives: [totals.cost, -totals.quality]))
            } else {
                lost.append(child.id)
            }
        }
        try history.finishEvaluations(new.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
        try search.tell(outcomes)
        try search.discard(lost)
    }

    /// Sums a candidate's images up; nil unless all of them were made.
    private func totals(of candidate: CandidateRecord) throws -> EvaluationTotals? {
        let measured = try history.measurements(of: candidate.id)
        let expected = prompts.count * configuration.seedsPerPrompt
        let scores = measured.scores.filter { $0.scorer == configuration.quality.rawValue }
        guard scores.count == expected, measured.timings.count == expected else { return nil }
        let seconds = measured.timings.reduce(0) { $0 + $1.denoiseSeconds }
        let referenceSeconds = measured.timings.reduce(0) { $0 + ($1.referenceSeconds ?? 0) }
        let latencyRatio = referenceSeconds > 0 ? seconds / referenceSeconds : nil
        let genome = try Genome(bytes: candidate.genome, geneCount: shape.geneCount)
        let modelledRatio = try costTable?.ratio(of: Schedule(shape: shape, genome: genome))
        let macs = candidate.macs ?? 0
        let cost: Double? =
            switch configuration.cost {
            case .latency: modelledRatio
            case .measured: latencyRatio
            case .macs: Double(macs) / Double(uncachedMACs)
            }
        guard let cost else { return nil }
        return EvaluationTotals(
            cost: cost, quality: scores.reduce(0) { $0 + $1.value } / Double(expected), latencyRatio: latencyRatio,
            modelledRatio: modelledRatio, macs: macs, images: expected, denoiseSeconds: seconds,
            referenceSeconds: referenceSeconds)
    }
}

extension TaskRecord {
    /// True while a result is wanted.
    var isOpen: Bool { state == .pending || state == .leased }
}
