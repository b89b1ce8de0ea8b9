import ModelConfiguration
import Schedules

/// Finds the schedules with the least reuse error for a cost.
///
/// Reuse errors and cost are sums over chains, without what computed outputs inherit (see ``ErrorModel``), so the minimum of
/// `error + multiplier · cost` is found for each chain by dynamic programming over the step that computed its output last.
/// Larger multipliers give cheaper schedules; sweeping the multiplier gives the lower convex hull of all schedules in the
/// plane of cost and reuse error.
public struct ChainSolver: Sendable {
    private let shape: ScheduleShape
    private let cost: ScheduleCost
    /// `[chains][source][end]`: error of reusing the output of `source` at the steps between it and `end`.
    private let spans: [[Double]]
    /// The entries of all chains together: the scale of multipliers.
    private let totalError: Double
    /// The steps at which components may be computed.
    private let computedSteps: [Int]

    /// Prepares the sums for corrected errors.
    ///
    /// - Parameters:
    ///   - shape: Shape of the schedules.
    ///   - values: In the layout of ``ReuseErrors/values``.
    ///   - cost: What each chain costs.
    ///   - computedSteps: The steps at which components may be computed, ascending from 0; nil for all. At the others,
    ///     everything is reused.
    public init(shape: ScheduleShape, values: [Float], cost: ScheduleCost, computedSteps: [Int]? = nil) {
        precondition(computedSteps?.first ?? 0 == 0, "the first step computes")
        precondition(values.count == ReuseErrors.count(for: shape), "one value for each pair of each chain")
        precondition(cost.chains.count == shape.genesPerStep, "one cost for each chain")
        self.shape = shape
        self.cost = cost
        self.computedSteps = computedSteps ?? Array(0..<shape.stepCount)
        let steps = shape.stepCount
        let pairCount = steps * (steps - 1) / 2
        var total = 0.0
        spans = (0..<shape.genesPerStep).map { chain in
            var sums = [Double](repeating: 0, count: steps * (steps + 1))
            for source in 0..<steps {
                var sum = 0.0
                for end in (source + 1)..<(steps + 1) {
                    sums[source * (steps + 1) + end] = sum
                    if end < steps { sum += Double(values[chain * pairCount + end * (end - 1) / 2 + source]) }
                }
                total += source == 0 ? sum : 0
            }
            return sums
        }
        totalError = max(total, .leastNormalMagnitude)
    }

    /// The genome that minimises predicted error plus `multiplier` times cost.
    public func genome(multiplier: Double) -> Genome {
        var genome = Genome(repeating: false, count: shape.geneCount)
        for chain in 0..<shape.genesPerStep where shape.projectionChain(of: chain) == nil {
            let feeding = shape.feedingChains(of: chain)
            let isComputed = solve(chain, multiplier, extraCost: feeding.reduce(0) { $0 + cost.chains[$1].compute })
            set(isComputed, chain, &genome)
            for chain in feeding { set(solve(chain, multiplier, consumed: isComputed), chain, &genome) }
        }
        return genome
    }

    /// Distinct genomes with costs spread evenly from the cheapest schedule to just below the uncached one.
    ///
    /// - Returns: At most `count`, from light caching to heavy.
    public func family(count: Int) -> [Genome] {
        let least = solution(Self.exponents.upperBound)
        let most = cost.total(of: uniform, shape: shape)
        let targets = (0..<count).map { index in
            let share = Double(index) / Double(max(1, count - 1))
            return most - (most - least.cost) * (1e-6 + (1 - 1e-6) * share)
        }
        var genomes: [Genome] = []
        var seen: Set<Genome> = []
        solve(
            targets[...], between: (Self.exponents.lowerBound, most), and: (Self.exponents.upperBound, least),
            tolerance: (most - least.cost) * Self.costResolution
        ) { if seen.insert($0).inserted { genomes.append($0) } }
        return genomes
    }

    /// The genome that computes everything at each step where that is allowed.
    var uniform: Genome {
        var genome = Genome(repeating: false, count: shape.geneCount)
        for step in computedSteps {
            for chain in 0..<shape.genesPerStep { genome[step * shape.genesPerStep + chain] = true }
        }
        return genome
    }

    /// Schedules of a whole front.
    package static let frontSize = 160

    private typealias Solution = (genome: Genome, cost: Double)

    /// Binary logarithms of the multipliers searched, relative to the total error.
    private static let exponents = -60.0...60.0
    /// Difference of such logarithms that is not searched further.
    private static let resolution = 0x1p-10
    /// Share of the range of costs that is not searched further.
    private static let costResolution = 1e-3

    private func solution(_ exponent: Double) -> Solution {
        let genome = genome(multiplier: totalError * Self.power(exponent))
        return (genome, cost.total(of: genome, shape: shape))
    }

    /// Finds for each target the dearest solution that costs no more, by bisection of the multipliers for all targets
    /// together.
    ///
    /// - Parameters:
    ///   - targets: Costs, descending, between those of `dear` and `cheap`.
    ///   - dear: An exponent and a bound of its solution's cost.
    ///   - cheap: A larger exponent and its solution.
    ///   - tolerance: Difference in cost that is not searched further.
    ///   - found: Called with the genome of each target.
    private func solve(
        _ targets: ArraySlice<Double>, between dear: (exponent: Double, cost: Double),
        and cheap: (exponent: Double, solution: Solution), tolerance: Double, found: (Genome) -> Void
    ) {
        guard !targets.isEmpty else { return }
        guard cheap.exponent - dear.exponent > Self.resolution, dear.cost - cheap.solution.cost > tolerance else {
            for _ in targets { found(cheap.solution.genome) }
            return
        }
        let middle = (dear.exponent + cheap.exponent) / 2
        let solution = solution(middle)
        let split = targets.firstIndex { $0 < solution.cost } ?? targets.endIndex
        solve(targets[..<split], between: dear, and: (middle, solution), tolerance: tolerance, found: found)
        solve(targets[split...], between: (middle, solution.cost), and: cheap, tolerance: tolerance, found: found)
    }

    private static func power(_ exponent: Double) -> Double {
        // A piecewise linear power of two is as good for a bisection and the same on every platform.
        let whole = exponent.rounded(.down)
        return Double(sign: .plus, exponent: Int(whole), significand: 1 + exponent - whole)
    }

    private func set(_ isComputed: [Bool], _ chain: Int, _ genome: inout Genome) {
        for step in isComputed.indices where isComputed[step] { genome[step * shape.genesPerStep + chain] = true }
    }

    /// The steps at which a chain is computed.
    ///
    /// - Parameters:
    ///   - chain: The chain.
    ///   - multiplier: Error per cost.
    ///   - extraCost: Cost of computing it besides its own.
    ///   - consumed: Steps at which the output has an effect; nil for all.
    /// - Returns: An element for each step.
    private func solve(
        _ chain: Int, _ multiplier: Double, extraCost: Double = 0, consumed: [Bool]? = nil
    ) -> [Bool] {
        let steps = shape.stepCount
        let price = cost.chains[chain]
        let span = spans[chain]
        let positions = computedSteps.filter { consumed?[$0] ?? true }
        guard let first = positions.first else { return Array(repeating: false, count: steps) }
        // best[i]: least error plus cost from positions[i] on, if it is computed there.
        var best = [Double](repeating: 0, count: positions.count + 1)
        var next = [Int](repeating: 0, count: positions.count)
        for i in positions.indices.reversed() {
            var least = Double.infinity
            let source = positions[i]
            var error = 0.0
            for k in (i + 1)...positions.count {
                let end = k < positions.count ? positions[k] : steps
                let reads = consumed == nil ? end - source - 1 : k - i - 1
                let value =
                    (consumed == nil ? span[source * (steps + 1) + end] : error)
                    + multiplier * (price.read * Double(reads) + (reads > 0 ? price.keep : 0)) + best[k]
                // Among equals, the longest reuse.
                if value <= least { (least, next[i]) = (value, k) }
                if k < positions.count, consumed != nil {
                    let step = positions[k]
                    error += span[source * (steps + 1) + step + 1] - span[source * (steps + 1) + step]
                }
            }
            best[i] = least + multiplier * (price.compute + extraCost)
        }
        var isComputed = [Bool](repeating: false, count: steps)
        var i = 0
        precondition(first == 0 || consumed != nil, "the first step computes")
        while i < positions.count {
            isComputed[positions[i]] = true
            i = next[i]
        }
        return isComputed
    }
}

extension ChainSolver {
    /// Solvers that reuse everything at some steps, for numbers of computed steps that are spread evenly.
    ///
    /// Beside the schedules of least predicted error, which resemble each other, they show what the measured errors miss: on
    /// the bundled FLUX model they were better than predicted.
    ///
    /// - Parameters:
    ///   - shape: Shape of the schedules.
    ///   - values: In the layout of ``ReuseErrors/values``.
    ///   - cost: What each chain costs.
    ///   - most: The largest number of computed steps; the smallest is 2.
    ///   - count: Maximum number of solvers.
    /// - Returns: The solvers, by ascending number of computed steps; none for fewer than 2.
    static func byComputedSteps(
        shape: ScheduleShape, values: [Float], cost: ScheduleCost, most: Int, count: Int
    ) -> [ChainSolver] {
        guard most >= 2 else { return [] }
        return Heuristic.spread(from: 2, to: most, count: min(count, most - 1)).map { number in
            ChainSolver(
                shape: shape, values: values, cost: cost,
                computedSteps: computedSteps(number, shape: shape, values: values))
        }
    }

    /// The steps to compute, where all components are reused at the others, so that the predicted error is least.
    ///
    /// - Parameters:
    ///   - count: Number of computed steps, from 1 to that of all steps.
    ///   - shape: Shape of the schedules.
    ///   - values: In the layout of ``ReuseErrors/values``.
    /// - Returns: `count` steps, ascending from 0.
    static func computedSteps(_ count: Int, shape: ScheduleShape, values: [Float]) -> [Int] {
        let steps = shape.stepCount
        let pairCount = steps * (steps - 1) / 2
        // Of FLUX's single-stream blocks, only the output projections have an effect of their own.
        let chains = (0..<shape.genesPerStep).filter { shape.projectionChain(of: $0) == nil }
        // [source][end]: error of reusing the outputs of `source` at the steps between it and `end`.
        let spans = (0..<steps).map { source in
            var sums = [0.0]
            for step in (source + 1)..<max(source + 1, steps) {
                sums.append(
                    chains.reduce(sums[sums.count - 1]) {
                        $0 + Double(values[$1 * pairCount + step * (step - 1) / 2 + source])
                    })
            }
            return sums
        }
        // best[n][step]: least error from a computed step on, with n computed steps after it.
        var best = [(0..<steps).map { spans[$0][steps - 1 - $0] }]
        var next: [[Int]] = [Array(repeating: steps, count: steps)]
        for _ in 1..<max(1, count) {
            let later = best[best.count - 1]
            var (row, choice) = (Array(repeating: Double.infinity, count: steps), Array(repeating: steps, count: steps))
            for step in 0..<steps {
                for end in (step + 1)..<max(step + 1, steps) where spans[step][end - step - 1] + later[end] < row[step]
                {
                    (row[step], choice[step]) = (spans[step][end - step - 1] + later[end], end)
                }
            }
            best.append(row)
            next.append(choice)
        }
        var found = [0]
        for left in stride(from: count - 1, to: 0, by: -1) { found.append(next[left][found[found.count - 1]]) }
        return found
    }
}

/// Schedules worth considering for given errors: the solver's own front, and fronts that reuse everything at some steps.
struct SolvedSchedules {
    /// From light caching to heavy.
    let front: [Genome]
    /// By ascending number of computed steps, from light caching to heavy for each.
    let byComputedSteps: [Genome]

    var all: [Genome] { front + byComputedSteps }

    private static let stepFrontCount = 18
    private static let stepFrontSize = 32

    /// Solves for corrected errors, in the layout of ``ReuseErrors/values``.
    init(shape: ScheduleShape, values: [Float], cost: ScheduleCost, frontSize: Int = ChainSolver.frontSize) {
        front = ChainSolver(shape: shape, values: values, cost: cost).family(count: frontSize)
        byComputedSteps = ChainSolver.byComputedSteps(
            shape: shape, values: values, cost: cost, most: shape.stepCount - 1, count: Self.stepFrontCount
        ).flatMap { [$0.uniform] + $0.family(count: Self.stepFrontSize) }
    }
}

extension ScheduleShape {
    /// The chains whose outputs have an effect through this output projection of a FLUX single-stream block alone.
    func feedingChains(of chain: Int) -> [Int] {
        let (block, slot) = chain.quotientAndRemainder(dividingBy: BlockKind.componentCount)
        guard blocks[block] == .fluxSingle, slot == Component.singleProjOut.slot else { return [] }
        return (0..<BlockKind.componentCount).filter { $0 != slot }.map { block * BlockKind.componentCount + $0 }
    }
}

extension ScheduleCost {
    /// The cost of a genome as a share of the uncached schedule's.
    func total(of genome: Genome, shape: ScheduleShape) -> Double {
        let chainCount = shape.genesPerStep
        var sum = fixed
        for chain in 0..<chainCount {
            let price = chains[chain]
            let projection = shape.projectionChain(of: chain)
            var isKept = false
            // From the last step to the first: an output is stored if a later step reads it.
            for step in (0..<shape.stepCount).reversed() {
                let isConsumed = projection.map { genome[step * chainCount + $0] } ?? true
                if genome[step * chainCount + chain] {
                    if isConsumed || isKept { sum += price.compute + (isKept ? price.keep : 0) }
                    isKept = false
                } else if isConsumed {
                    sum += price.read
                    isKept = true
                }
            }
        }
        return sum
    }
}
