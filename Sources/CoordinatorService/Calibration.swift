import Evolution
import Foundation
import History
import Messages
import Schedules

/// A run's life: the search breeds candidates, the history keeps them, results come back and are told to the search.
///
/// Everything that matters is in the history before anything else happens with it. A calibration that is opened again
/// after a crash goes on from there: committed results are kept, open tasks are given out again, and the search draws
/// the same random numbers.
final class Calibration {
    /// The reference point of the hypervolume: a tenth slower than uncached, at no quality at all.
    static let reference = ReferencePoint(cost: 1.1, quality: 0)

    let history: RunHistory
    let runID: Int64
    let configuration: RunConfiguration
    let model: ModelDescription
    let modelHash: String
    let prompts: [String]
    let shape: ScheduleShape

    /// Open tasks of the current generation.
    private(set) var tasks: [Int64: TaskRecord] = [:]
    /// The current generation.
    private(set) var generation = 0
    /// Candidates of all generations so far.
    private(set) var candidateCount = 0
    /// True once the last generation is complete.
    private(set) var isFinished = false

    private(set) var search: Search
    private var generationCandidates: [CandidateRecord] = []
    private var newTasks: [TaskRecord] = []
    private var genomes: [Int64: [UInt8]] = [:]
    private var candidateOfHash: [String: Int64] = [:]
    private var generationStart = ContinuousClock.now
    private var wallSecondsBefore = 0.0
    private let uncachedMACs: Int

    init(
        history: RunHistory, runID: Int64, configuration: RunConfiguration, model: ModelDescription, modelHash: String,
        prompts: [String], shape: ScheduleShape, search: Search
    ) throws {
        self.history = history
        self.runID = runID
        self.configuration = configuration
        self.model = model
        self.modelHash = modelHash
        self.prompts = prompts
        self.shape = shape
        self.search = search
        uncachedMACs = try model.architecture.macs(Schedule(shape: shape)).total
    }

    /// Goes on from where a history stands.
    func takeUp(_ snapshot: RunSnapshot) throws {
        for candidate in try history.candidates(of: runID) {
            candidateOfHash[candidate.canonicalHash] = candidate.id
            candidateCount += 1
        }
        // Whoever held a lease belongs to the coordinator that is gone; a result that still arrives is taken all the
        // same.
        _ = try history.expireLeases(of: runID, expiringBy: .infinity)
        try history.setStatus(.running, of: runID)
        guard let generation = snapshot.generation else { return try beginGeneration() }
        self.generation = generation.number
        wallSecondsBefore = generation.wallSeconds
        guard !generation.isFinished else { return try advance() }
        generationCandidates = snapshot.candidates
        want(snapshot.tasks.filter { $0.isOpen })
        try finishGenerationIfComplete()
    }

    // MARK: - Generations

    /// Breeds a generation and enters it, with its tasks, in the history.
    func beginGeneration() throws {
        let offspring = search.ask()
        guard !offspring.isEmpty else {
            try history.recordEvent(
                "exhausted", "no schedule can be bred that the population does not hold", run: runID)
            isFinished = true
            return
        }
        generation = search.generation
        // A genome that was discarded generations ago may be bred again, and two of the same images in one generation:
        // they share one evaluation.
        var known = Set(candidateOfHash.keys)
        let new = offspring.filter { known.insert(canonicalHash($0.genome)).inserted }
        let candidates = try new.map { offspring in
            NewCandidate(
                genome: offspring.genome.bytes, genomeSHA256: offspring.genome.sha256,
                canonicalHash: canonicalHash(offspring.genome), parentA: parent(offspring, 0),
                parentB: parent(offspring, 1), operator: offspring.operation.rawValue, origin: offspring.origin,
                macs: Int64(try model.architecture.macs(Schedule(shape: shape, genome: offspring.genome)).total))
        }
        let entered = try history.beginGeneration(
            generation, of: runID, searchState: try encodedSearch(), candidates: candidates,
            tasks: taskGrid(candidateCount: candidates.count))
        generationCandidates = try entered.candidateIDs.map(history.candidate)
        for candidate in generationCandidates { candidateOfHash[candidate.canonicalHash] = candidate.id }
        candidateCount += candidates.count
        genomes = [:]
        want(try entered.taskIDs.map(history.task))
        generationStart = ContinuousClock.now
        wallSecondsBefore = 0
        try finishGenerationIfComplete()
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
    /// The cut depends on the configuration alone, since the last bits of an image depend on the images that are
    /// denoised with it.
    private func taskGrid(candidateCount: Int) -> [NewTask] {
        let images = prompts.indices.flatMap { prompt in
            (0..<configuration.seedsPerPrompt).map { ImageKey(prompt: prompt, seed: Int64($0)) }
        }
        return stride(from: 0, to: candidateCount, by: configuration.schedulesPerTask).flatMap { first in
            let candidates = Array(first..<min(first + configuration.schedulesPerTask, candidateCount))
            return stride(from: 0, to: images.count, by: configuration.imagesPerTask).map { start in
                let shard = Array(images[start..<min(start + configuration.imagesPerTask, images.count)])
                return NewTask(kind: .evaluate, candidates: candidates, images: shard)
            }
        }
    }

    private func parent(_ offspring: Offspring, _ index: Int) -> Int64? {
        guard index < offspring.parents.count else { return nil }
        let individual = search.population.first { $0.id == offspring.parents[index] }
        return individual.flatMap { candidateOfHash[canonicalHash($0.offspring.genome)] }
    }

    private func canonicalHash(_ genome: Genome) -> String { genome.canonical(for: shape).sha256 }

    private func finishGenerationIfComplete() throws {
        guard tasks.isEmpty else { return }
        for candidate in generationCandidates where candidate.evaluation == nil {
            guard let totals = try totals(of: candidate) else { continue }
            try history.finishEvaluation(of: candidate.id, totals: totals)
        }
        let outcomes = try search.pending.compactMap { offspring -> Outcome? in
            guard let id = candidateOfHash[canonicalHash(offspring.genome)],
                let totals = try history.candidate(id).evaluation
            else { return nil }
            return Outcome(id: offspring.id, objectives: [totals.cost, -totals.quality])
        }
        try search.tell(outcomes)
        try search.discard(search.pending.map(\.id))
        guard !search.population.isEmpty else {
            throw CoordinatorError.search(
                "no candidate of the first generation could be evaluated; see the table events")
        }
        try history.completeGeneration(
            generation, of: runID, searchState: try encodedSearch(),
            hypervolume: Pareto.hypervolume(
                of: search.front.map(\.objectives), reference: [Self.reference.cost, -Self.reference.quality]),
            wallSeconds: wallSecondsBefore + (ContinuousClock.now - generationStart) / .seconds(1))
        // Empties the log into the database while nothing is due; a reader in the way only puts it off.
        _ = try history.checkpoint()
        try advance()
    }

    private func advance() throws {
        if generation + 1 < configuration.generations {
            try beginGeneration()
        } else {
            isFinished = true
        }
    }

    /// Evaluations that no open task is part of.
    var doneCount: Int {
        let open = Set(tasks.values.flatMap(\.candidateIDs))
        return candidateCount - open.count
    }

    /// Evaluations that the whole run will take, if every generation is as large as the population.
    var expectedCount: Int {
        candidateCount + max(0, configuration.generations - generation - 1) * configuration.population
    }

    /// The search as bytes; keys are sorted so that equal searches have equal bytes.
    private func encodedSearch() throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return Array(try encoder.encode(search))
    }

    // MARK: - Results

    /// What the workers must know of the run.
    var welcome: Welcome {
        var welcome = Welcome()
        welcome.runID = "\(runID)-\(modelHash.prefix(16))"
        welcome.settings.modelHash = modelHash
        welcome.settings.stepCount = UInt32(configuration.stepCount)
        welcome.settings.height = UInt32(model.height)
        welcome.settings.width = UInt32(model.width)
        welcome.settings.guidanceScale = configuration.guidanceScale
        welcome.settings.negativePrompt = configuration.negativePrompt
        welcome.settings.scorers = [configuration.quality]
        welcome.prompts = prompts.enumerated().map { index, text in
            var entry = PromptEntry()
            entry.index = UInt32(index)
            entry.text = text
            return entry
        }
        return welcome
    }

    /// The message that gives a task to a worker.
    func assignment(of task: TaskRecord, epoch: Int) throws -> Assignment {
        var assignment = Assignment()
        assignment.taskID = task.id
        assignment.leaseEpoch = Int64(epoch)
        assignment.kind = .evaluate
        assignment.candidates = try task.candidateIDs.map { id in
            var candidate = AssignedCandidate()
            candidate.candidateID = id
            candidate.genome = Data(try genome(of: id))
            candidate.geneCount = UInt32(shape.geneCount)
            return candidate
        }
        assignment.items = task.images.map(PromptSeed.init)
        assignment.measureLatency = true
        return assignment
    }

    private func genome(of candidate: Int64) throws -> [UInt8] {
        if let genome = genomes[candidate] { return genome }
        let genome = try history.candidate(candidate).genome
        genomes[candidate] = genome
        return genome
    }

    /// Enters a task's result in the history; completes the generation with its last one.
    ///
    /// - Returns: Whether the result was new.
    /// - Throws: ``ResultProblem`` for a result that is not what the task asked for; `HistoryError`.
    func commit(_ result: Messages.TaskResult, from workerID: Int64) throws -> CommitOutcome {
        guard let task = tasks[result.taskID] else { return .alreadyDone }
        let outcome = try history.commitResult(
            try History.TaskResult(
                result, candidates: task.candidateIDs, images: task.images, from: workerID,
                scorer: configuration.quality))
        tasks[task.id] = nil
        try finishGenerationIfComplete()
        return outcome
    }

    /// Gives a task up after too many failures; its candidates have no evaluation.
    func giveUp(_ taskID: Int64, reason: String) throws {
        try history.failTask(taskID, reason: reason)
        let candidates = (tasks[taskID]?.candidateIDs ?? []).map { "\($0)" }.joined(separator: ", ")
        try history.recordEvent("set-aside", "candidate \(candidates), task \(taskID): \(reason)", run: runID)
        tasks[taskID] = nil
        try finishGenerationIfComplete()
    }

    /// Replaces a task of several candidates by one for each.
    ///
    /// - Returns: The new tasks.
    func split(_ taskID: Int64, reason: String) throws -> [TaskRecord] {
        let parts = try history.splitTask(taskID, reason: reason)
        tasks[taskID] = nil
        for part in parts { tasks[part.id] = part }
        return parts
    }

    /// Trusts a worker no more: what it did for the current generation is wanted again.
    ///
    /// - Returns: The tasks.
    func reopenTasks(doneBy worker: Int64, reason: String) throws -> [TaskRecord] {
        let reopened = try history.quarantine(worker, reason: reason, run: runID, generation: generation)
        for task in reopened { tasks[task.id] = task }
        try history.recordEvent("quarantine", "worker \(worker): \(reason)", run: runID)
        return reopened
    }

    /// Sums a candidate's images up; nil unless all of them were made.
    private func totals(of candidate: CandidateRecord) throws -> EvaluationTotals? {
        let measured = try history.measurements(of: candidate.id)
        let expected = prompts.count * configuration.seedsPerPrompt
        let scores = measured.scores.filter { $0.scorer == configuration.quality }
        guard scores.count == expected, measured.timings.count == expected else { return nil }
        let seconds = measured.timings.reduce(0) { $0 + $1.denoiseSeconds }
        let referenceSeconds = measured.timings.reduce(0) { $0 + ($1.referenceSeconds ?? 0) }
        let latencyRatio = referenceSeconds > 0 ? seconds / referenceSeconds : nil
        let macs = candidate.macs ?? 0
        let cost: Double? =
            switch configuration.cost {
            case .latency: latencyRatio
            case .macs: Double(macs) / Double(uncachedMACs)
            }
        guard let cost else { return nil }
        return EvaluationTotals(
            cost: cost, quality: scores.reduce(0) { $0 + $1.value } / Double(expected), latencyRatio: latencyRatio,
            macs: macs, images: expected, denoiseSeconds: seconds, referenceSeconds: referenceSeconds)
    }
}

extension TaskRecord {
    /// True while a result is wanted.
    var isOpen: Bool { state == .pending || state == .leased }
}
