import Foundation
import ModelConfiguration
import Schedules

/// Predicts the error of a schedule's images from measured reuse errors, corrected by the schedules evaluated so far.
///
/// The log error of a genome is modelled as
///
/// ```
/// log error = link(log Σ exp(chain gain + step gain + gap gain) · W)
/// ```
///
/// over the outputs in use, where W is an entry of ``ReuseErrors`` and the gap is the output's age: the number of steps since
/// it was computed. An output that was computed from outdated ones is outdated itself: its age is then half the mean age of
/// the outputs before it in that step, and between two whole ages W is interpolated. The link is increasing and piecewise
/// linear: the rounding of pixels enlarges small errors, and large ones saturate. The gains start at 0 and the link's slopes
/// at 1; ``fit(_:)`` estimates them by Gauss-Newton with ridge penalties.
public struct ErrorModel: Hashable, Sendable {
    /// A schedule and its measured error.
    public struct Sample: Sendable {
        /// The schedule.
        public let genome: Genome
        /// Natural logarithm of the mean squared error of its images, or of a monotone measure of it.
        public let logError: Double
        /// Positive; samples near the front matter more.
        public let weight: Double

        /// Makes a sample.
        public init(genome: Genome, logError: Double, weight: Double = 1) {
            self.genome = genome
            self.logError = logError
            self.weight = weight
        }
    }

    /// Parameters of the model; equal counts for equal shapes.
    struct Parameters: Hashable, Sendable {
        var link = Link()
        /// Gains of the chains, then of the steps, then of the gaps from 1 onward.
        var gains: [Double]
    }

    /// An increasing piecewise linear function with segments of equal width.
    struct Link: Hashable, Sendable {
        /// Number of segments.
        static let count = 6

        /// The value at ``start``.
        var intercept = 0.0
        /// Where the first segment begins, which has values before it as well.
        var start = 0.0
        var width = 1.0
        var slopes = [Double](repeating: 1, count: count)

        /// How far each segment is traversed from `start` to a point; the factors of the slopes.
        func lengths(to x: Double) -> [Double] {
            slopes.indices.map { segment in
                let length = x - start - Double(segment) * width
                let isFirst = segment == 0
                let isLast = segment == slopes.count - 1
                return max(isFirst ? -.infinity : 0, min(isLast ? .infinity : width, length))
            }
        }

        func value(at x: Double) -> Double {
            guard x.isFinite else { return x }
            return zip(slopes, lengths(to: x)).reduce(intercept) { $0 + $1.0 * $1.1 }
        }

        func slope(at x: Double) -> Double {
            let segment = ((x - start) / width).rounded(.down)
            return slopes[Int(max(0, min(Double(slopes.count - 1), segment)))]
        }
    }

    /// Age of a computed output in units of the mean age of the outputs before it.
    ///
    /// Of the evaluated schedules of the bundled models (480 to 650 of each, most of them of the preset `ecad-paper`), those
    /// within 3 dB of the front were predicted, by a parabola of the uncorrected log error, within 2.3, 1.9 and 1.9 dB
    /// (PixArt-alpha, PixArt-Sigma, FLUX) with 0.5, and within 3.5, 3.8 and 2.9 dB with 0; 0.4 and 0.6 were about as good as 0.5.
    private static let inheritance = 0.5
    /// Penalty of the slopes' squared distances from 1.
    private static let slopePenalty = 1.0
    /// Penalty of the squared differences of adjacent slopes.
    private static let bendPenalty = 2.0

    /// What a sample explains of its own prediction, at most: one that alone decides a parameter leaves no residual.
    private static let largestLeverage = 0.95

    /// The measured errors.
    public let errors: ReuseErrors
    private(set) var parameters: Parameters
    /// Standard deviation of the residuals in units of the log error, each of a schedule predicted from the others; infinite
    /// before the first fit.
    public private(set) var residual = Double.infinity

    private var shape: ScheduleShape { errors.shape }

    /// A model without corrections.
    public init(_ errors: ReuseErrors) {
        self.errors = errors
        parameters = Parameters(
            gains: Array(repeating: 0, count: errors.shape.genesPerStep + 2 * errors.shape.stepCount - 1))
    }

    init(_ errors: ReuseErrors, parameters: Parameters, residual: Double) {
        self.errors = errors
        self.parameters = parameters
        self.residual = residual
    }

    // MARK: - Prediction

    /// The predicted log error; minus infinity for a genome that reuses nothing.
    public func logError(of genome: Genome) -> Double {
        parameters.link.value(at: log(total(of: genome) { _, _, _, _ in }))
    }

    /// The corrected entries, in the layout of ``ReuseErrors/values``.
    public func correctedValues() -> [Float] {
        var values = errors.values
        var index = 0
        let gains = parameters.factors
        for chain in 0..<shape.genesPerStep {
            for step in 0..<shape.stepCount {
                for source in 0..<step {
                    values[index] *= Float(gains[chain] * gains[stepIndex(step)] * gains[gapIndex(step - source)])
                    index += 1
                }
            }
        }
        return values
    }

    private func stepIndex(_ step: Int) -> Int { shape.genesPerStep + step }
    private func gapIndex(_ gap: Int) -> Int { shape.genesPerStep + shape.stepCount + gap - 1 }

    /// Sum of the corrected entries of all outputs in use; calls `visit` with the chain, the step and the gap of each, and
    /// with the corrected entry.
    private func total(
        of genome: Genome, factors: [Double]? = nil, visit: (Int, Int, Int, Double) -> Void
    ) -> Double {
        let factors = factors ?? parameters.factors
        let chainCount = shape.genesPerStep
        let projections = (0..<chainCount).map { shape.projectionChain(of: $0) }
        var ages = [Double](repeating: 0, count: chainCount)
        var sum = 0.0
        func add(_ share: Double, chain: Int, step: Int, gap: Int) {
            guard share > 0, gap > 0 else { return }
            let entry =
                share * Double(errors[chain: chain, step: step, source: step - gap]) * factors[chain]
                * factors[stepIndex(step)] * factors[gapIndex(gap)]
            visit(chain, step, gap, entry)
            sum += entry
        }
        for step in 1..<max(1, shape.stepCount) {
            var agesBefore = 0.0
            for chain in 0..<chainCount {
                if genome[step * chainCount + chain] {
                    ages[chain] = Self.inheritance * agesBefore / Double(max(1, chain))
                } else {
                    ages[chain] += 1
                }
                agesBefore += ages[chain]
                guard projections[chain].map({ genome[step * chainCount + $0] }) ?? true else { continue }
                let gap = ages[chain].rounded(.down)
                let rest = ages[chain] - gap
                add(1 - rest, chain: chain, step: step, gap: Int(gap))
                add(rest, chain: chain, step: step, gap: Int(gap) + 1)
            }
        }
        return sum
    }

    // MARK: - Fit

    /// Estimates the parameters from measured errors; samples that reuse nothing are ignored.
    ///
    /// Deterministic, and independent of earlier fits. Complexity: O(samples · (genes + parameters²)) per iteration.
    public mutating func fit(_ samples: [Sample]) {
        let samples = samples.filter { sample in
            sample.logError.isFinite && sample.weight > 0 && total(of: sample.genome) { _, _, _, _ in } > 0
        }
        guard !samples.isEmpty else { return }
        var current = Parameters(gains: Array(repeating: 0, count: parameters.gains.count))
        let weightSum = samples.reduce(0) { $0 + $1.weight }
        let prior = GainPrior(shape)
        let logs = samples.map { sample in log(total(of: sample.genome, factors: current.factors) { _, _, _, _ in }) }
        // Samples that hardly count must not stretch the link's segments.
        let limit = 0.001 * (samples.map(\.weight).max() ?? 0)
        let range = zip(samples, logs).filter { $0.0.weight > limit }.map(\.1)
        let (least, most) = (range.min() ?? 0, range.max() ?? 0)
        current.link.start = least
        current.link.width = max(0.5, (most - least) / Double(Link.count))
        current.link.intercept =
            zip(samples, logs).reduce(0) { $0 + $1.0.weight * ($1.0.logError - $1.1 + least) } / weightSum
        var loss = self.loss(of: samples, current, prior)
        for _ in 0..<12 {
            guard let step = gaussNewtonStep(samples, current, prior) else { break }
            var scale = 1.0
            var next = current
            var nextLoss = Double.infinity
            while scale > 1e-3 {
                next = current.moved(by: step, scale: scale)
                nextLoss = self.loss(of: samples, next, prior)
                if nextLoss < loss { break }
                scale /= 2
            }
            guard nextLoss < loss else { break }
            let improvement = loss - nextLoss
            (current, loss) = (next, nextLoss)
            if improvement < 1e-6 * loss { break }
        }
        parameters = current
        residual = (leftOutSquares(of: samples, prior) / weightSum).squareRoot()
    }

    /// Weighted sum of the squared residuals that each sample would have if the others alone were known.
    ///
    /// From the leverages of the linearised fit (Cook and Weisberg, "Residuals and Influence in Regression", 1982). A dozen
    /// schedules are fitted almost exactly, and say little of how well the model predicts others.
    private func leftOutSquares(of samples: [Sample], _ prior: GainPrior) -> Double {
        let factor = normalEquations(samples, parameters, prior).normal.cholesky()
        return samples.reduce(0.0) { sum, sample in
            let (row, error) = linearised(sample, parameters, factors: parameters.factors)
            let leverage = factor.map { sample.weight * $0.solveLower(row).reduce(0) { $0 + $1 * $1 } } ?? 0
            let leftOut = error / (1 - min(leverage, Self.largestLeverage))
            return sum + sample.weight * leftOut * leftOut
        }
    }

    private func loss(of samples: [Sample], _ parameters: Parameters, _ prior: GainPrior) -> Double {
        var model = self
        model.parameters = parameters
        let factors = parameters.factors
        let data = samples.reduce(0.0) { sum, sample in
            let total = model.total(of: sample.genome, factors: factors) { _, _, _, _ in }
            let error = sample.logError - parameters.link.value(at: log(total))
            return sum + sample.weight * error * error
        }
        let gains = zip(parameters.gains, prior.gradient(at: parameters.gains)).reduce(0) { $0 + $1.0 * $1.1 }
        let slopes = parameters.link.slopes.reduce(0) { $0 + ($1 - 1) * ($1 - 1) }
        let bends = zip(parameters.link.slopes, parameters.link.slopes.dropFirst()).reduce(0) {
            $0 + ($1.0 - $1.1) * ($1.0 - $1.1)
        }
        return data + gains + Self.slopePenalty * slopes + Self.bendPenalty * bends
    }

    /// The step that minimises the linearised penalised squares; nil if the equations cannot be solved.
    private func gaussNewtonStep(
        _ samples: [Sample], _ parameters: Parameters, _ prior: GainPrior
    ) -> [Double]? {
        let (normal, right) = normalEquations(samples, parameters, prior)
        return normal.cholesky()?.solve(right)
    }

    /// Derivatives of a sample's prediction by the link's intercept and slopes and the gains, and the sample's residual.
    private func linearised(
        _ sample: Sample, _ parameters: Parameters, factors: [Double]
    ) -> (row: [Double], error: Double) {
        let link = parameters.link
        let offset = 1 + link.slopes.count
        var row = [Double](repeating: 0, count: offset + parameters.gains.count)
        let total = total(of: sample.genome, factors: factors) { chain, step, gap, entry in
            row[offset + chain] += entry
            row[offset + stepIndex(step)] += entry
            row[offset + gapIndex(gap)] += entry
        }
        let logTotal = log(total)
        let slope = link.slope(at: logTotal)
        for index in offset..<row.count { row[index] *= slope / total }
        row[0] = 1
        row.replaceSubrange(1..<offset, with: link.lengths(to: logTotal))
        return (row, sample.logError - link.value(at: logTotal))
    }

    private func normalEquations(
        _ samples: [Sample], _ parameters: Parameters, _ prior: GainPrior
    ) -> (normal: SymmetricMatrix, right: [Double]) {
        let link = parameters.link
        let offset = 1 + link.slopes.count
        let count = offset + parameters.gains.count
        let factors = parameters.factors
        var normal = SymmetricMatrix(count: count)
        var right = [Double](repeating: 0, count: count)
        for sample in samples {
            let (row, error) = linearised(sample, parameters, factors: factors)
            normal.add(outerProductOf: row, weight: sample.weight)
            for index in right.indices { right[index] += sample.weight * row[index] * error }
        }
        normal[0, 0] += 1e-9
        for (segment, slope) in link.slopes.enumerated() {
            normal[1 + segment, 1 + segment] += Self.slopePenalty
            right[1 + segment] -= Self.slopePenalty * (slope - 1)
            guard segment > 0 else { continue }
            let bend = slope - link.slopes[segment - 1]
            normal[1 + segment, 1 + segment] += Self.bendPenalty
            normal[segment, segment] += Self.bendPenalty
            normal[1 + segment, segment] -= Self.bendPenalty
            right[1 + segment] -= Self.bendPenalty * bend
            right[segment] += Self.bendPenalty * bend
        }
        prior.add(to: &normal, at: offset)
        for (index, gradient) in prior.gradient(at: parameters.gains).enumerated() { right[offset + index] -= gradient }
        return (normal, right)
    }
}

extension ErrorModel.Parameters {
    /// The exponentials of the gains.
    fileprivate var factors: [Double] { gains.map { exp($0) } }

    fileprivate func moved(by step: [Double], scale: Double) -> Self {
        var moved = self
        let offset = 1 + link.slopes.count
        moved.link.intercept += scale * step[0]
        // A negative slope would predict less error for more reuse.
        for index in link.slopes.indices {
            moved.link.slopes[index] = max(0.05, link.slopes[index] + scale * step[1 + index])
        }
        for index in gains.indices { moved.gains[index] += scale * step[offset + index] }
        return moved
    }
}

/// A symmetric matrix; its lower triangle is stored.
struct SymmetricMatrix {
    private let count: Int
    private var lower: [Double]

    /// Zeros.
    init(count: Int) {
        self.count = count
        lower = Array(repeating: 0, count: count * (count + 1) / 2)
    }

    /// An element of the lower triangle.
    subscript(row: Int, column: Int) -> Double {
        get { lower[row * (row + 1) / 2 + column] }
        set { lower[row * (row + 1) / 2 + column] = newValue }
    }

    mutating func add(outerProductOf vector: [Double], weight: Double) {
        var index = 0
        for row in 0..<count {
            let factor = weight * vector[row]
            if factor == 0 {
                index += row + 1
                continue
            }
            for column in 0...row {
                lower[index] += factor * vector[column]
                index += 1
            }
        }
    }

    /// The Cholesky factor; nil if the matrix is not positive definite.
    func cholesky() -> CholeskyFactor? {
        var factor = lower
        for row in 0..<count {
            let start = row * (row + 1) / 2
            for column in 0...row {
                let other = column * (column + 1) / 2
                var value = factor[start + column]
                for index in 0..<column { value -= factor[start + index] * factor[other + index] }
                if column == row {
                    guard value > 0 else { return nil }
                    factor[start + row] = value.squareRoot()
                } else {
                    factor[start + column] = value / factor[other + column]
                }
            }
        }
        return CholeskyFactor(count: count, lower: factor)
    }
}

/// The lower triangular factor L of a matrix L · Lᵀ.
struct CholeskyFactor {
    fileprivate let count: Int
    fileprivate let lower: [Double]

    /// The logarithm of the matrix's determinant.
    var logDeterminant: Double { (0..<count).reduce(0) { $0 + 2 * log(lower[$1 * ($1 + 3) / 2]) } }

    /// Solves L x = `right`.
    func solveLower(_ right: [Double]) -> [Double] {
        var solution = right
        for row in 0..<count {
            let start = row * (row + 1) / 2
            var value = solution[row]
            for index in 0..<row { value -= lower[start + index] * solution[index] }
            solution[row] = value / lower[start + row]
        }
        return solution
    }

    /// Solves the linear system of the matrix.
    func solve(_ right: [Double]) -> [Double] {
        var solution = solveLower(right)
        for row in (0..<count).reversed() {
            for index in (row + 1)..<max(row + 1, count) {
                solution[row] -= lower[index * (index + 1) / 2 + row] * solution[index]
            }
            solution[row] /= lower[row * (row + 3) / 2]
        }
        return solution
    }
}

extension ScheduleShape {
    /// The chain of the output projection through which alone a FLUX single-stream block's attention or MLP has an
    /// effect; nil for all other chains.
    func projectionChain(of chain: Int) -> Int? {
        let (block, slot) = chain.quotientAndRemainder(dividingBy: BlockKind.componentCount)
        let projection = Component.singleProjOut.slot
        guard blocks[block] == .fluxSingle, slot != projection else { return nil }
        return block * BlockKind.componentCount + projection
    }
}
