import Foundation
import Schedules

/// What a search has learned about a model's errors: the error model, and the evaluated schedules that correct it.
public struct SearchGuide: Hashable, Sendable {
    /// A schedule that has been evaluated.
    struct Evaluated: Hashable, Sendable {
        let genome: Genome
        let objectives: [Double]
        let logError: Double?
    }

    /// The error model, as fitted last.
    public private(set) var model: ErrorModel
    let cost: ScheduleCost
    let reference: [Double]
    private(set) var archive: [Evaluated] = []
    private var curve: LossCurve

    /// Begins without evaluated schedules.
    ///
    /// - Parameters:
    ///   - errors: Measured reuse errors.
    ///   - cost: Costs of the components.
    ///   - reference: The reference point of the hypervolume, both objectives minimised.
    public init(errors: ReuseErrors, cost: ScheduleCost, reference: [Double]) {
        precondition(reference.count == 2, "a guide needs two objectives")
        model = ErrorModel(errors)
        self.cost = cost
        self.reference = reference
        curve = LossCurve([])
    }

    /// Seeds spread evenly over the range of costs.
    ///
    /// - Parameter count: Maximum number.
    /// - Returns: Distinct genomes, from light caching to heavy.
    public func seeds(_ count: Int) -> [Seed] {
        ChainSolver(shape: model.errors.shape, values: model.correctedValues(), cost: cost).family(count: count)
            .map { Seed(genome: $0, origin: "calibrated") }
    }

    mutating func record(_ individual: Individual, logError: Double?) {
        archive.append(
            Evaluated(
                genome: individual.offspring.genome, objectives: individual.objectives, logError: logError))
    }

    /// Fits the model to all evaluated schedules; those near the front count most.
    mutating func fit(front: [Individual]) {
        let staircase = Staircase(
            front.map { FrontPlanner.Point(cost: $0.objectives[0], loss: $0.objectives[1]) },
            FrontPlanner.Point(cost: reference[0], loss: reference[1]))
        curve = LossCurve(archive.compactMap { item in item.logError.map { ($0, item.objectives[1]) } })
        let samples = archive.compactMap { item -> ErrorModel.Sample? in
            guard let logError = item.logError, logError.isFinite else { return nil }
            let ceiling = staircase.ceiling(at: item.objectives[0])
            let distance = max(0, logError - curve.logError(of: ceiling)) / Self.nearness
            return ErrorModel.Sample(
                genome: item.genome, logError: logError, weight: 1 / (1 + distance * distance))
        }
        model.fit(samples)
    }

    /// Distance from the front, in units of the log error, at which a schedule counts half.
    private static let nearness = 1.0

    var planner: FrontPlanner {
        FrontPlanner(
            model: model, cost: cost, loss: { [curve] in curve.loss(of: $0) },
            deviation: curve.slope * (model.residual.isFinite ? model.residual : 0),
            reference: FrontPlanner.Point(cost: reference[0], loss: reference[1]))
    }
}

/// The second objective as a non-decreasing function of the log error, by isotonic regression.
struct LossCurve: Hashable, Sendable {
    private let logErrors: [Double]
    private let losses: [Double]
    /// Mean slope.
    let slope: Double

    /// Pools adjacent violators (Barlow et al. 1972).
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
