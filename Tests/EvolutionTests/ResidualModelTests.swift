import Foundation
import Schedules
import Testing

@testable import Evolution

@Suite struct ResidualModelTests {
    static let shape = ScheduleShape.pixart(blocks: 4, steps: 6)

    /// Random genomes near a common one, with a residual that is a sum over their genes.
    private func samples(_ count: Int, noise: Double, seed: UInt64 = 1) -> [ResidualModel.Sample] {
        var generator = RandomGenerator(seed: seed)
        var weights = RandomGenerator(seed: 99)
        let effects = (0..<Self.shape.geneCount).map { _ in weights.unit() - 0.5 }
        return (0..<count).map { _ in
            var genome = Genome(repeating: true, count: Self.shape.geneCount)
            for _ in 0..<6 { genome[generator.integer(below: Self.shape.geneCount)] = false }
            let sum = effects.indices.reduce(0.0) { $0 + (genome[$1] ? 0 : effects[$1]) }
            return ResidualModel.Sample(
                genome: genome, residual: sum + noise * (generator.unit() - 0.5), weight: 1)
        }
    }

    private func error(_ model: ResidualModel?, _ others: [ResidualModel.Sample]) -> Double {
        let posterior = ResidualModel.Posterior(model, of: others.map(\.genome), variance: 1)
        let squares = zip(posterior.means, others).reduce(0) { $0 + ($1.0 - $1.1.residual) * ($1.0 - $1.1.residual) }
        return (squares / Double(others.count)).squareRoot()
    }

    @Test func smoothResidualsArePredicted() throws {
        let all = samples(300, noise: 0)
        let others = Array(all.suffix(50))
        let model = try #require(ResidualModel(Array(all.prefix(250))))
        #expect(error(model, others) < 0.5 * error(nil, others))
    }

    /// Pure noise is not predicted, and neither are too few samples.
    @Test func noiseIsNotPredicted() throws {
        let all = samples(120, noise: 40)
        let others = Array(all.suffix(40))
        let model = try #require(ResidualModel(Array(all.prefix(80))))
        #expect(error(model, others) < 1.15 * error(nil, others))
        #expect(ResidualModel(Array(all.prefix(7))) == nil)
        let zeros = all.map { ResidualModel.Sample(genome: $0.genome, residual: 0, weight: 1) }
        #expect(ResidualModel(zeros) == nil)
    }

    @Test func variancesShrinkWithKnowledge() throws {
        let all = samples(200, noise: 0)
        let model = try #require(ResidualModel(Array(all.prefix(150))))
        let genomes = all.suffix(50).map(\.genome) + [all[0].genome]
        var posterior = ResidualModel.Posterior(model, of: genomes, variance: 1)
        #expect(posterior.variances[50] < 0.5 * posterior.variances[0])
        var twin = genomes[1]
        twin[0].toggle()
        posterior = ResidualModel.Posterior(model, of: [genomes[1], twin, genomes[2]], variance: 1)
        let before = posterior.variances
        posterior.condition(on: 0)
        let after = posterior.variances
        #expect(after[1] < before[1] && after[2] <= before[2] && after.allSatisfy { $0 > 0 })
        #expect(before[1] - after[1] > before[2] - after[2])
        var constant = ResidualModel.Posterior(nil, of: genomes, variance: 0.25)
        constant.condition(on: 0)
        #expect(constant.variances.allSatisfy { $0 == 0.25 } && constant.means.allSatisfy { $0 == 0 })
    }

    @Test func lightSamplesHardlyCount() throws {
        let all = samples(100, noise: 0)
        let target = all[0].genome
        func mean(_ samples: [ResidualModel.Sample]) throws -> Double {
            let model = try #require(ResidualModel(samples))
            return ResidualModel.Posterior(model, of: [target], variance: 1).means[0]
        }
        let without = try mean(Array(all.dropFirst()))
        var changed = all
        changed[0] = ResidualModel.Sample(genome: target, residual: 30, weight: 1e-6)
        #expect(try abs(mean(changed) - without) < 0.1)
    }
}
