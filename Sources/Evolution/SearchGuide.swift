import Foundation
import Schedules

/// What is known of a model before a search: measured reuse errors and costs.
public struct SearchBasis: Hashable, Sendable {
    /// Measured reuse errors.
    public let errors: ReuseErrors
    /// Costs of the components.
    public let cost: ScheduleCost
    /// The reference point of the hypervolume, both objectives minimised.
    public let reference: [Double]

    /// Combines them.
    ///
    /// - Precondition: There are two objectives, and one cost for each chain.
    public init(errors: ReuseErrors, cost: ScheduleCost, reference: [Double]) {
        precondition(reference.count == 2, "a search basis needs two objectives")
        precondition(cost.chains.count == errors.shape.genesPerStep, "one cost for each chain")
        self.errors = errors
        self.cost = cost
        self.reference = reference
    }

    /// Schedules of least predicted error, spread evenly over the range of costs.
    ///
    /// The last sixth reuses everything at the same steps: such schedules tell gains of components from those of gaps, which
    /// the others alone do not.
    ///
    /// - Parameter count: Maximum number.
    /// - Returns: Distinct seeds. The first of them are spread over the whole range as well, as far as their number
    ///   allows.
    public func seeds(_ count: Int) -> [Seed] {
        let (shape, values) = (errors.shape, errors.values)
        let steps = ChainSolver.byComputedSteps(
            shape: shape, values: values, cost: cost, most: shape.stepCount / 2, count: count / 6
        ).map(\.uniform)
        let spread = leastErrors(count - steps.count, besides: steps)
        let genomes = Self.spreadOrder(spread.count).map { spread[$0] } + steps
        return genomes.map { Seed(genome: $0, origin: Seeding.calibrated.rawValue) }
    }

    /// Of the solver's schedules, those of least error by the model, for limits of the cost spread evenly; from light caching
    /// to heavy.
    private func leastErrors(_ count: Int, besides others: [Genome]) -> [Genome] {
        let model = ErrorModel(errors)
        let solved = SolvedSchedules(
            shape: errors.shape, values: errors.values, cost: cost, frontSize: max(ChainSolver.frontSize, 2 * count))
        var pool = solved.all.filter { !others.contains($0) }.map { genome in
            (genome: genome, cost: cost.total(of: genome, shape: errors.shape), error: model.logError(of: genome))
        }
        guard let least = pool.map(\.cost).min(), let most = pool.map(\.cost).max() else { return [] }
        var genomes: [Genome] = []
        for index in 0..<count {
            let limit = most - (most - least) * Double(index) / Double(max(1, count - 1)) + 1e-9
            let best = pool.filter { $0.cost <= limit }.min { ($0.error, $0.cost) < ($1.error, $1.cost) }
            guard let best else { continue }
            genomes.append(best.genome)
            pool.removeAll { $0.genome == best.genome }
        }
        return genomes
    }

    /// The last index, the first, the middle, then the middles of all gaps from the last to the first, repeatedly.
    static func spreadOrder(_ count: Int) -> [Int] {
        guard count > 1 else { return Array(0..<count) }
        var order = [count - 1, 0]
        var ends = [0, count - 1]
        while order.count < count {
            let middles = zip(ends, ends.dropFirst()).filter { $1 - $0 > 1 }.map { ($0 + $1) / 2 }
            order += middles.reversed()
            ends = (ends + middles).sorted()
        }
        return order
    }
}

/// What a search has learned about a model's errors: the error model, and the evaluated schedules that correct it.
public struct SearchGuide: Hashable, Sendable {
    /// A schedule that has been evaluated, and the natural logarithm of its mean squared error.
    struct Evaluated: Hashable, Sendable {
        let individual: Individual
        let logError: Double
    }

    /// Evaluated schedules that correct the model; the ones nearest to the front are kept.
    static let archiveLimit = 1000

    /// What was known before the search.
    public let basis: SearchBasis
    /// The error model, as fitted last.
    public private(set) var model: ErrorModel
    private(set) var archive: [Evaluated] = []

    /// Begins without evaluated schedules.
    public init(_ basis: SearchBasis) {
        self.basis = basis
        model = ErrorModel(basis.errors)
    }

    init(_ basis: SearchBasis, model: ErrorModel, archive: [Evaluated]) {
        self.basis = basis
        self.model = model
        self.archive = archive
    }

    mutating func record(_ individual: Individual, logError: Double?) {
        guard let logError, logError.isFinite else { return }
        archive.append(Evaluated(individual: individual, logError: logError))
    }

    private var curve: LossCurve { LossCurve(archive.map { ($0.logError, $0.individual.objectives[1]) }) }

    /// Fits the model to the evaluated schedules; those near the front count most.
    ///
    /// - Returns: The weight of each schedule of the archive.
    mutating func fit(front: [Individual]) -> [Double] {
        let staircase = Staircase(
            front.map { FrontPlanner.Point(cost: $0.objectives[0], loss: $0.objectives[1]) },
            FrontPlanner.Point(cost: basis.reference[0], loss: basis.reference[1]))
        let curve = curve
        var samples = archive.map { item in
            let ceiling = staircase.ceiling(at: item.individual.objectives[0])
            let distance = max(0, item.logError - curve.logError(of: ceiling)) / Self.nearness
            return ErrorModel.Sample(
                genome: item.individual.offspring.genome, logError: item.logError,
                weight: 1 / (1 + distance * distance))
        }
        if archive.count > Self.archiveLimit {
            let kept = archive.indices.sorted {
                (samples[$0].weight, archive[$0].individual.id) > (samples[$1].weight, archive[$1].individual.id)
            }.prefix(Self.archiveLimit).sorted()
            (archive, samples) = (kept.map { archive[$0] }, kept.map { samples[$0] })
        }
        model.fit(samples)
        return samples.map(\.weight)
    }

    /// Distance from the front, in units of the log error, at which a schedule counts half.
    private static let nearness = 1.0

    /// Chooses schedules by the model as fitted last and the residuals of the archive.
    func planner(weights: [Double]) -> FrontPlanner {
        let samples = residualSamples(weights)
        let squares = samples.reduce(0) { $0 + $1.weight * $1.residual * $1.residual }
        let variance = squares / max(samples.reduce(0) { $0 + $1.weight }, .leastNormalMagnitude)
        let inflation = variance > 0 && model.residual.isFinite ? max(1, model.residual * model.residual / variance) : 1
        return FrontPlanner(
            model: model, residuals: ResidualModel(samples, inflation: inflation), cost: basis.cost, curve: curve,
            reference: FrontPlanner.Point(cost: basis.reference[0], loss: basis.reference[1]))
    }

    private func residualSamples(_ weights: [Double]) -> [ResidualModel.Sample] {
        zip(archive, weights).compactMap { item, weight in
            let predicted = model.logError(of: item.individual.offspring.genome)
            guard predicted.isFinite else { return nil }
            return ResidualModel.Sample(
                genome: item.individual.offspring.genome, residual: item.logError - predicted, weight: weight)
        }
    }
}
