import Basics
import Evolution
import Foundation
import History
import Messages
import ModelConfiguration
import Schedules

/// A search for caching schedules: it breeds candidates, enters them and their tasks in the history, and settles them
/// once their results are there.
///
/// Everything is in the history before anything else depends on it. A calibration that is resumed after a crash
/// continues from there: committed results count, open tasks are assigned again, and the search draws the same random
/// numbers.
final class Calibration: DistributedRun {
    /// The reference point of the hypervolume: ten percent above the uncached cost, at the worst quality.
    static func reference(_ quality: ScorerKind) -> ReferencePoint { ReferencePoint(cost: 1.1, quality: quality.worst) }

    let context: RunContext
    /// The generation bred last.
    private(set) var generation = 0
    /// Candidates of all generations so far.
    private(set) var candidateCount = 0
    private(set) var isFinished = false
    /// Why the run ended, for its log; nil before.
    private(set) var endReason: String?
    /// What is spent and may be spent.
    private(set) var budget: ImageBudget

    /// Nil while workers measure what reuse changes.
    private var search: Search?
    /// What the parts of the model cost, once known; the same table for the whole run.
    private var costTable: CostTable?
    /// The hypervolume after each complete generation.
    private var hypervolumes: [Double] = []
    /// Seconds of work on complete generations.
    private var secondsBefore = 0.0
    /// When work on the current generation began or was resumed.
    private var generationStart = ContinuousClock.now
    /// Whether results of the current generation are still to be settled together.
    private var isGenerationOpen = false
    /// Offspring bred since the last one with a new schedule.
    private var barrenOffspring = 0
    /// Candidates settled since the images of those off the front were deleted.
    private var unprunedCount = 0
    /// The candidate whose images determine the result of a pending offspring.
    private var candidateOfOffspring: [Int: Int64] = [:]
    private var candidateOfHash: [String: Int64] = [:]
    private var candidateOfGenome: [Genome: Int64] = [:]
    /// The uncached schedule while it waits for its scores.
    var openReference: Int64?
    private let evaluationKey: String

    init(context: RunContext, search: Search?, evaluationKey: String) throws {
        self.context = context
        self.search = search
        self.evaluationKey = evaluationKey
        costTable = try context.costTable()
        budget = try ImageBudget(context)
    }

    /// Restores the state that the history holds.
    ///
    /// - Parameters:
    ///   - snapshot: The run and its latest generation.
    ///   - candidates: All candidates of the run.
    /// - Throws: `HistoryError`, `EvolutionError`, `SchedulesError`.
    func restore(from snapshot: RunSnapshot, candidates: [CandidateRecord]) throws {
        for candidate in candidates {
            let genome = try Genome(bytes: candidate.genome, geneCount: context.shape.geneCount)
            register(candidate.id, genome: genome, canonicalHash: candidate.canonicalHash)
        }
        openReference = try history.benchmarks.unsettledUncached(of: runID)
        try history.runs.setStatus(.running, of: runID)
        if snapshot.run.evaluationKey == nil {
            try history.runs.setConfiguration(snapshot.run.configuration, evaluationKey: evaluationKey, of: runID)
        }
        guard let last = snapshot.generation else {
            if !isMeasuring { _ = try beginGeneration(size: configuration.taskSize) }
            return
        }
        for record in try history.search.generations(of: runID) {
            secondsBefore += record.wallSeconds
            if record.isFinished { hypervolumes.append(record.hypervolume ?? 0) }
        }
        generation = last.number
        isGenerationOpen = !last.isFinished
        if configuration.mode == .generations, snapshot.candidates.isEmpty {
            barrenOffspring = configuration.population
        }
        for offspring in search?.pending ?? [] {
            candidateOfOffspring[offspring.id] = candidateOfHash[canonicalHash(offspring.genome)]
        }
    }

    /// Whether workers measure what reuse changes, before the search begins.
    var isMeasuring: Bool { search == nil }

    func openTasks() throws -> [TaskRecord] {
        try history.tasks.open(of: runID, on: context.evaluationSet)
    }

    /// Evaluations that the whole run will take, if every generation is as large as the population, or the budget is
    /// spent, and no stop rule ends it earlier.
    var expectedCount: Int {
        let begun = isMeasuring ? 0 : generation + 1
        let left =
            budget.affordable ?? (max(0, (configuration.generationLimit ?? begun) - begun) * configuration.population)
        let all = candidateCount + left
        return max(candidateCount, min(all, configuration.stop.evaluations ?? all))
    }

    func advance(_ work: OpenWork) throws -> [TaskRecord] {
        if isMeasuring {
            guard let basis = try context.searchBasis(costTable: costTable) else { return [] }
            search = try Self.newSearch(configuration, shape: context.shape, budget: budget, basis: basis)
            return try beginGeneration(size: work.taskSize)
        }
        try settleUncachedReference(work)
        switch configuration.mode {
        case .generations: return try advanceByGenerations(work)
        case .steadyState:
            try settle(except: work.candidates)
            return []
        }
    }

    // MARK: - Generations

    private func advanceByGenerations(_ work: OpenWork) throws -> [TaskRecord] {
        var tasks: [TaskRecord] = []
        while !isFinished, tasks.isEmpty, work.isEmpty {
            if isGenerationOpen {
                guard canSettle else { break }
                try settle(pending)
                try requirePopulation()
                try complete(generation)
                isGenerationOpen = false
            } else if let reason = endReason(next: generation + 1) {
                try end(reason)
            } else {
                tasks = try beginGeneration(size: work.taskSize)
            }
        }
        return tasks
    }

    /// Breeds a generation, the seeds first, and inserts its candidates and tasks into the history.
    func beginGeneration(size: TaskSize) throws -> [TaskRecord] {
        let offspring = search?.ask(atMost: budget.affordable(of: configuration.population)) ?? []
        guard !offspring.isEmpty else {
            try end(Self.exhausted)
            return []
        }
        // First, since its tasks take longest.
        let reference = try insertUncachedReference(before: offspring, size: size)
        let tasks = try insert(offspring, isContinued: false, size: size)
        isGenerationOpen = true
        return reference + tasks
    }

    private static let exhausted = "no new schedule can be bred from the population"

    // MARK: - Steady state

    /// Settles the pending offspring whose candidates are not open.
    private func settle(except open: Set<Int64>) throws {
        guard canSettle, !isFinished else { return }
        let done = pending.filter { candidateOfOffspring[$0.id].map { !open.contains($0) } ?? true }
        if !done.isEmpty {
            try settle(done)
            try history.search.setSearchState(encodedSearch, generation: generation, of: runID)
        }
        guard let search else { return }
        while hypervolumes.count < search.finishedGenerations { try complete(hypervolumes.count) }
        guard search.pending.isEmpty, openReference == nil else { return }
        try requirePopulation()
        if let reason = endReason(next: search.nextGeneration.number) { try endSteadyState(reason) }
    }

    /// Offspring without a result.
    private var pending: [Offspring] { search?.pending ?? [] }

    func breedForIdleWorkers(_ work: OpenWork) throws -> [TaskRecord] {
        guard configuration.mode == .steadyState, canSettle, !isMeasuring else { return [] }
        let taskSchedules = work.taskSize.schedules(
            of: configuration.population, images: context.images.count, imagesPerTask: configuration.imagesPerTask)
        // Offspring that have been evaluated before need no task; breed again then.
        for _ in 0..<50 where !isFinished {
            guard let next = search?.nextGeneration, endReason(next: next.number) == nil else { break }
            let left = configuration.stop.evaluations.map { $0 - candidateCount } ?? .max
            let offspring = search?.breed(min(taskSchedules, next.room, budget.affordable(of: left))) ?? []
            guard !offspring.isEmpty else {
                // Outstanding results may make new offspring possible.
                if pending.isEmpty, openReference == nil, search?.population.isEmpty == false {
                    try endSteadyState(Self.exhausted)
                }
                break
            }
            let tasks = try insert(offspring, isContinued: true, size: work.taskSize)
            try settle(except: work.candidates.union(tasks.flatMap(\.candidateIDs)))
            guard tasks.isEmpty else { return tasks }
        }
        return []
    }

    private func endSteadyState(_ reason: String) throws {
        while hypervolumes.count <= generation { try complete(hypervolumes.count) }
        try end(reason)
    }

    // MARK: - Ends

    /// Records that all results of a generation have been reported to the search.
    private func complete(_ number: Int) throws {
        let seconds = (ContinuousClock.now - generationStart) / .seconds(1)
        let reference = Self.reference(configuration.quality)
        let hypervolume = Pareto.hypervolume(
            of: search?.front.map(\.objectives) ?? [], reference: [reference.cost, -reference.quality])
        try history.search.completeGeneration(
            number, of: runID, searchState: encodedSearch, hypervolume: hypervolume, wallSeconds: seconds)
        try pruneThumbnails()
        hypervolumes.append(hypervolume)
        secondsBefore += seconds
        generationStart = ContinuousClock.now
    }

    /// Why no further generation is begun; nil if one is.
    private func endReason(next: Int) -> String? {
        if let limit = configuration.generationLimit, next >= limit { return "the last generation is complete" }
        if let reason = budget.endReason { return reason }
        // Offspring with known schedules cost nothing, so a budget alone might never end the run.
        if budget.limit != nil, barrenOffspring >= configuration.population { return Self.exhausted }
        let seconds = secondsBefore + (ContinuousClock.now - generationStart) / .seconds(1)
        return configuration.stop.reason(
            evaluations: candidateCount, seconds: seconds, hypervolumes: hypervolumes)
    }

    private func end(_ reason: String) throws {
        try history.events.record("ended", reason, run: runID)
        if let growth = search?.expectedGrowth(offspring: configuration.population) {
            try RunOutlook.record(growth, of: self)
        }
        endReason = reason
        isFinished = true
    }

    private func requirePopulation() throws {
        guard search?.population.isEmpty == true else { return }
        throw CoordinatorError.searchFailed(
            "no candidate of the first generation could be evaluated; see the table events")
    }

    // MARK: - Candidates

    /// Inserts offspring of one generation into the history, with the tasks that evaluate them.
    ///
    /// A genome that was discarded generations ago may be bred again, and two genomes of one generation may make the same
    /// images: they share one evaluation. So do genomes that another run of the same file has evaluated under equal
    /// settings.
    private func insert(_ offspring: [Offspring], isContinued: Bool, size: TaskSize) throws -> [TaskRecord] {
        guard let first = offspring.first else { return [] }
        generation = first.generation
        let hashes = offspring.map { canonicalHash($0.genome) }
        var fresh: Set<String> = []
        let new = zip(offspring, hashes).filter { candidateOfHash[$0.1] == nil && fresh.insert($0.1).inserted }
        let measured = try history.search.reusableMeasurements(
            new.map(\.1), evaluationKey: evaluationKey, excluding: runID)
        let candidates = try new.map { offspring, hash in
            let schedule = try Schedule(shape: context.shape, genome: offspring.genome)
            return NewCandidate(
                genome: offspring.genome.bytes, genomeSHA256: offspring.genome.sha256, canonicalHash: hash,
                parentA: parent(offspring, 0), parentB: parent(offspring, 1), operator: offspring.operation.rawValue,
                origin: offspring.origin, macs: Int64(try context.model.architecture.macs(schedule).total),
                measuredAs: measured[hash],
                prediction: search?.predictions[offspring.id].map {
                    CandidatePrediction(logError: $0.logError, quality: $0.loss.map { -$0 }, deviation: $0.deviation)
                })
        }
        barrenOffspring =
            new.isEmpty ? barrenOffspring + (isContinued ? offspring.count : configuration.population) : 0
        let unmeasured = candidates.indices.filter { candidates[$0].measuredAs == nil }
        budget.candidateCount += unmeasured.count
        let inserted = try history.search.beginGeneration(
            generation, of: runID, isContinued: isContinued, searchState: encodedSearch, candidates: candidates,
            tasks: context.tasks(for: unmeasured, of: candidates, images: context.images, size: size))
        for (id, (offspring, hash)) in zip(inserted.candidateIDs, new) {
            register(id, genome: offspring.genome, canonicalHash: hash)
        }
        for (offspring, hash) in zip(offspring, hashes) { candidateOfOffspring[offspring.id] = candidateOfHash[hash] }
        return try inserted.taskIDs.map(history.tasks.task)
    }

    /// Whether the search has proposed a genome.
    func isCandidate(_ genome: Genome) -> Bool { candidateOfGenome[genome] != nil }

    private func register(_ candidate: Int64, genome: Genome, canonicalHash: String) {
        candidateOfHash[canonicalHash] = candidate
        candidateOfGenome[genome] = candidate
        candidateCount += 1
    }

    private func parent(_ offspring: Offspring, _ index: Int) -> Int64? {
        guard index < offspring.parents.count else { return nil }
        let individual = search?.population.first { $0.id == offspring.parents[index] }
        return individual.flatMap { candidateOfHash[canonicalHash($0.offspring.genome)] }
    }

    private func canonicalHash(_ genome: Genome) -> String { genome.canonical(for: context.shape).sha256 }

    /// The search's state, with candidate numbers in place of genomes.
    private var encodedSearch: [UInt8] {
        search?.encoded { [candidateOfGenome] in candidateOfGenome[$0.genome] } ?? []
    }

    // MARK: - Results

    /// Reports to the search the offspring whose tasks are all closed; those without a complete result are discarded.
    private func settle(_ offspring: [Offspring]) throws {
        var outcomes: [Outcome] = []
        var discarded: [Int] = []
        var new: [Int64: EvaluationTotals] = [:]
        for child in offspring {
            guard let id = candidateOfOffspring.removeValue(forKey: child.id) else {
                discarded.append(child.id)
                continue
            }
            let candidate = try history.search.candidate(id)
            if let totals = try candidate.evaluation ?? new[id] ?? totals(of: candidate) {
                if candidate.evaluation == nil { new[id] = totals }
                outcomes.append(
                    Outcome(
                        id: child.id, objectives: [totals.cost, -totals.quality], logError: try logError(of: id)))
            } else {
                discarded.append(child.id)
            }
        }
        try history.search.recordEvaluations(new.sorted { $0.key < $1.key }.map { ($0.key, $0.value) })
        try search?.tell(outcomes)
        try search?.discard(discarded)
        unprunedCount += offspring.count
        if unprunedCount >= configuration.population { try pruneThumbnails() }
    }

    /// Natural logarithm of the mean squared error against the uncached images, for the error model.
    ///
    /// PSNR is always recorded; its mean is that of the logarithms.
    private func logError(of candidate: Int64) throws -> Double? {
        guard configuration.preset == .standard else { return nil }
        let scores = try history.results.measurements(of: candidate).scores.filter {
            ScorerKind.psnr.isNamed($0.scorer)
        }
        guard !scores.isEmpty else { return nil }
        return -scores.reduce(0) { $0 + $1.value } / Double(scores.count) * log(10) / 10
    }

    /// Deletes the images of candidates that are not on the front.
    private func pruneThumbnails() throws {
        unprunedCount = 0
        let front = (search?.front ?? []).sorted { $0.objectives[0] < $1.objectives[0] }
            .compactMap { candidateOfGenome[$0.offspring.genome] }
        try history.results.pruneThumbnails(
            keeping: Self.spread(front, to: configuration.thumbnailMembers),
            byteLimit: Int(configuration.thumbnailMegabytes * 1e6), of: runID)
    }

    /// At most `limit` elements, evenly spread; every other one first, so that a prefix is spread as well.
    static func spread(_ front: [Int64], to limit: Int) -> [Int64] {
        guard front.count > 1, limit > 1 else { return Array(front.prefix(limit)) }
        let count = min(limit, front.count)
        let even = (0..<count).map { front[$0 * (front.count - 1) / (count - 1)] }
        var ordered: [Int64] = []
        var seen: Set<Int> = []
        var step = 1
        while step < count { step *= 2 }
        while step >= 1 {
            for index in stride(from: 0, to: count, by: step) where seen.insert(index).inserted {
                ordered.append(even[index])
            }
            step /= 2
        }
        return ordered
    }

    func totals(of candidate: CandidateRecord) throws -> EvaluationTotals? {
        let genome = try Genome(bytes: candidate.genome, geneCount: context.shape.geneCount)
        return try context.totals(
            of: candidate.id, schedule: try Schedule(shape: context.shape, genome: genome), costTable: costTable,
            isCostRequired: true)
    }

    // MARK: - Costs

    /// False while candidates wait for the cost table from which their cost is modelled.
    var canSettle: Bool { configuration.cost != .latency || costTable != nil }

    /// Stores a worker's cost table; the first table of a run models its costs.
    func record(_ report: CostReport, from worker: Int64) throws {
        let table = try CostTable(json: report.table, shape: context.shape, source: "cost report")
        guard report.uncachedSeconds > 0, report.uncachedSeconds < 1e9, report.fitError >= 0, report.fitError < 1e9
        else { throw SchedulesError.costTable(source: "cost report", problem: "expected seconds and an error") }
        let isFirst = try history.runs.insertCostTable(
            NewCostTable(
                workerID: worker, costs: report.table, uncachedSeconds: report.uncachedSeconds,
                fitError: report.fitError), of: runID)
        if isFirst { costTable = table }
    }
}
