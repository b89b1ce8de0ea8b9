import Foundation
import ModelConfiguration
import Schedules

/// Chooses the schedules whose evaluation is expected to extend the front most.
///
/// The pool holds the solver's schedules for corrected errors and for perturbed ones, and variants of the front. To improve
/// them further by the error model alone would only find its mistakes: schedules solved for inherited ages as well were worse
/// on all bundled models. Cost is known in advance; quality is predicted with a normal residual, so the expected gain of
/// hypervolume has a closed form.
package struct FrontPlanner {
    /// A schedule that has been evaluated.
    struct Point {
        let cost: Double
        /// The second objective, minimised.
        let loss: Double
    }

    let model: ErrorModel
    /// Predicts the residuals of the error model; nil before there are enough evaluated schedules.
    let residuals: ResidualModel?
    let cost: ScheduleCost
    /// Converts log errors to the second objective.
    let curve: LossCurve
    /// Worst cost and loss that count.
    let reference: Point

    private static let perturbations = 6
    private static let perturbedFamilySize = 32
    private static let perturbation = 0.3
    private static let mutantsPerMember = 12
    private static let variantsPerMember = 12

    private var shape: ScheduleShape { model.errors.shape }

    /// A schedule worth considering, and how it was made.
    struct Proposal {
        var child: Mating.Child
        var origin: String
    }

    /// Selects up to `count` new schedules, each for the expected gain beside those selected before it.
    ///
    /// - Parameters:
    ///   - count: Maximum number.
    ///   - front: Non-dominated evaluated individuals, ranked.
    ///   - seen: Genomes that must not be proposed again.
    ///   - settings: Parameters of mutation and crossover.
    ///   - generator: Source of all randomness.
    /// - Returns: The proposals by descending expected gain.
    func proposals(
        _ count: Int, front: [Individual], avoiding seen: Set<Genome>, settings: SearchSettings,
        using generator: inout RandomGenerator
    ) -> [Proposal] {
        var seen = seen
        var pool: [Proposal] = []
        func add(_ child: Mating.Child, _ origin: String) {
            var child = child
            child.genome = child.genome.canonical(for: shape)
            let distance = shape.geneCount - child.genome.recomputeCount
            guard distance >= max(1, settings.minimumDifference), seen.insert(child.genome).inserted else { return }
            pool.append(Proposal(child: child, origin: origin))
        }
        let values = model.correctedValues()
        let solved = SolvedSchedules(shape: shape, values: values, cost: cost)
        for genome in solved.front { add(Mating.Child(genome: genome, parents: [], operation: .solved), "calibrated") }
        for genome in solved.byComputedSteps {
            add(Mating.Child(genome: genome, parents: [], operation: .solved), "calibrated-steps")
        }
        for _ in 0..<Self.perturbations {
            let solver = ChainSolver(shape: shape, values: perturbed(values, &generator), cost: cost)
            for genome in solver.family(count: Self.perturbedFamilySize) {
                add(Mating.Child(genome: genome, parents: [], operation: .solved), "calibrated-perturbed")
            }
        }
        if !front.isEmpty {
            let mating = Mating(settings: settings, shape: shape)
            for child in mating.breed(
                from: front, avoiding: Array(seen), count: front.count * Self.mutantsPerMember, using: &generator)
            { add(child, child.operation.rawValue) }
            for member in front {
                for _ in 0..<Self.variantsPerMember {
                    let other = front[generator.integer(below: front.count)]
                    add(variant(of: member, other, &generator), "variant")
                }
            }
        }
        return select(count, from: pool, front: front)
    }

    /// A schedule of the front with a few computations moved by a step or toggled, or with some chains of another one.
    private func variant(
        of member: Individual, _ other: Individual, _ generator: inout RandomGenerator
    ) -> Mating.Child {
        let chainCount = shape.genesPerStep
        var genome = member.offspring.genome
        switch generator.integer(below: 3) {
        case 0:
            for _ in 0...generator.integer(below: 4) {
                let chain = generator.integer(below: chainCount)
                let steps = (1..<max(1, shape.stepCount)).filter { genome[$0 * chainCount + chain] }
                guard !steps.isEmpty else { continue }
                let step = steps[generator.integer(below: steps.count)]
                let target = generator.integer(below: 2) == 0 ? step - 1 : step + 1
                guard (1..<shape.stepCount).contains(target), !genome[target * chainCount + chain] else { continue }
                genome[step * chainCount + chain] = false
                genome[target * chainCount + chain] = true
            }
        case 1:
            for _ in 0...generator.integer(below: 4) { genome[generator.integer(below: shape.geneCount)].toggle() }
        default:
            let first = generator.integer(below: shape.blockCount)
            let last = first + generator.integer(below: shape.blockCount - first)
            for step in 0..<shape.stepCount {
                for chain in (first * BlockKind.componentCount)..<((last + 1) * BlockKind.componentCount) {
                    genome[step * chainCount + chain] = other.offspring.genome[step * chainCount + chain]
                }
            }
            return Mating.Child(genome: genome, parents: [member.id, other.id], operation: .crossover)
        }
        return Mating.Child(genome: genome, parents: [member.id], operation: .mutation)
    }

    /// The errors times log-normal factors for each chain and each step.
    private func perturbed(_ values: [Float], _ generator: inout RandomGenerator) -> [Float] {
        let chains = (0..<shape.genesPerStep).map { _ in exp(Self.perturbation * generator.normal()) }
        let steps = (0..<shape.stepCount).map { _ in exp(Self.perturbation * generator.normal()) }
        var values = values
        var index = 0
        for chain in chains.indices {
            for step in steps.indices {
                for _ in 0..<step {
                    values[index] *= Float(chains[chain] * steps[step])
                    index += 1
                }
            }
        }
        return values
    }

    /// What the model predicts of schedules now.
    ///
    /// - Returns: Nil for a schedule without a finite error, which reuses nothing.
    func predictions(of genomes: [Genome]) -> [Prediction?] {
        let beliefs = Beliefs(self, of: genomes)
        return genomes.indices.map { index in
            let logError = beliefs.logErrors[index]
            guard logError.isFinite else { return nil }
            let loss = beliefs.loss(index)
            guard model.residual.isFinite, loss.mean.isFinite, loss.deviation.isFinite else {
                return Prediction(logError: logError)
            }
            return Prediction(logError: logError, loss: loss.mean, deviation: loss.deviation)
        }
    }

    /// What is believed of the losses of schedules, some of which may be taken as known.
    private struct Beliefs {
        private let curve: LossCurve
        private var residuals: ResidualModel.Posterior
        /// Expected log errors.
        let logErrors: [Double]

        init(_ planner: FrontPlanner, of genomes: [Genome]) {
            let spread = planner.model.residual.isFinite ? planner.model.residual : 0
            curve = planner.curve
            let residuals = ResidualModel.Posterior(planner.residuals, of: genomes, variance: spread * spread)
            self.residuals = residuals
            logErrors = genomes.indices.map { planner.model.logError(of: genomes[$0]) + residuals.means[$0] }
        }

        func loss(_ index: Int) -> (mean: Double, deviation: Double) {
            curve.loss(of: logErrors[index], variance: residuals.variances[index])
        }

        /// The loss if errors are as expected.
        func likelyLoss(_ index: Int) -> Double { curve.loss(of: logErrors[index]) }

        mutating func condition(on index: Int) { residuals.condition(on: index) }
    }

    private func select(_ count: Int, from pool: [Proposal], front: [Individual]) -> [Proposal] {
        let genomes = pool.map(\.child.genome)
        let costs = genomes.map { cost.total(of: $0, shape: shape) }
        var beliefs = Beliefs(self, of: genomes)
        var staircase = Staircase(
            front.map { Point(cost: $0.objectives[0], loss: $0.objectives[1]) }, reference, least: curve.least)
        func gain(_ index: Int) -> Double {
            let loss = beliefs.loss(index)
            return staircase.expectedGain(Point(cost: costs[index], loss: loss.mean), deviation: loss.deviation)
        }
        // The gain of a candidate only shrinks as others are selected, so stale values are upper bounds (Minoux 1978).
        var gains = pool.indices.map(gain)
        var selected: [Proposal] = []
        var remaining = Set(pool.indices)
        var isCurrent = remaining
        while selected.count < count,
            let best = remaining.max(by: { (gains[$0], -$0) < (gains[$1], -$1) }), gains[best] > 0
        {
            if isCurrent.contains(best) {
                selected.append(pool[best])
                staircase.insert(Point(cost: costs[best], loss: beliefs.likelyLoss(best)))
                if selected.count < count { beliefs.condition(on: best) }
                remaining.remove(best)
                isCurrent = []
            } else {
                gains[best] = gain(best)
                isCurrent.insert(best)
            }
        }
        return selected
    }
}

/// A front of two minimised objectives, bounded by a reference point.
struct Staircase {
    private let reference: FrontPlanner.Point
    /// The least possible loss.
    private let least: Double
    /// Non-dominated points by ascending cost and descending loss.
    private var points: [FrontPlanner.Point] = []

    init(_ points: [FrontPlanner.Point], _ reference: FrontPlanner.Point, least: Double = -.infinity) {
        self.reference = reference
        self.least = least
        for point in points { insert(point) }
    }

    mutating func insert(_ point: FrontPlanner.Point) {
        guard point.cost < reference.cost, point.loss < reference.loss else { return }
        guard !points.contains(where: { $0.cost <= point.cost && $0.loss <= point.loss }) else { return }
        points.removeAll { point.cost <= $0.cost && point.loss <= $0.loss }
        points.append(point)
        points.sort { $0.cost < $1.cost }
    }

    /// The least loss at a cost or below it; the reference's if there is no point.
    func ceiling(at cost: Double) -> Double { points.last { $0.cost <= cost }?.loss ?? reference.loss }

    /// Expected growth of the hypervolume by a point of known cost and normally distributed loss L, which counts as the least
    /// possible one where it is below it.
    ///
    /// The area between the point's cost and the reference is cut into strips of constant best loss; in a strip of width w
    /// below the loss y, the expected gain is `w · E[max(0, y - max(L, least))]`.
    func expectedGain(_ point: FrontPlanner.Point, deviation: Double) -> Double {
        guard point.cost < reference.cost else { return 0 }
        let impossible = Self.expectedExcess(of: least, over: point.loss, deviation)
        func excess(_ ceiling: Double) -> Double {
            max(0, Self.expectedExcess(of: ceiling, over: point.loss, deviation) - impossible)
        }
        var gain = 0.0
        var start = point.cost
        var ceiling = ceiling(at: point.cost)
        for next in points where next.cost > point.cost {
            gain += (next.cost - start) * excess(ceiling)
            (start, ceiling) = (next.cost, next.loss)
        }
        return gain + (reference.cost - start) * excess(ceiling)
    }

    /// `E[max(0, bound - L)]` for a normal L.
    private static func expectedExcess(of bound: Double, over mean: Double, _ deviation: Double) -> Double {
        guard bound > -.infinity else { return 0 }
        guard deviation > 0, deviation.isFinite else { return max(0, bound - mean) }
        let z = (bound - mean) / deviation
        let density = exp(-z * z / 2) / (2 * Double.pi).squareRoot()
        return deviation * (z * erfc(-z / 2.0.squareRoot()) / 2 + density)
    }
}
