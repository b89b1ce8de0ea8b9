import Basics
import Evaluations
import Evolution
import ModelConfiguration
import Schedules

/// Measures how the front of a search grows with the images that it generates.
///
/// Cost is the share of multiply-adds, quality the mean of a score. The uncached images and the measurement of reuse errors
/// count like the images of schedules.
public struct PresetBenchmark {
    /// Hypervolumes of a front: of all its schedules with a reference cost of 1.1, and of those with a cost of at most
    /// 0.95 with that reference; the reference quality is the scorer's worst (`ScorerKind.worst`).
    public struct Hypervolumes: Sendable, Hashable, Encodable {
        /// Of all schedules.
        public let whole: Double
        /// Of those with a cost of at most 0.95: a schedule that reuses hardly anything is nearly lossless, and worthless.
        public let cached: Double

        init(_ points: [[Double]], quality: ScorerKind) {
            whole = Pareto.hypervolume(of: points, reference: [1.1, -quality.worst])
            cached = Pareto.hypervolume(of: points.filter { $0[0] <= 0.95 }, reference: [0.95, -quality.worst])
        }
    }

    /// The front of a search after a number of images.
    public struct Checkpoint: Sendable, Encodable {
        /// Name of the settings.
        public let label: String
        /// Random seed of the search.
        public let seed: UInt64
        /// Images generated, in units of those of one schedule.
        public let schedules: Double
        /// Schedules evaluated.
        public let evaluations: Int
        /// Schedules on the front.
        public let frontCount: Int
        /// On the images that the search has used.
        public let calibration: Hypervolumes
        /// On other prompts; nil if there are none.
        public let unseen: Hypervolumes?
    }

    /// A search to measure.
    public struct Entry {
        /// A name for it.
        public let label: String
        /// Its settings; a guide is used for ``SearchSettings/Preset/standard``.
        public let settings: SearchSettings

        /// Names settings.
        public init(label: String, settings: SearchSettings) {
            self.label = label
            self.settings = settings
        }
    }

    private let calibration: LocalSearch
    private let unseen: LocalSearch?
    private let architecture: ModelArchitecture
    private let probeCount: Int
    private let quality: ScorerKind
    private let seeding: [String]

    /// Prepares searches on one model.
    ///
    /// - Parameters:
    ///   - evaluator: The model with its prompts: those of the search, then unseen ones.
    ///   - architecture: The model's architecture, for counting multiply-adds.
    ///   - imageCount: Number of images for each schedule, one for each of the first prompts.
    ///   - unseenCount: Number of images of the prompts after them.
    ///   - probeCount: Number of images on which reuse errors are measured.
    ///   - quality: A score that the evaluator's settings contain.
    ///   - seeding: Methods of creating the initial population of a search without a guide.
    /// - Throws: `SchedulesError`.
    public init(
        _ evaluator: Evaluator, architecture: ModelArchitecture, imageCount: Int, unseenCount: Int, probeCount: Int,
        quality: ScorerKind = .psnr, seeding: [String]
    ) throws {
        let uncached = Double(try architecture.macs(Schedule(shape: evaluator.shape)).total)
        func search(_ prompts: Range<Int>) -> LocalSearch {
            LocalSearch(
                evaluator: evaluator, items: prompts.map { EvaluationItem(prompt: $0, seed: UInt64($0)) },
                cost: { schedule in ((try? architecture.macs(schedule).total).map(Double.init) ?? .nan) / uncached },
                quality: quality)
        }
        calibration = search(0..<imageCount)
        unseen = unseenCount > 0 ? search(imageCount..<(imageCount + unseenCount)) : nil
        self.architecture = architecture
        self.probeCount = min(probeCount, imageCount)
        self.quality = quality
        self.seeding = seeding
    }

    /// Measures reuse errors and makes a guide of them.
    private func guide() throws -> (guide: SearchGuide, schedules: Double) {
        let evaluator = calibration.evaluator
        let tables = try calibration.items.prefix(probeCount).map { item in
            try ReuseErrors(
                shape: evaluator.shape, values: evaluator.reuseErrors(of: item, progress: { _ in true }) ?? [])
        }
        let cost = try ScheduleCost(multiplyAdds: architecture, shape: evaluator.shape)
        let guide = SearchGuide(
            SearchBasis(errors: try ReuseErrors(averaging: tables), cost: cost, reference: [1.1, -quality.worst]))
        let images = evaluator.shape.reuseMeasurementImages * Double(probeCount)
        return (guide, images / Double(calibration.items.count))
    }

    /// Runs a search.
    ///
    /// - Parameters:
    ///   - entry: The settings.
    ///   - seed: Random seed.
    ///   - checkpoints: Images at which the front is reported, in units of those of one schedule; the largest is the
    ///     budget.
    ///   - report: Called at each checkpoint.
    /// - Throws: `EvaluationsError`, `EvolutionError`.
    public func run(
        _ entry: Entry, seed: UInt64, checkpoints: [Int], report: (Checkpoint) throws -> Void
    ) throws {
        let guided = entry.settings.preset == .standard ? try guide() : nil
        // The uncached images count as one schedule.
        let spent = 1 + (guided?.schedules ?? 0)
        let budget = Int((Double(checkpoints.max() ?? 0) - spent).rounded(.down))
        var remaining = checkpoints.sorted().filter { Double($0) - spent >= 1 }
        var measured: [Genome: [Double]] = [:]
        _ = try calibration.run(
            settings: entry.settings, seeding: seeding, evaluations: budget, seed: seed,
            guide: guided?.guide
        ) { evaluations, search in
            guard let next = remaining.first, Double(evaluations + 1) + spent > Double(next) else { return }
            remaining.removeFirst()
            let front = search.front
            if let unseen {
                for genome in front.map(\.offspring.genome) where measured[genome] == nil {
                    measured[genome] = try unseen.measure(Schedule(shape: search.shape, genome: genome)).objectives
                }
            }
            try report(
                Checkpoint(
                    label: entry.label, seed: seed, schedules: Double(evaluations) + spent, evaluations: evaluations,
                    frontCount: front.count, calibration: Hypervolumes(front.map(\.objectives), quality: quality),
                    unseen: unseen.map { _ in
                        Hypervolumes(front.compactMap { measured[$0.offspring.genome] }, quality: quality)
                    }))
        }
    }
}

/// The mean of paired differences with its 95 % confidence interval (Student's t).
public struct PairedDifference: Sendable {
    /// Mean difference.
    public let mean: Double
    /// Half width of the interval; infinite for one pair.
    public let halfInterval: Double

    /// Summarises differences.
    public init(_ differences: [Double]) {
        let count = Double(differences.count)
        let mean = differences.reduce(0, +) / max(1, count)
        let squares = differences.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        self.mean = mean
        halfInterval =
            count > 1 ? studentQuantile(count - 1) * (squares / (count - 1) / count).squareRoot() : .infinity
    }
}
