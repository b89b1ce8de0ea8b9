import Foundation

/// The second objective as a non-decreasing function of the log error, by isotonic regression.
struct LossCurve: Hashable, Sendable {
    /// Of the known schedules, ascending.
    private let logErrors: [Double]
    /// The curve there.
    private let losses: [Double]
    /// Variance of the losses around the curve there.
    private let variances: [Double]
    /// Mean slope.
    private let slope: Double
    /// The least known loss where losses are no function of the error, minus infinity where they are.
    ///
    /// A better score than the best known one is luck, and a reward that is clipped at the uncached image's cannot be better at
    /// all; normally distributed losses would promise it.
    let least: Double

    /// Distance in units of the log error at which a schedule's residual counts for a variance, as a standard deviation.
    private static let nearness = 0.7

    init(_ points: [(logError: Double, loss: Double)]) {
        let points = points.filter { $0.logError.isFinite && $0.loss.isFinite }.sorted {
            ($0.logError, $0.loss) < ($1.logError, $1.loss)
        }
        let losses = Self.nonDecreasing(points.map(\.loss))
        let squares = zip(points, losses).map { ($0.loss - $1) * ($0.loss - $1) }
        logErrors = points.map(\.logError)
        self.losses = losses
        // Where the second objective is a function of the error, as PSNR is, what is left is rounding.
        let range = (losses.last ?? 0) - (losses.first ?? 0)
        let rounding = 1e-20 * range * range
        least = squares.contains { $0 > rounding } ? points.map(\.loss).min() ?? -.infinity : -.infinity
        variances = points.map { point in
            var (sum, weights) = (0.0, 0.0)
            for (other, square) in zip(points, squares) {
                let distance = (other.logError - point.logError) / Self.nearness
                let weight = exp(-distance * distance / 2)
                sum += weight * square
                weights += weight
            }
            let variance = sum / weights
            return variance > rounding ? variance : 0
        }
        if let first = points.first, let last = points.last, last.logError > first.logError {
            slope = (losses[losses.count - 1] - losses[0]) / (last.logError - first.logError)
        } else {
            slope = 1
        }
    }

    /// The non-decreasing values of least squared distance: pools adjacent violators (Barlow and others, 1972).
    private static func nonDecreasing(_ values: [Double]) -> [Double] {
        var blocks: [(value: Double, count: Int)] = []
        for value in values {
            blocks.append((value, 1))
            while blocks.count > 1, blocks[blocks.count - 2].value >= blocks[blocks.count - 1].value {
                let (last, previous) = (blocks.removeLast(), blocks.removeLast())
                let count = last.count + previous.count
                let sum = last.value * Double(last.count) + previous.value * Double(previous.count)
                blocks.append((sum / Double(count), count))
            }
        }
        return blocks.flatMap { Array(repeating: $0.value, count: $0.count) }
    }

    func loss(of logError: Double) -> Double { Self.interpolate(logError, logErrors, losses, slope) }

    /// The loss for a normally distributed log error: the spread along the curve, and that of the losses around it.
    ///
    /// Gauss-Hermite quadrature of three points, exact where the curve is straight. A mean slope would promise
    /// gains where the loss does not depend on the error, as a clipped reward of the least errors does not.
    ///
    /// - Returns: Mean and standard deviation.
    func loss(of logError: Double, variance: Double) -> (mean: Double, deviation: Double) {
        let step = (3 * max(0, variance)).squareRoot()
        let (below, middle, above) = (loss(of: logError - step), loss(of: logError), loss(of: logError + step))
        let mean = (below + 4 * middle + above) / 6
        func squared(_ loss: Double) -> Double { (loss - mean) * (loss - mean) }
        let along = (squared(below) + 4 * squared(middle) + squared(above)) / 6
        return (mean, (along + self.variance(at: logError)).squareRoot())
    }

    private func variance(at logError: Double) -> Double {
        logErrors.isEmpty ? 0 : Self.interpolate(logError, logErrors, variances, 0)
    }

    func logError(of loss: Double) -> Double { Self.interpolate(loss, losses, logErrors, 1 / max(slope, 1e-9)) }

    /// Piecewise linear, with a given slope beyond the ends.
    private static func interpolate(_ x: Double, _ xs: [Double], _ ys: [Double], _ slope: Double) -> Double {
        guard let firstX = xs.first, let lastX = xs.last, let firstY = ys.first, let lastY = ys.last else { return x }
        if x <= firstX { return firstY + slope * (x - firstX) }
        if x >= lastX { return lastY + slope * (x - lastX) }
        let next = firstIndex(above: x, in: xs)
        let share = (x - xs[next - 1]) / (xs[next] - xs[next - 1])
        return ys[next - 1] + share * (ys[next] - ys[next - 1])
    }

    /// The first index of a greater value; the last one is greater.
    private static func firstIndex(above value: Double, in ascending: [Double]) -> Int {
        var (low, high) = (0, ascending.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if ascending[middle] > value { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
