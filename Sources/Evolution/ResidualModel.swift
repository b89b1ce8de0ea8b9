import Foundation
import Schedules

/// A Gaussian process over genomes: what evaluated schedules say about the residuals of an error model elsewhere.
///
/// The covariance of two residuals is `variance · exp(-distance / length)`, with the Hamming distance of the genomes; a
/// share `nugget` of it is added for each schedule by itself. The parameters maximise the marginal likelihood
/// (Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006).
struct ResidualModel {
    /// A residual that is known.
    struct Sample {
        let genome: Genome
        let residual: Double
        /// Positive, at most 1; the nugget of a sample is divided by its weight.
        let weight: Double
    }

    /// Samples that predictions use, and that parameters are chosen by; both are those of the largest weights.
    private static let sampleLimit = 400
    private static let searchLimit = 200
    /// Lengths tried, as shares of the number of genes.
    private static let lengths = [0.015625, 0.03125, 0.0625, 0.125, 0.25, 0.5]
    private static let nuggets = [0.02, 0.1, 0.3, 1, 3]

    private let samples: [Sample]
    private let length: Double
    let nugget: Double
    let variance: Double
    private let factor: CholeskyFactor
    /// The inverse covariance times the residuals.
    private let coefficients: [Double]

    /// Fits the parameters; nil with too few samples.
    ///
    /// - Parameters:
    ///   - samples: What is known.
    ///   - inflation: Factor of the variance: the samples' residuals may be those of a model that was fitted to them.
    init?(_ samples: [Sample], inflation: Double = 1) {
        guard samples.count >= 8, samples.contains(where: { $0.residual != 0 }) else { return nil }
        let order = samples.indices.sorted { (samples[$0].weight, $1) > (samples[$1].weight, $0) }
        let kept = order.prefix(Self.sampleLimit).map { samples[$0] }
        let tried = Array(kept.prefix(Self.searchLimit))
        let geneCount = Double(samples[0].genome.geneCount)
        var best: (likelihood: Double, length: Double, nugget: Double)?
        for length in Self.lengths {
            for nugget in Self.nuggets {
                guard let fit = Self.fit(tried, length * geneCount, nugget) else { continue }
                let count = Double(tried.count)
                let likelihood = -count / 2 * log(fit.variance) - fit.factor.logDeterminant / 2
                if likelihood > best?.likelihood ?? -.infinity { best = (likelihood, length * geneCount, nugget) }
            }
        }
        guard let best, let fit = Self.fit(kept, best.length, best.nugget) else { return nil }
        self.samples = kept
        length = best.length
        nugget = best.nugget
        variance = inflation * fit.variance
        factor = fit.factor
        coefficients = fit.coefficients
    }

    private static func fit(
        _ samples: [Sample], _ length: Double, _ nugget: Double
    ) -> (factor: CholeskyFactor, coefficients: [Double], variance: Double)? {
        var matrix = SymmetricMatrix(count: samples.count)
        for row in samples.indices {
            for column in 0..<row {
                let distance = samples[row].genome.hammingDistance(to: samples[column].genome)
                matrix[row, column] = exp(-Double(distance) / length)
            }
            matrix[row, row] = 1 + nugget / samples[row].weight
        }
        guard let factor = matrix.cholesky() else { return nil }
        let residuals = samples.map(\.residual)
        let coefficients = factor.solve(residuals)
        let variance = zip(residuals, coefficients).reduce(0) { $0 + $1.0 * $1.1 } / Double(samples.count)
        return variance > 0 ? (factor, coefficients, variance) : nil
    }

    fileprivate func correlation(_ first: Genome, _ second: Genome) -> Double {
        exp(-Double(first.hammingDistance(to: second)) / length)
    }

    /// Beliefs about the residuals of other schedules, which can be conditioned on some of them becoming known.
    struct Posterior {
        private let model: ResidualModel?
        private let genomes: [Genome]
        /// Expected residuals.
        let means: [Double]
        /// Variances of the residuals.
        private(set) var variances: [Double]
        /// Coordinates in which the explained part of the covariance is the scalar product.
        private var coordinates: [[Double]]

        /// Beliefs of a model, or with a constant variance around 0 without one.
        init(_ model: ResidualModel?, of genomes: [Genome], variance: Double) {
            self.model = model
            self.genomes = genomes
            guard let model else {
                means = genomes.map { _ in 0 }
                variances = genomes.map { _ in variance }
                coordinates = []
                return
            }
            var means: [Double] = []
            var variances: [Double] = []
            coordinates = genomes.map { genome in
                let correlations = model.samples.map { model.correlation(genome, $0.genome) }
                means.append(zip(correlations, model.coefficients).reduce(0) { $0 + $1.0 * $1.1 })
                let solved = model.factor.solveLower(correlations)
                let explained = solved.reduce(0) { $0 + $1 * $1 }
                variances.append(model.variance * max(model.nugget, 1 + model.nugget - explained))
                return solved
            }
            self.means = means
            self.variances = variances
        }

        /// Reduces the variances as if the residual at an index were known.
        mutating func condition(on index: Int) {
            guard let model, variances[index] > 0 else { return }
            let scale = (variances[index] / model.variance).squareRoot()
            let known = coordinates[index]
            for other in genomes.indices {
                let explained = zip(known, coordinates[other]).reduce(0) { $0 + $1.0 * $1.1 }
                let coordinate = (model.correlation(genomes[index], genomes[other]) - explained) / scale
                coordinates[other].append(coordinate)
                let least = model.variance * model.nugget
                variances[other] = max(least, variances[other] - model.variance * coordinate * coordinate)
            }
        }
    }
}
