import Basics
import ModelConfiguration
import Schedules

/// Fits the cost coefficients that best predict the measured times of steps.
///
/// The time of a step is modelled as the sum of work counts times coefficients. The fit minimises the absolute relative
/// errors with non-negative coefficients: relative, so that cheap steps weigh as much as full ones, and absolute, so that
/// outlier steps do not dominate as in least squares.
struct CostFit {
    /// A measured step.
    struct Sample {
        /// The work of the step.
        let work: ScheduleWork
        /// Whether it is the first step of its run, which includes the one-off work.
        let isFirst: Bool
        /// The measured time.
        let seconds: Double
    }

    /// One coefficient: of a run's one-off work, of a step of a phase, or of an operation on a component in a phase.
    private struct Term: Hashable {
        enum Kind: Hashable { case start, step, compute, keep, read }
        let isGated: Bool
        let component: Component?
        let kind: Kind
    }

    private let stepCount: Int
    private let terms: [Term]

    /// - Parameters:
    ///   - shape: The model's blocks and steps.
    ///   - hasGate: Whether TGATE schedules are among those measured.
    init(shape: ScheduleShape, hasGate: Bool) {
        let components = Component.allCases.filter { component in shape.blocks.contains(component.blockKind) }
        stepCount = shape.stepCount
        let start = Term(isGated: false, component: nil, kind: .start)
        terms =
            [start]
            + (hasGate ? [false, true] : [false]).flatMap { isGated in
                [Term(isGated: isGated, component: nil, kind: .step)]
                    + components.flatMap { component -> [Term] in
                        // Cross-attention is frozen after the gate.
                        if isGated, component == .attn2 { return [] }
                        var kinds: [Term.Kind] = [.compute, .keep]
                        // Other components are either computed or read, so the cost of reading is part of the step's.
                        if component == .singleAttn || component == .singleProjMLP { kinds.append(.read) }
                        return kinds.map { Term(isGated: isGated, component: component, kind: $0) }
                    }
            }
    }

    /// Fits a cost table.
    ///
    /// - Parameters:
    ///   - samples: Measured steps of many schedules.
    ///   - imageCount: Images denoised together.
    /// - Returns: The table. The cost of one-off work is spread over the steps.
    func table(from samples: [Sample], imageCount: Int) -> CostTable {
        // The relative error is undefined for steps below the clock's resolution.
        let rows = samples.filter { $0.seconds > 0 }.map { sample in
            terms.map { count(of: $0, in: sample) / sample.seconds }
        }
        let coefficients = Self.leastAbsoluteDeviations(rows)
        let start = zip(terms, coefficients).first { $0.0.kind == .start }?.1 ?? 0
        func phase(_ isGated: Bool) -> CostTable.Phase {
            var phase = CostTable.Phase(step: start / Double(stepCount), components: [:])
            for (term, coefficient) in zip(terms, coefficients) where term.isGated == isGated {
                guard let component = term.component else {
                    if term.kind == .step { phase.step += coefficient }
                    continue
                }
                switch term.kind {
                case .start, .step: break
                case .compute: phase.components[component.rawValue, default: .init()].compute = coefficient
                case .keep: phase.components[component.rawValue, default: .init()].keep = coefficient
                case .read: phase.components[component.rawValue, default: .init()].read = coefficient
                }
            }
            return phase
        }
        let hasGate = terms.contains { $0.isGated }
        var gated = hasGate ? phase(true) : nil
        if hasGate { gated?.components[Component.attn2.rawValue] = .init() }
        return CostTable(imageCount: imageCount, full: phase(false), gated: gated)
    }

    private func count(of term: Term, in sample: Sample) -> Double {
        let phase = term.isGated ? sample.work.gated : sample.work.full
        let counts = term.component.flatMap { phase.components[$0] } ?? .init()
        return switch term.kind {
        case .start: sample.isFirst ? 1 : 0
        case .step: Double(phase.stepCount)
        case .compute: Double(counts.computed)
        case .keep: Double(counts.kept)
        case .read: Double(counts.read)
        }
    }

    /// The non-negative x that minimises the sum of |row · x - 1|, by iteratively reweighted least squares.
    private static func leastAbsoluteDeviations(_ rows: [[Double]]) -> [Double] {
        // Residuals below a thousandth are within clock resolution and weigh the same.
        let minResidual = 1e-3
        var x = nonNegativeLeastSquares(rows.map { ($0, 1) })
        for _ in 0..<20 {
            x = nonNegativeLeastSquares(
                rows.map { row in
                    let residual = abs(zip(row, x).reduce(-1) { $0 + $1.0 * $1.1 })
                    return (row, 1 / max(residual, minResidual))
                })
        }
        return x
    }

    /// The non-negative x that minimises the weighted sum of (row · x - 1)², by coordinate descent.
    ///
    /// - Complexity: Quadratic in the number of unknowns (a few dozen) per sweep.
    private static func nonNegativeLeastSquares(_ rows: [(row: [Double], weight: Double)]) -> [Double] {
        let count = rows.first?.row.count ?? 0
        // Normalise the columns: coordinate descent converges slowly if their norms differ.
        let scales = (0..<count).map { column in
            let norm = rows.reduce(0) { $0 + $1.weight * $1.row[column] * $1.row[column] }.squareRoot()
            return norm > 0 ? norm : 1
        }
        var normal = [[Double]](repeating: Array(repeating: 0, count: count), count: count)
        var right = [Double](repeating: 0, count: count)
        for (row, weight) in rows {
            for i in 0..<count where row[i] != 0 {
                let scaled = weight * row[i] / scales[i]
                right[i] += scaled
                for j in 0..<count { normal[i][j] += scaled * row[j] / scales[j] }
            }
        }
        var x = [Double](repeating: 0, count: count)
        for _ in 0..<20_000 {
            var change = 0.0
            for i in 0..<count where normal[i][i] > 0 {
                var residual = right[i]
                for j in 0..<count where j != i { residual -= normal[i][j] * x[j] }
                let value = max(0, residual / normal[i][i])
                change = max(change, abs(value - x[i]))
                x[i] = value
            }
            if change < 1e-12 { break }
        }
        return zip(x, scales).map { $0 / $1 }
    }
}

/// The schedules that are timed to fit a cost table.
enum CostDesign {
    /// About a dozen schedules that cover the search space: whole cached steps, and randomly scattered reuse with a
    /// different share per component and step.
    ///
    /// Deterministic for a shape. The components' counts vary independently between steps, which makes their costs
    /// identifiable.
    ///
    /// - Parameters:
    ///   - shape: The model's blocks and steps.
    ///   - hasGate: Whether to include TGATE schedules.
    /// - Returns: The schedules, without the uncached one.
    static func schedules(for shape: ScheduleShape, hasGate: Bool) -> [Schedule] {
        var generator = SplitMix64(seed: 0x9E37_79B9_7F4A_7C15)
        // The last interval computes only the first step, as the search may.
        var schedules = Set([2, 3, 5, shape.stepCount]).sorted().filter { $0 <= shape.stepCount }.compactMap {
            try? Heuristic.fora(interval: $0).schedule(for: shape)
        }
        for _ in 0..<6 { schedules.append(scattered(Schedule(shape: shape), from: 1, &generator)) }
        schedules.append(scattered(Schedule(shape: shape), from: 1, share: 0.95, &generator))
        guard hasGate, shape.stepCount > 3 else { return schedules }
        let half = shape.stepCount / 2
        for (gate, share) in [(1, 0.0), (1, nil), (half, nil), (1, 0.8)] {
            // The gate step cannot reuse outputs of the guided batch, which is twice as large.
            let schedule = Schedule(shape: shape, gateStep: gate)
            schedules.append(scattered(schedule, from: gate + 1, share: share, &generator))
        }
        return schedules
    }

    /// Reuses a random share of each component's instances from a step onwards.
    ///
    /// If `share` is nil, a new one is drawn per component and step. Cross-attention is left to TGATE if there is a gate.
    private static func scattered(
        _ schedule: Schedule, from first: Int, share: Double? = nil, _ generator: inout SplitMix64
    ) -> Schedule {
        var schedule = schedule
        let shape = schedule.shape
        for step in first..<max(first, shape.stepCount) {
            for component in Component.allCases where schedule.gateStep == nil || component != .attn2 {
                let share = share ?? generator.unit()
                for block in 0..<shape.blockCount
                where shape.blocks[block] == component.blockKind && generator.unit() < share {
                    schedule[step: step, block: block, component: component] = .reuse
                }
            }
        }
        return schedule
    }
}

/// A measured cost table and the quality of its fit.
public struct MeasuredCosts: Sendable {
    /// The fitted costs.
    public let table: CostTable
    /// Median duration of the uncached reference for a whole batch, in seconds.
    public let uncachedSeconds: Double
    /// Median absolute relative error over the schedules that the table was fitted to.
    public let fitError: Double
}

/// Latencies of schedules relative to the uncached reference.
public struct MeasuredRatios: Sendable {
    /// Per schedule, the median ratio to the mean of the references before and after it.
    public let ratios: [Double]
    /// Median duration of the uncached reference for a whole batch, in seconds.
    public let uncachedSeconds: Double
    /// Per schedule and step, the median ratio of the step to the mean of the whole references before and after the run.
    let steps: [[Double]]
}

/// Detects when a cost table no longer predicts the latencies that its own machine measures.
public struct CostDrift: Sendable {
    /// The number of latest candidates considered.
    static let window = 16
    /// The absolute value of the median relative error above which a new table is needed.
    static let tolerance = 0.04

    private let table: CostTable
    private var errors: [Double] = []

    /// Starts without measurements.
    public init(_ table: CostTable) {
        self.table = table
    }

    /// Compares a task's measured latencies with the table.
    public mutating func record(_ results: [ImageResult], of task: EvaluationTask) {
        for (id, schedule) in task.candidates {
            guard let schedule, let modelled = table.ratio(of: schedule),
                let result = results.first(where: { $0.candidateID == id }), let reference = result.referenceSeconds,
                reference > 0, result.denoiseSeconds > 0
            else { continue }
            errors.append(modelled / (result.denoiseSeconds / reference) - 1)
        }
        errors.removeFirst(max(0, errors.count - Self.window))
    }

    /// Whether the table's predictions for the latest candidates are off by more than the tolerance.
    public var hasDrifted: Bool {
        errors.count == Self.window && abs(Evaluator.median(errors)) > Self.tolerance
    }
}
