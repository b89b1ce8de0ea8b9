import Basics
import Foundation
import History
import Prompts
import Schedules

/// The prompts and schedules of a benchmark.
public struct BenchmarkOptions: Sendable {
    /// A prompt file in any of the published formats.
    public var promptsPath: String
    /// Nil to detect it.
    public var promptsFormat: PromptFormat?
    /// Name of the prompt set in the history; nil for the file name without its extension.
    public var name: String?
    /// Schedule files in either format.
    public var schedulePaths: [String]
    /// Whether to measure the run's front.
    public var includesFront: Bool
    /// Members of the front to measure at most, evenly spread over a longer one with both of its ends; nil for all.
    public var frontMembers: Int?
    /// Whether to measure FORA and TGATE schedules of similar cost as well.
    public var includesHeuristics: Bool
    /// Images per prompt, with seeds 0, 1, ...
    public var seedsPerPrompt: Int
    /// Prompt embeddings; nil if every worker embeds the prompts itself.
    public var embeddingsPath: String?
    /// Scorers to add to those of the run or to replace, as assignments such as `scorers.clip=models/shapes-clip`.
    public var scorers: [String]
    /// What the workers compute with, where it differs from the run.
    public var engine: Engine?
    /// The precision, where it differs from the run's.
    public var precision: Precision?
    /// Files of the run that are elsewhere now.
    public var moved: MovedFiles

    /// Only the prompts by default; at least one source of schedules is needed.
    public init(
        promptsPath: String, promptsFormat: PromptFormat? = nil, name: String? = nil, schedulePaths: [String] = [],
        includesFront: Bool = false, frontMembers: Int? = nil,
        includesHeuristics: Bool = false, seedsPerPrompt: Int = 1, embeddingsPath: String? = nil,
        scorers: [String] = [], engine: Engine? = nil, precision: Precision? = nil, moved: MovedFiles = MovedFiles()
    ) {
        self.promptsPath = promptsPath
        self.promptsFormat = promptsFormat
        self.name = name
        self.schedulePaths = schedulePaths
        self.includesFront = includesFront
        self.frontMembers = frontMembers
        self.includesHeuristics = includesHeuristics
        self.seedsPerPrompt = seedsPerPrompt
        self.embeddingsPath = embeddingsPath
        self.scorers = scorers
        self.engine = engine
        self.precision = precision
        self.moved = moved
    }
}

/// The schedules of a benchmark: uncached, from files, the run's front, and heuristics of similar cost.
struct BenchmarkPlan {
    struct Entry {
        /// Unique within the benchmark.
        let label: String
        let origin: String
        let schedule: Schedule
        /// The quality objective on the calibration set; nil unless the schedule is on the front.
        var calibrationQuality: Double?
    }

    /// The uncached schedule first.
    private(set) var entries: [Entry]
    private let shape: ScheduleShape
    private let usesNegativePrompt: Bool

    /// Schedules with a smaller speed-up get no heuristic of similar cost.
    private static let minSpeedup = 1.05

    /// Selects the schedules.
    ///
    /// - Parameters:
    ///   - options: The sources of schedules.
    ///   - history: The history with the front.
    ///   - runID: The run.
    ///   - shape: The run's steps, blocks and components.
    ///   - usesNegativePrompt: Whether the run has classifier-free guidance, without which TGATE cannot run.
    ///   - cost: A schedule's cost relative to the uncached schedule, by which heuristics are matched.
    /// - Throws: `SchedulesError` for malformed files and other shapes, ``CoordinatorError`` for an empty front and for
    ///   two schedules with the same label, `HistoryError`.
    init(
        _ options: BenchmarkOptions, history: RunHistory, runID: Int64, shape: ScheduleShape, usesNegativePrompt: Bool,
        cost: (Schedule) throws -> Double
    ) throws {
        self.shape = shape
        self.usesNegativePrompt = usesNegativePrompt
        entries = [
            Entry(
                label: BenchmarkStore.uncached, origin: Heuristic.uncached.description, schedule: Schedule(shape: shape)
            )
        ]
        for path in options.schedulePaths { try add(path) }
        if options.includesFront { try addFront(of: history, runID, members: options.frontMembers ?? .max) }
        if options.includesHeuristics { try addHeuristics(cost) }
        var labels: Set<String> = []
        if let duplicate = entries.first(where: { !labels.insert($0.label).inserted }) {
            throw CoordinatorError.invalidBenchmark(
                "duplicate schedule name \(duplicate.label); expected unique file names")
        }
    }

    private mutating func add(_ path: String) throws {
        let files = try ScheduleDocument(path: path).files
        let name = URL(fileURLWithPath: path).lastPathComponent
        for (index, file) in files.enumerated() {
            guard file.schedule.shape == shape else {
                let mismatch = SchedulesError.shapeMismatch(
                    schedule: file.schedule.shape.description, model: shape.description)
                throw CoordinatorError.invalidBenchmark("\(path): \(mismatch)")
            }
            guard file.schedule.gateStep == nil || usesNegativePrompt else {
                throw CoordinatorError.invalidBenchmark(
                    "\(path): a schedule of TGATE with a gate; expected one without, since the run's "
                        + "model.guidance_scale is at most 1 and there is no guidance to gate")
            }
            let label = files.count == 1 ? name : "\(name)#\(index)"
            entries.append(Entry(label: label, origin: "file", schedule: file.schedule))
        }
    }

    private mutating func addFront(of history: RunHistory, _ runID: Int64, members limit: Int) throws {
        let front = try history.search.front(of: runID)
        guard !front.isEmpty else {
            throw CoordinatorError.invalidBenchmark("\(history.file): the front is empty")
        }
        let chosen = Set(Calibration.spread(front.map(\.candidateID), to: limit))
        for member in front where chosen.contains(member.candidateID) {
            let genome = try Genome(
                bytes: try history.search.candidate(member.candidateID).genome, geneCount: shape.geneCount)
            entries.append(
                Entry(
                    label: "candidate \(member.candidateID)", origin: "front",
                    schedule: try Schedule(shape: shape, genome: genome), calibrationQuality: member.quality))
        }
    }

    /// Adds the FORA and the TGATE schedule of the most similar cost for every schedule that saves computation.
    private mutating func addHeuristics(_ cost: (Schedule) throws -> Double) throws {
        var targets = try entries.map { try cost($0.schedule) }.filter { $0 > 0 && $0 < 1 / Self.minSpeedup }
        if targets.isEmpty { targets = [0.5] }
        for family in families {
            let heuristics = try family.compactMap {
                heuristic -> (heuristic: Heuristic, schedule: Schedule, cost: Double)? in
                guard let schedule = try? heuristic.schedule(for: shape) else { return nil }
                return (heuristic, schedule, try cost(schedule))
            }
            let closest = targets.compactMap { target in
                heuristics.indices.min {
                    abs(log(heuristics[$0].cost / target)) < abs(log(heuristics[$1].cost / target))
                }
            }
            for index in Set(closest).sorted() {
                let (heuristic, schedule, _) = heuristics[index]
                entries.append(Entry(label: heuristic.description, origin: heuristic.description, schedule: schedule))
            }
        }
    }

    /// FORA and, with classifier-free guidance, TGATE with decreasing cost.
    private var families: [[Heuristic]] {
        let steps = shape.stepCount
        let fora = (2..<max(3, steps + 1)).map { Heuristic.fora(interval: $0) }
        guard usesNegativePrompt else { return [fora] }
        let tgate = (1..<max(2, steps)).reversed().flatMap { gate in
            [1, 2, 3, 5].filter { $0 <= gate }.map { Heuristic.tgate(.init(gateStep: gate, interval: $0)) }
        }
        return [fora, tgate]
    }
}
