import Basics
import Foundation
import History
import Messages
import ModelConfiguration
import Prompts
import Schedules

/// A measurement of schedules on a prompt set of their own, stored in the history of a run.
///
/// All schedules make the same images: every prompt with the same seeds. What the history holds already is not measured
/// again, so a benchmark that was interrupted, or gets more schedules, only adds what is missing.
final class Benchmark: DistributedRun {
    let context: RunContext
    let plan: BenchmarkPlan
    /// The candidates of the plan's entries, in their order.
    private(set) var candidateIDs: [Int64] = []
    /// Images that were measured before this benchmark was started.
    private(set) var imagesBefore = 0
    let generation = 0
    private(set) var isFinished = false
    /// What the run's own evaluations were computed with.
    let runArithmetic: Arithmetic
    private let costTable: CostTable?
    private var unfinished: Set<Int64> = []

    /// Opens a run's history and inserts what is to be measured.
    ///
    /// - Parameters:
    ///   - folder: The run directory; no coordinator may be running in it.
    ///   - options: What to measure.
    /// - Throws: ``CoordinatorError``, `PromptSetError`, `HistoryError`, `SchedulesError`.
    init(in folder: String, options: BenchmarkOptions) throws {
        let history = try RunHistory.open(in: folder)
        let run = try history.runs.snapshot().run
        var configuration = try RunConfiguration(
            recorded: run.configuration, file: history.file, folder: folder, moved: options.moved)
        let recorded = configuration
        try options.rejectScorersGivenTwice()
        if let engine = options.engine { configuration.arithmetic.engine = engine }
        if let precision = options.precision { configuration.arithmetic.precision = precision }
        let (arithmetic, runArithmetic) = (configuration.arithmetic, recorded.arithmetic)
        try configuration.overrideScorers(options.scorers, text: run.configuration, file: history.file)
        var notices: [String] = []
        _ = try configuration.checkModel(run.modelHash, notices: &notices)
        let model = try configuration.modelDescription()
        notices += try configuration.resolveScorerFingerprints()
        // New places are recorded; hashes of an earlier release are left to resume, which checks all of the run's files.
        if recorded.resolved != run.configuration {
            try history.runs.setConfiguration(recorded.resolved, of: run.id)
        }
        let prompts = try PromptSet(file: options.promptsPath, format: options.promptsFormat).texts
        // The calibration's embeddings are of other prompts.
        configuration.embeddingsPath = options.embeddingsPath
        configuration.embeddingsSHA256 = nil
        let embeddings = try configuration.openEmbeddings(prompts: prompts, model: model)
        let context = try RunContext(
            history: history, runID: run.id, configuration: configuration, model: model,
            modelHash: try configuration.modelFingerprint(),
            shape: try JSONDecoder().decode(ScheduleShape.self, from: Data(run.shape.utf8)), prompts: prompts,
            // Measurements of another engine do not mix with earlier ones on the same prompts.
            evaluationSet: options.name
                ?? URL(fileURLWithPath: options.promptsPath).deletingPathExtension().lastPathComponent
                + (arithmetic == runArithmetic ? "" : "-\(arithmetic.engine)-\(arithmetic.precision)"),
            embeddings: embeddings, seedsPerPrompt: options.seedsPerPrompt, costImageCount: nil,
            notices: notices)
        // A cost table holds for the engine and the devices that measured it.
        let costTable = arithmetic == runArithmetic ? try context.costTable() : nil
        self.context = context
        self.runArithmetic = runArithmetic
        self.costTable = costTable
        plan = try BenchmarkPlan(
            options, history: history, runID: run.id, shape: context.shape,
            usesNegativePrompt: configuration.usesNegativePrompt(with: model)
        ) {
            try costTable?.ratio(of: $0)
                ?? Double(try model.architecture.macs($0).total) / Double(context.uncachedMACs)
        }
        try insert()
    }

    /// Images of all schedules.
    var imageTotal: Int { candidateIDs.count * context.images.count }

    /// Inserts the schedules, and tasks for the images that are neither measured nor part of an open task.
    private func insert() throws {
        let images = context.images
        let entries = try plan.entries.map { entry in
            let genome = entry.schedule.genome
            return NewBenchmarkEntry(
                label: entry.label,
                candidate: NewCandidate(
                    genome: genome.bytes, genomeSHA256: genome.sha256,
                    canonicalHash: genome.canonical(for: context.shape).sha256, origin: entry.origin,
                    macs: Int64(try context.model.architecture.macs(entry.schedule).total),
                    gateStep: entry.schedule.gateStep))
        }
        func begin(_ tasks: [NewTask]) throws -> [Int64] {
            try history.benchmarks.begin(
                on: context.evaluationSet, of: runID, prompts: context.prompts, entries: entries, tasks: tasks,
                engine: configuration.arithmetic.engine.rawValue, precision: configuration.arithmetic.precision.rawValue
            ).candidateIDs
        }
        candidateIDs = try begin([])
        unfinished = Set(candidateIDs)
        var covered: [Int64: Set<ImageKey>] = [:]
        for task in try openTasks() {
            for candidate in task.candidateIDs { covered[candidate, default: []].formUnion(task.images) }
        }
        var missing: [[ImageKey]: [Int]] = [:]
        for (index, candidate) in candidateIDs.enumerated() {
            let measurements = try history.results.measurements(of: candidate, on: context.evaluationSet)
            let measured = Set(measurements.timings.map(\.image))
            imagesBefore += measured.intersection(images).count
            let known = measured.union(covered[candidate, default: []])
            let rest = images.filter { !known.contains($0) }
            if !rest.isEmpty { missing[rest, default: []].append(index) }
        }
        let tasks = missing.sorted { ($0.value.first ?? 0) < ($1.value.first ?? 0) }.flatMap { rest, indices in
            context.tasks(
                for: indices, of: entries.map(\.candidate), images: rest, size: configuration.taskSize)
        }
        _ = try begin(tasks)
    }

    /// The open tasks of this benchmark's schedules; those of another one wait until it is requested again.
    func openTasks() throws -> [TaskRecord] {
        let own = Set(candidateIDs)
        return try history.tasks.open(of: runID, on: context.evaluationSet).filter {
            own.isSuperset(of: $0.candidateIDs)
        }
    }

    /// Summarizes the schedules whose tasks are all closed.
    func advance(_ work: OpenWork) throws -> [TaskRecord] {
        let open = work.candidates
        let closed = unfinished.subtracting(open)
        let totals = try closed.sorted().compactMap { id -> (candidateID: Int64, totals: EvaluationTotals)? in
            try self.totals(of: id).map { (id, $0) }
        }
        try history.search.recordEvaluations(totals, on: context.evaluationSet)
        unfinished.subtract(closed)
        isFinished = open.isEmpty
        return []
    }

    func breedForIdleWorkers(_ work: OpenWork) -> [TaskRecord] { [] }

    // Workers measure no costs for a benchmark: it uses the run's table.
    func record(_ report: CostReport, from worker: Int64) {}

    /// The measurements, in the plan's order.
    ///
    /// - Throws: `HistoryError`.
    func records() throws -> [BenchmarkRecord] {
        let byCandidate = Dictionary(
            uniqueKeysWithValues: try history.benchmarks.records(on: context.evaluationSet, of: runID).map {
                ($0.candidateID, $0)
            })
        return candidateIDs.compactMap { byCandidate[$0] }
    }

    private func totals(of id: Int64) throws -> EvaluationTotals? {
        guard let index = candidateIDs.firstIndex(of: id) else { return nil }
        return try context.totals(
            of: id, schedule: plan.entries[index].schedule, costTable: costTable, isCostRequired: false)
    }
}

extension RunConfiguration {
    /// Replaces scorers' models by those of assignments such as `scorers.clip=models/shapes-clip`.
    fileprivate mutating func overrideScorers(_ assignments: [String], text: String, file: String) throws {
        guard !assignments.isEmpty else { return }
        let other = try RunConfiguration(
            text: text, file: file, overrides: assignments, folder: FileManager.default.currentDirectoryPath)
        for (scorer, path) in other.scorerPaths where scorerPaths[scorer] != path {
            scorerPaths[scorer] = path
            scorerFingerprints[scorer] = nil
        }
    }
}

extension BenchmarkOptions {
    /// Rejects a new place of a scorer's model, which would be recorded, together with another model for the benchmark.
    fileprivate func rejectScorersGivenTwice() throws {
        for path in moved.scorers {
            let type = try Configuration(path: "\(path)/config.json", expected: "the model of a scorer")
                .require("model_type", oneOf: ScorerKind.modelled.map(\.rawValue))
            let other = scorers.first { ConfigurationFile.key(ofAssignment: $0) == "scorers.\(type)" }
            guard let other else { continue }
            throw CoordinatorError.invalidBenchmark(
                "--scorer \(path) and --set \(other): both are the model of scorers.\(type); expected one of them")
        }
    }
}
