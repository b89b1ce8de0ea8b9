import Foundation
import ModelConfiguration
import Schedules

/// What is believed of the gains before anything is measured: they are normally distributed around 0, and those of the same
/// component, of the same block, and of neighbouring steps and gaps resemble each other.
///
/// Few schedules then suffice to correct what many gains have in common.
struct GainPrior {
    /// The inverse covariance.
    private var precision: SymmetricMatrix
    private let count: Int

    /// Variances in units of the log error's variance: of a gain by itself, and of what it shares.
    private static let (single, component, block, trend, gap) = (10.0, 3.0, 2.0, 3.0, 6.0)

    init(_ shape: ScheduleShape) {
        let components = shape.blocks.flatMap(\.components)
        let steps = shape.stepCount
        let gaps = max(0, steps - 1)
        count = components.count + steps + gaps
        precision = SymmetricMatrix(count: count)
        let slots = BlockKind.componentCount
        set(0, components.count) { row, column in
            (components[row] == components[column] ? Self.component : 0)
                + (row / slots == column / slots ? Self.block : 0)
        }
        // A line and a parabola over the steps, both with a mean of about 0.
        let times = (0..<steps).map { 2 * Double($0) / Double(max(1, steps - 1)) - 1 }
        set(components.count, steps) { row, column in
            let (first, second) = (times[row], times[column])
            return Self.trend * (first * second + (first * first - 0.35) * (second * second - 0.35))
        }
        set(components.count + steps, gaps) { Self.gap * log(Double($0 + 1)) * log(Double($1 + 1)) }
    }

    /// Enters the inverse of a covariance, whose diagonal gets the variance of each gain by itself.
    private mutating func set(_ start: Int, _ size: Int, _ shared: (Int, Int) -> Double) {
        var covariance = SymmetricMatrix(count: size)
        for row in 0..<size {
            for column in 0...row {
                covariance[row, column] = shared(row, column) + (row == column ? Self.single : 0)
            }
        }
        guard let factor = covariance.cholesky() else { return }
        for column in 0..<size {
            let inverse = factor.solve((0..<size).map { $0 == column ? 1 : 0 })
            for row in column..<size { precision[start + row, start + column] = inverse[row] }
        }
    }

    /// The inverse covariance times the gains: half the gradient of the penalty.
    func gradient(at gains: [Double]) -> [Double] {
        var result = [Double](repeating: 0, count: count)
        for row in 0..<count {
            for column in 0..<row {
                result[row] += precision[row, column] * gains[column]
                result[column] += precision[row, column] * gains[row]
            }
            result[row] += precision[row, row] * gains[row]
        }
        return result
    }

    func add(to matrix: inout SymmetricMatrix, at offset: Int) {
        for row in 0..<count {
            for column in 0...row { matrix[offset + row, offset + column] += precision[row, column] }
        }
    }
}
