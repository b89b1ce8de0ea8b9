import Foundation
import History
import Messages
import ModelConfiguration
import Prompts
import Schedules

/// Measures schedules on a prompt set of their own, beside a run's search and in the same history.
///
/// Every schedule makes the same images: all prompts with the same seeds. What the history holds of them already is not
/// measured again, so that a benchmark that was stopped, or is asked for more schedules, only adds what is missing.
final class Benchmark: ServedRun {
    let history: RunHistory
    let runID: Int64
    let configuration: RunConfiguration
    let model: ModelDescription
    let modelHash: String
    let shape: ScheduleShape
    let prompts: [String]
    let evaluationSet: String
    let embeddings: EmbeddingsFile?
    let seedsPerPrompt: Int
    let plan: BenchmarkPlan
    /// The candidates of the plan's entries, in their order.
    private(set) var candidateIDs: [Int64] = []

    var taskSize: TaskSize
    var tasks: [Int64: TaskRecord] = [:]
    /// Images of all schedules, and those that were there from the start.
    private(set) var imageTotal = 0
    private(set) var imagesBefore = 0
    private let costTable: CostTable?
    private let uncachedMACs: Int
    private var newTasks: [TaskRecord] = []
    private var unfinished: Set<Int64> = []

    // A canary depends on the first prompt: that of the search says nothing here.
    let keepsCanary = false
    let costImageCount: Int? = nil
    let generation = 0

    /// Opens a run's history and enters what is to be measured.
    ///
    /// - Parameters:
    ///   - folder: The run folder; no coordinator may be at work in it.
    ///   - options: What to measure.
    /// - Throws: ``CoordinatorError``, `PromptSetError`, `HistoryError`, `SchedulesError`.
    init(in folder: String, options: BenchmarkOptions) throws {
        history = try RunHistory.open(in: folder)
        let run = try history.loadRun().run
        runID = run.id
        var configuration = try RunConfiguration(text: run.configuration, file: history.file, folder: folder)
        if !options.scorers.isEmpty {
            let other = try RunConfiguration(
                text: run.configuration, file: history.file, overrides: options.scorers,
                folder: FileManager.default.currentDirectoryPath)
            for (scorer, path) in other.scorerPaths where configuration.scorerPaths[scorer] != path {
                configuration.scorerPaths[scorer] = path
                configuration.scorerFingerprints[scorer] = nil
            }
        }
        model = try configuration.modelDescription()
        shape = try JSONDecoder().decode(ScheduleShape.self, from: Data(run.shape.utf8))
        guard try Calibration.fingerprint(configuration) == run.modelHash else {
            throw CoordinatorError.runFolder(
                path: folder, reason: "the model at \(configuration.modelPath) has changed since the run began")
        }
        try Calibration.noteScorers(&configuration)
        prompts = try PromptSet(file: options.promptsPath).texts
        evaluationSet =
            options.name ?? URL(fileURLWithPath: options.promptsPath).deletingPathExtension().lastPathComponent
        seedsPerPrompt = options.seedsPerPrompt
        // The search's embeddings are of its own prompts.
        configuration.embeddingsPath = options.embeddingsPath
        configuration.embeddingsSHA256 = nil
        embeddings = try Calibration.embeddings(&configuration, prompts: prompts, model: model)
        modelHash = try Calibration.fingerprint(configuration)
        self.configuration = configuration
        taskSize = TaskSize(fixed: configuration.schedulesPerTask, seconds: configuration.secondsPerTask)
        let architecture = model.architecture
        let uncachedMACs = try architecture.macs(Schedule(shape: shape)).total
        self.uncachedMACs = uncachedMACs
        let table = try history.costTables(of: run.id).first { $0.isObjective }
        let costTable = try table.map { [shape, history] in
            try CostTable(json: $0.costs, shape: shape, source: history.file)
        }
        self.costTable = costTable
        plan = try BenchmarkPlan(options, history: history, runID: run.id, shape: shape) {
            try costTable?.ratio(of: $0) ?? Double(try architecture.macs($0).total) / Double(uncachedMACs)
        }
        try enter()
    }

    /// Enters the schedules, and tasks for the images that neither the history nor an open task has.
    private func enter() throws {
        let entries = try plan.entries.map { entry in
            let genome = entry.schedule.genome
            return NewBenchmarkEntry(
                label: entry.label,
                candidate: NewCandidate(
                    genome: genome.bytes, genomeSHA256: genome.sha256,
                    canonicalHash: genome.canonical(for: shape).sha256, origin: entry.origin,
                    macs: Int64(try model.architecture.macs(entry.schedule).total), gateStep: entry.schedule.gateStep))
        }
        candidateIDs = try history.beginBenchmark(
            on: evaluationSet, of: runID, prompts: prompts, entries: entries, tasks: []
        ).candidateIDs
        _ = try history.expireLeases(of: runID, expiringBy: .infinity)
        let own = Set(candidateIDs)
        var open = try history.openTasks(on: evaluationSet, of: runID).filter { own.isSuperset(of: $0.candidateIDs) }
        var covered: [Int64: Set<ImageKey>] = [:]
        for task in open {
            for candidate in task.candidateIDs { covered[candidate, default: []].formUnion(task.images) }
        }
        var missing: [[ImageKey]: [Int]] = [:]
        for (place, candidate) in candidateIDs.enumerated() {
            let measured = Set(try history.measurements(of: candidate, on: evaluationSet).timings.map(\.image))
            imagesBefore += measured.intersection(images).count
            let known = measured.union(covered[candidate, default: []])
            let rest = images.filter { !known.contains($0) }
            if !rest.isEmpty { missing[rest, default: []].append(place) }
        }
        imageTotal = candidateIDs.count * images.count
        unfinished = own
        let grid = missing.sorted { ($0.value.first ?? 0) < ($1.value.first ?? 0) }.flatMap { rest, places in
            taskGrid(places, images: rest)
        }
        let entered = try history.beginBenchmark(
            on: evaluationSet, of: runID, prompts: prompts, entries: entries, tasks: grid)
        open += try entered.taskIDs.map(history.task)
        for task in open { tasks[task.id] = task }
        newTasks = open
        try proceed()
    }

    func takeNewTasks() -> [TaskRecord] {
        defer { newTasks = [] }
        return newTasks
    }

    func breedMore() -> Bool { false }

    func take(_ report: CostReport, from workerID: Int64) {}

    /// True once no result is out.
    var isFinished: Bool { tasks.isEmpty }

    /// Sums up the schedules whose tasks are all closed.
    func proceed() throws {
        let open = Set(tasks.values.flatMap(\.candidateIDs))
        let closed = unfinished.subtracting(open)
        let totals = try closed.sorted().compactMap { id -> (candidateID: Int64, totals: EvaluationTotals)? in
            try self.totals(of: id).map { (id, $0) }
        }
        try history.finishEvaluations(totals, on: evaluationSet)
        unfinished.subtract(closed)
    }

    /// What was measured, in the plan's order.
    ///
    /// - Throws: `HistoryError`.
    func records() throws -> [BenchmarkRecord] {
        let byCandidate = Dictionary(
            uniqueKeysWithValues: try history.benchmarkRecords(on: evaluationSet, of: runID).map {
                ($0.candidateID, $0)
            })
        return candidateIDs.compactMap { byCandidate[$0] }
    }

    private func totals(of id: Int64) throws -> EvaluationTotals? {
        let measured = try history.measurements(of: id, on: evaluationSet)
        let wanted = Set(images)
        let scores = measured.scores.filter { $0.scorer == configuration.quality.rawValue && wanted.contains($0.image) }
        let timings = measured.timings.filter { wanted.contains($0.image) }
        guard scores.count == wanted.count, timings.count >= wanted.count, let place = candidateIDs.firstIndex(of: id)
        else { return nil }
        let schedule = plan.entries[place].schedule
        let seconds = timings.reduce(0) { $0 + $1.denoiseSeconds }
        let referenceSeconds = timings.reduce(0) { $0 + ($1.referenceSeconds ?? 0) }
        let latencyRatio = referenceSeconds > 0 ? seconds / referenceSeconds : nil
        let modelledRatio = costTable?.ratio(of: schedule)
        let macs = try model.architecture.macs(schedule).total
        let macsRatio = Double(macs) / Double(uncachedMACs)
        let cost: Double =
            switch configuration.cost {
            case .latency: modelledRatio ?? latencyRatio ?? macsRatio
            case .measured: latencyRatio ?? macsRatio
            case .macs: macsRatio
            }
        return EvaluationTotals(
            cost: cost, quality: scores.reduce(0) { $0 + $1.value } / Double(wanted.count), latencyRatio: latencyRatio,
            modelledRatio: modelledRatio, macs: Int64(macs), images: wanted.count, denoiseSeconds: seconds,
            referenceSeconds: referenceSeconds)
    }
}
