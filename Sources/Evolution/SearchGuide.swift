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
        var genomes = ChainSolver(shape: shape, values: values, cost: cost).family(count: count - count / 6)
        genomes = Self.spreadOrder(genomes.count).map { genomes[$0] }
        let steps = ChainSolver.byComputedSteps(
            shape: shape, values: values, cost: cost, most: shape.stepCount / 2, count: count / 6)
        for genome in steps.map(\.uniform) where !genomes.contains(genome) { genomes.append(genome) }
        return genomes.map { Seed(genome: $0, origin: Seeding.calibrated.rawValue) }
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
    private var curve: LossCurve

    /// Begins without evaluated schedules.
    public init(_ basis: SearchBasis) {
        self.basis = basis
        model = ErrorModel(basis.errors)
        curve = LossCurve([])
    }

    init(_ basis: SearchBasis, model: ErrorModel, archive: [Evaluated]) {
        self.basis = basis
        self.model = model
        self.archive = archive
        curve = Self.curve(of: archive)
    }

    mutating func record(_ individual: Individual, logError: Double?) {
        guard let logError, logError.isFinite else { return }
        archive.append(Evaluated(individual: individual, logError: logError))
        curve = Self.curve(of: archive)
    }

    private static func curve(of archive: [Evaluated]) -> LossCurve {
        LossCurve(archive.map { ($0.logError, $0.individual.objectives[1]) })
    }

    /// Fits the model to the evaluated schedules; those near the front count most.
    ///
    /// - Returns: The weight of each schedule of the archive.
    mutating func fit(front: [Individual]) -> [Double] {
        let staircase = Staircase(
            front.map { FrontPlanner.Point(cost: $0.objectives[0], loss: $0.objectives[1]) },
            FrontPlanner.Point(cost: basis.reference[0], loss: basis.reference[1]))
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
            curve = Self.curve(of: archive)
        }
        model.fit(samples)
        return samples.map(\.weight)
    }

    /// Distance from the front, in units of the log error, at which a schedule counts half.
    private static let nearness = 1.0

    /// Chooses schedules by the model as fitted last and the residuals of the archive.
    func planner(weights: [Double]) -> FrontPlanner {
        FrontPlanner(
            model: model, residuals: ResidualModel(residualSamples(weights)), cost: basis.cost, curve: curve,
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

/// The second objective as a non-decreasing function of the log error, by isotonic regression.
struct LossCurve: Hashable, Sendable {
    private let logErrors: [Double]
    private let losses: [Double]
    /// Mean slope.
    let slope: Double
    /// Standard deviation of the losses around the curve.
    let residual: Double

    /// Pools adjacent violators (Barlow and others, 1972).
    init(_ points: [(logError: Double, loss: Double)]) {
        let points = points.filter { $0.logError.isFinite && $0.loss.isFinite }.sorted {
            ($0.logError, $0.loss) < ($1.logError, $1.loss)
        }
        var blocks: [(logError: Double, loss: Double, count: Double)] = []
        for point in points {
            blocks.append((point.logError, point.loss, 1))
            while blocks.count > 1, blocks[blocks.count - 2].loss >= blocks[blocks.count - 1].loss {
                let (last, previous) = (blocks.removeLast(), blocks.removeLast())
                let count = last.count + previous.count
                blocks.append(
                    (
                        (last.logError * last.count + previous.logError * previous.count) / count,
                        (last.loss * last.count + previous.loss * previous.count) / count, count
                    ))
            }
        }
        logErrors = blocks.map(\.logError)
        losses = blocks.map(\.loss)
        if let first = blocks.first, let last = blocks.last, last.logError > first.logError {
            slope = (last.loss - first.loss) / (last.logError - first.logError)
        } else {
            slope = 1
        }
        let (xs, ys, slope) = (logErrors, losses, slope)
        let squares = points.reduce(0.0) { sum, point in
            let error = point.loss - Self.interpolate(point.logError, xs, ys, slope)
            return sum + error * error
        }
        residual = (squares / Double(max(1, points.count))).squareRoot()
    }

    func loss(of logError: Double) -> Double { Self.interpolate(logError, logErrors, losses, slope) }

    func logError(of loss: Double) -> Double { Self.interpolate(loss, losses, logErrors, 1 / max(slope, 1e-9)) }

    /// Piecewise linear, with the mean slope beyond the ends.
    private static func interpolate(_ x: Double, _ xs: [Double], _ ys: [Double], _ slope: Double) -> Double {
        guard let firstX = xs.first, let lastX = xs.last, let firstY = ys.first, let lastY = ys.last else { return x }
        if x <= firstX { return firstY + slope * (x - firstX) }
        if x >= lastX { return lastY + slope * (x - lastX) }
        let next = xs.firstIndex { $0 > x } ?? xs.count - 1
        let share = (x - xs[next - 1]) / (xs[next] - xs[next - 1])
        return ys[next - 1] + share * (ys[next] - ys[next - 1])
    }
}
