import Foundation
import ModelConfiguration
import Schedules
import Testing

@testable import Evolution

@Suite struct ErrorModelTests {
    static let shape = ScheduleShape.pixart(blocks: 4, steps: 8)

    /// A model with planted corrections, and genomes from light caching to heavy.
    private func planted() throws -> (truth: ErrorModel, genomes: [Genome]) {
        let basis = try ChainSolverTests.basis(Self.shape)
        var generator = RandomGenerator(seed: 5)
        let count = ErrorModel(basis.errors).parameters.gains.count
        let gains = (0..<count).map { _ in 1.2 * (generator.unit() - 0.5) }
        let truth = ErrorModel(
            basis.errors,
            parameters: .init(link: .init(intercept: -3, slopes: Array(repeating: 1.2, count: 6)), gains: gains),
            residual: 0)
        let random = try seedPopulation(
            names: ["random"], count: 300, shape: Self.shape, using: &generator
        ).map(\.genome)
        return (truth, random)
    }

    /// Sum of the errors of all outputs in use, straight from the definition: an output that is computed has half the mean
    /// age of those before it.
    static func error(_ genome: Genome, _ errors: ReuseErrors) -> Double {
        let shape = errors.shape
        var ages: [[Double]] = [Array(repeating: 0, count: shape.genesPerStep)]
        var sum = 0.0
        for step in 1..<shape.stepCount {
            var row: [Double] = []
            for chain in 0..<shape.genesPerStep {
                let inherited = row.isEmpty ? 0 : 0.5 * row.reduce(0, +) / Double(row.count)
                row.append(genome[step * shape.genesPerStep + chain] ? inherited : ages[step - 1][chain] + 1)
                let gaps = [row[chain].rounded(.down), row[chain].rounded(.up)]
                let values = gaps.map { gap in
                    gap == 0 ? 0 : Double(errors[chain: chain, step: step, source: step - Int(gap)])
                }
                sum += values[0] + (row[chain] - gaps[0]) * (values[1] - values[0])
            }
            ages.append(row)
        }
        return sum
    }

    private func deviation(_ model: ErrorModel, _ truth: ErrorModel, _ genomes: some Collection<Genome>) -> Double {
        let squares = genomes.reduce(0.0) { sum, genome in
            let error = model.logError(of: genome) - truth.logError(of: genome)
            return sum + error * error
        }
        return (squares / Double(genomes.count)).squareRoot()
    }

    @Test func plantedCorrectionsAreRecovered() throws {
        let (truth, genomes) = try planted()
        let (known, unknown) = (genomes[..<200], genomes[200...])
        var model = ErrorModel(truth.errors)
        // Without its intercept, the uncorrected model is off by a constant.
        model.fit([.init(genome: genomes[0], logError: truth.logError(of: genomes[0]))])
        let before = deviation(model, truth, unknown)
        model.fit(known.map { .init(genome: $0, logError: truth.logError(of: $0)) })
        let after = deviation(model, truth, unknown)
        #expect(before > 0.2 && after < 0.15 * before, "\(before) before, \(after) after")
        let slopes = model.parameters.link.slopes
        #expect(abs(slopes.reduce(0, +) / Double(slopes.count) - 1.2) < 0.1)
        #expect(model.residual < 0.05)
        let corrected = model.correctedValues()
        let expected = truth.correctedValues()
        // Up to a common factor, the entries are those of the truth.
        let ratios = zip(corrected, expected).filter { $1 > 0 }.map { log(Double($0 / $1)) }
        let mean = ratios.reduce(0, +) / Double(ratios.count)
        let spread = ratios.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(ratios.count)
        #expect(spread.squareRoot() < 0.2)
    }

    @Test func residualIsThatOfUnknownSchedules() throws {
        let (truth, genomes) = try planted()
        var generator = RandomGenerator(seed: 9)
        let samples = genomes.map {
            ErrorModel.Sample(genome: $0, logError: truth.logError(of: $0) + 0.3 * generator.normal())
        }
        for count in [24, 100] {
            var model = ErrorModel(truth.errors)
            model.fit(Array(samples[..<count]))
            func deviation(_ samples: some Collection<ErrorModel.Sample>) -> Double {
                let squares = samples.reduce(0.0) { sum, sample in
                    let error = sample.logError - model.logError(of: sample.genome)
                    return sum + error * error
                }
                return (squares / Double(samples.count)).squareRoot()
            }
            let unknown = deviation(samples[count...])
            #expect(abs(log(model.residual / unknown)) < log(2), "\(model.residual), measured \(unknown)")
            #expect(deviation(samples[..<count]) < 0.9 * model.residual)
        }
    }

    @Test func lightSamplesHardlyCount() throws {
        let (truth, genomes) = try planted()
        var model = ErrorModel(truth.errors)
        let exact = genomes[..<150].map { ErrorModel.Sample(genome: $0, logError: truth.logError(of: $0)) }
        model.fit(exact)
        let alone = model
        model.fit(exact + genomes[150..<200].map { .init(genome: $0, logError: 3, weight: 1e-6) })
        #expect(deviation(model, alone, genomes[200...]) < 1e-3)
    }

    @Test func predictionsFollowTheDefinition() throws {
        let (truth, genomes) = try planted()
        let plain = ErrorModel(truth.errors)
        let scaled = try ReuseErrors(shape: Self.shape, values: truth.correctedValues())
        for genome in genomes.prefix(20) {
            #expect(abs(plain.logError(of: genome) - log(Self.error(genome, truth.errors))) < 1e-9)
            let expected = -3 + 1.2 * log(Self.error(genome, scaled))
            #expect(abs(truth.logError(of: genome) - expected) < 1e-4)
        }
        let uncached = Genome(repeating: true, count: Self.shape.geneCount)
        #expect(plain.logError(of: uncached) == -.infinity)
    }

    /// Samples that say nothing leave the model as it is; no sample may make it other than finite.
    @Test func degenerateSamplesAreHarmless() throws {
        let (truth, genomes) = try planted()
        let uncached = Genome(repeating: true, count: Self.shape.geneCount)
        var model = ErrorModel(truth.errors)
        model.fit([])
        model.fit([.init(genome: uncached, logError: -3), .init(genome: genomes[0], logError: .nan)])
        #expect(model == ErrorModel(truth.errors))
        model.fit(genomes.prefix(30).map { .init(genome: $0, logError: -20) })
        #expect(model.parameters.gains.allSatisfy(\.isFinite) && model.residual.isFinite)
        // Less error for more reuse contradicts the model; its exponent stays positive.
        model.fit(genomes.map { .init(genome: $0, logError: -truth.logError(of: $0)) })
        #expect(model.parameters.link.slopes.allSatisfy { $0 > 0 } && model.correctedValues().allSatisfy(\.isFinite))
    }

    /// Two dozen schedules say that one component matters eight times as much as measured: with twelve chains of it and none
    /// alone, only the prior can tell.
    @Test func componentsShareTheirCorrections() throws {
        let shape = ScheduleShape.pixart(blocks: 12, steps: 8)
        let basis = try ChainSolverTests.basis(shape)
        var gains = [Double](repeating: 0, count: ErrorModel(basis.errors).parameters.gains.count)
        for chain in 0..<shape.genesPerStep where chain % 3 == 1 { gains[chain] = log(8) }
        let truth = ErrorModel(basis.errors, parameters: .init(gains: gains), residual: 0)
        var generator = RandomGenerator(seed: 3)
        let genomes = (0..<124).map { _ in
            // Each component is reused at a share of its own.
            let shares = (0..<3).map { _ in generator.unit() }
            var genome = Genome(repeating: true, count: shape.geneCount)
            for gene in shape.genesPerStep..<shape.geneCount where generator.unit() < shares[gene % 3] {
                genome[gene] = false
            }
            return genome
        }
        var model = ErrorModel(basis.errors)
        model.fit(genomes[..<24].map { .init(genome: $0, logError: truth.logError(of: $0)) })
        let means = (0..<3).map { slot in
            (0..<12).reduce(0) { $0 + model.parameters.gains[$1 * 3 + slot] } / 12
        }
        #expect(means[1] - max(means[0], means[2]) > 0.5 * log(8), "\(means)")
        #expect(deviation(model, truth, genomes[24...]) < 0.25)
    }

    @Test func priorIsTheInverseOfItsCovariance() throws {
        let shape = ScheduleShape.flux(fullBlocks: 1, singleBlocks: 2, steps: 5)
        let prior = GainPrior(shape)
        let components = shape.blocks.flatMap(\.components)
        let count = ErrorModel(try ChainSolverTests.basis(shape).errors).parameters.gains.count
        func isUnit(_ values: [Double], at index: Int) -> Bool {
            values.indices.allSatisfy { abs(values[$0] - ($0 == index ? 1 : 0)) < 1e-9 }
        }
        for chain in components.indices {
            let column = (0..<count).map { index in
                guard index < components.count else { return 0.0 }
                return (index == chain ? 10 : 0) + (components[index] == components[chain] ? 3 : 0)
                    + (index / 3 == chain / 3 ? 2 : 0)
            }
            #expect(isUnit(prior.gradient(at: column), at: chain))
        }
        let firstGap = components.count + shape.stepCount
        for gap in 1...4 {
            let column = (0..<count).map { index in
                guard index >= firstGap else { return 0.0 }
                let other = index - firstGap + 1
                return (other == gap ? 10 : 0) + 6 * log(Double(other)) * log(Double(gap))
            }
            #expect(isUnit(prior.gradient(at: column), at: firstGap + gap - 1))
        }
    }
}
