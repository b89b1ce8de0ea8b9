import Foundation
import History
import Schedules

/// The schedules of a benchmark: the uncached one, those of files, the run's front, and heuristics beside them.
struct BenchmarkPlan {
    /// A schedule and what it is called.
    struct Entry {
        let label: String
        let origin: String
        let schedule: Schedule
        /// The run's quality objective on the calibration set, for members of the front.
        var calibrationQuality: Double?
    }

    /// The uncached schedule first.
    private(set) var entries: [Entry]
    private let shape: ScheduleShape

    /// Speed-ups below this are no target for a heuristic: caching hardly anything takes no rule.
    static let smallestSpeedup = 1.05

    /// Chooses the schedules.
    ///
    /// - Parameters:
    ///   - options: What was asked for.
    ///   - history: Where the front is.
    ///   - runID: The run.
    ///   - shape: The run's steps, blocks and components.
    ///   - cost: A schedule's cost relative to the uncached one, by which heuristics are matched.
    /// - Throws: `SchedulesError` for files that are none or have another shape, ``CoordinatorError`` for an empty front
    ///   and for two schedules of one name, `HistoryError`.
    init(
        _ options: BenchmarkOptions, history: RunHistory, runID: Int64, shape: ScheduleShape,
        cost: (Schedule) throws -> Double
    ) throws {
        self.shape = shape
        entries = [Entry(label: "uncached", origin: "default", schedule: Schedule(shape: shape))]
        for path in options.schedulePaths { try add(path) }
        if options.includesFront { try addFront(of: history, runID) }
        if options.includesHeuristics { try addHeuristics(cost) }
        var known: Set<String> = []
        if let twice = entries.first(where: { !known.insert($0.label).inserted }) {
            throw CoordinatorError.benchmark(
                "two schedules are called \(twice.label): give each file a name of its own")
        }
    }

    private mutating func add(_ path: String) throws {
        let files = try ScheduleDocument(path: path).files
        let name = URL(fileURLWithPath: path).lastPathComponent
        for (index, file) in files.enumerated() {
            guard file.schedule.shape == shape else {
                throw CoordinatorError.benchmark(
                    "\(path): \(SchedulesError.shapeMismatch(schedule: file.schedule.shape.description, model: shape.description))"
                )
            }
            let label = files.count == 1 ? name : "\(name)#\(index)"
            entries.append(Entry(label: label, origin: "file", schedule: file.schedule))
        }
    }

    private mutating func addFront(of history: RunHistory, _ runID: Int64) throws {
        let front = try history.search.front(of: runID)
        guard !front.isEmpty else {
            throw CoordinatorError.benchmark("\(history.file): the run has no front yet")
        }
        for member in front {
            let genome = try Genome(
                bytes: try history.search.candidate(member.candidateID).genome, geneCount: shape.geneCount)
            entries.append(
                Entry(
                    label: "candidate \(member.candidateID)", origin: "front",
                    schedule: try Schedule(shape: shape, genome: genome), calibrationQuality: member.quality))
        }
    }

    /// Adds for every schedule that saves something the FORA and the TGATE schedule nearest to it in cost.
    private mutating func addHeuristics(_ cost: (Schedule) throws -> Double) throws {
        let targets = try entries.map { try cost($0.schedule) }.filter { $0 > 0 && $0 < 1 / Self.smallestSpeedup }
        let wanted = targets.isEmpty ? [0.5] : targets
        for family in Self.families(for: shape) {
            let candidates = try family.compactMap {
                heuristic -> (heuristic: Heuristic, schedule: Schedule, cost: Double)? in
                guard let schedule = try? heuristic.schedule(for: shape) else { return nil }
                return (heuristic, schedule, try cost(schedule))
            }
            let chosen = wanted.compactMap { target in
                candidates.indices.min {
                    abs(log(candidates[$0].cost / target)) < abs(log(candidates[$1].cost / target))
                }
            }
            for index in Set(chosen).sorted() {
                let (heuristic, schedule, _) = candidates[index]
                entries.append(Entry(label: heuristic.description, origin: heuristic.description, schedule: schedule))
            }
        }
    }

    /// The baselines, each family from light caching to heavy.
    private static func families(for shape: ScheduleShape) -> [[Heuristic]] {
        let steps = shape.stepCount
        let fora = (2..<max(3, steps + 1)).map { Heuristic.fora(interval: $0) }
        guard !shape.isFlux else { return [fora] }
        let gates = (1..<max(2, steps)).reversed().flatMap { gate in
            [1, 2, 3, 5].filter { $0 <= gate }.map { Heuristic.tgate(.init(gateStep: gate, interval: $0)) }
        }
        return [fora, gates]
    }
}
