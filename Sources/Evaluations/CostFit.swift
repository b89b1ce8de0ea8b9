import ModelConfiguration
import Schedules

/// Finds the prices under which the modelled times of steps come nearest to the measured ones.
///
/// The work of a step is a row of counts, its time the sum of counts times prices: non-negative least absolute
/// deviations, in relative errors so that cheap steps count as much as full ones. Least squares would let the few steps
/// that something else disturbed decide.
struct CostFit {
    /// A step that was measured.
    struct Sample {
        /// What it does.
        let work: ScheduleWork
        /// Whether it is the first of its run, which also bears what is done once.
        let isFirst: Bool
        /// How long it took.
        let seconds: Double
    }

    /// One price: of what is done once, of a phase's step, or of something done about a component in it.
    private struct Term: Hashable {
        enum Kind: Hashable { case start, step, compute, keep, read }
        let isGated: Bool
        let component: Component?
        let kind: Kind
    }

    private let stepCount: Int
    private let terms: [Term]

    /// Prices for schedules of a shape.
    ///
    /// - Parameters:
    ///   - shape: The model's blocks and steps.
    ///   - hasGate: Whether schedules with TGATE's gate are among those measured.
    init(shape: ScheduleShape, hasGate: Bool) {
        let components = Component.allCases.filter { component in shape.blocks.contains(component.blockKind) }
        stepCount = shape.stepCount
        let start = Term(isGated: false, component: nil, kind: .start)
        terms =
            [start]
            + (hasGate ? [false, true] : [false]).flatMap { isGated in
                [Term(isGated: isGated, component: nil, kind: .step)]
                    + components.flatMap { component -> [Term] in
                        // Cross attention is frozen after the gate.
                        if isGated, component == .attn2 { return [] }
                        var kinds: [Term.Kind] = [.compute, .keep]
                        // Elsewhere an instance is either computed or read, and the price of a step holds reading all.
                        if component == .singleAttn || component == .singleProjMLP { kinds.append(.read) }
                        return kinds.map { Term(isGated: isGated, component: component, kind: $0) }
                    }
            }
    }

    /// Fits prices.
    ///
    /// - Parameters:
    ///   - samples: Steps of runs under many schedules.
    ///   - imageCount: Images denoised together.
    /// - Returns: The table. What is done once is spread over the prices of the steps.
    func table(from samples: [Sample], imageCount: Int) -> CostTable {
        // A step too short for the clock has no relative error.
        let rows = samples.filter { $0.seconds > 0 }.map { sample in
            terms.map { count(of: $0, in: sample) / sample.seconds }
        }
        let prices = Self.leastDeviations(rows)
        let start = zip(terms, prices).first { $0.0.kind == .start }?.1 ?? 0
        func phase(_ isGated: Bool) -> CostTable.Phase {
            var phase = CostTable.Phase(step: start / Double(stepCount), components: [:])
            for (term, price) in zip(terms, prices) where term.isGated == isGated {
                guard let component = term.component else {
                    if term.kind == .step { phase.step += price }
                    continue
                }
                switch term.kind {
                case .start, .step: break
                case .compute: phase.components[component.rawValue, default: .init()].compute = price
                case .keep: phase.components[component.rawValue, default: .init()].keep = price
                case .read: phase.components[component.rawValue, default: .init()].read = price
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

    /// The non-negative x that makes every row's product with it nearest to 1 in the sum of the distances: iteratively
    /// reweighted least squares.
    private static func leastDeviations(_ rows: [[Double]]) -> [Double] {
        // Distances below a thousandth all weigh alike: clocks tell no more.
        let least = 1e-3
        var x = solve(rows.map { ($0, 1) })
        for _ in 0..<20 {
            x = solve(
                rows.map { row in
                    let distance = abs(zip(row, x).reduce(-1) { $0 + $1.0 * $1.1 })
                    return (row, 1 / max(distance, least))
                })
        }
        return x
    }

    /// The non-negative x that makes every row's product with it nearest to 1, by coordinate descent.
    ///
    /// - Complexity: The normal equations have a few dozen unknowns; a sweep costs their square.
    private static func solve(_ rows: [(row: [Double], weight: Double)]) -> [Double] {
        let count = rows.first?.row.count ?? 0
        // Columns of very different sizes would make the descent slow.
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
