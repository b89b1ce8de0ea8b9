import Schedules

/// Finds the prices under which the modelled times of schedules come nearest to the measured ones.
///
/// The work of a schedule is a row of counts, its time the sum of counts times prices: non-negative least squares, in
/// relative errors so that fast schedules count as much as slow ones.
struct CostFit {
    /// One price: of a phase's step, or of something done about a component in it.
    private struct Term: Hashable {
        enum Kind: Hashable { case step, compute, keep, read }
        let isGated: Bool
        let component: Component?
        let kind: Kind
    }

    private let terms: [Term]

    /// Prices for schedules of a shape.
    ///
    /// - Parameters:
    ///   - shape: The model's blocks and steps.
    ///   - hasGate: Whether schedules with TGATE's gate are among those measured.
    init(shape: ScheduleShape, hasGate: Bool) {
        let components = Component.allCases.filter { component in shape.blocks.contains(component.blockKind) }
        terms = (hasGate ? [false, true] : [false]).flatMap { isGated in
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
    ///   - samples: Schedules and their seconds.
    ///   - imageCount: Images denoised together.
    /// - Returns: The table.
    func table(from samples: [(schedule: Schedule, seconds: Double)], imageCount: Int) -> CostTable {
        let rows = samples.map { sample in
            let work = ScheduleWork(sample.schedule)
            return terms.map { count(of: $0, in: work) / sample.seconds }
        }
        let prices = Self.solve(rows)
        func phase(_ isGated: Bool) -> CostTable.Phase {
            var phase = CostTable.Phase(step: 0, components: [:])
            for (term, price) in zip(terms, prices) where term.isGated == isGated {
                guard let component = term.component else {
                    phase.step = price
                    continue
                }
                switch term.kind {
                case .step: break
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

    private func count(of term: Term, in work: ScheduleWork) -> Double {
        let phase = term.isGated ? work.gated : work.full
        guard let component = term.component else { return Double(phase.stepCount) }
        let counts = phase.components[component] ?? .init()
        return switch term.kind {
        case .step: Double(phase.stepCount)
        case .compute: Double(counts.computed)
        case .keep: Double(counts.kept)
        case .read: Double(counts.read)
        }
    }

    /// The non-negative x that makes every row's product with it nearest to 1, by coordinate descent.
    ///
    /// - Complexity: The normal equations have a few dozen unknowns; a sweep costs their square.
    static func solve(_ rows: [[Double]]) -> [Double] {
        let count = rows.first?.count ?? 0
        // Columns of very different sizes would make the descent slow.
        let scales = (0..<count).map { column in
            let norm = rows.reduce(0) { $0 + $1[column] * $1[column] }.squareRoot()
            return norm > 0 ? norm : 1
        }
        var normal = [[Double]](repeating: Array(repeating: 0, count: count), count: count)
        var right = [Double](repeating: 0, count: count)
        for row in rows {
            for i in 0..<count where row[i] != 0 {
                right[i] += row[i] / scales[i]
                for j in 0..<count { normal[i][j] += row[i] * row[j] / (scales[i] * scales[j]) }
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
