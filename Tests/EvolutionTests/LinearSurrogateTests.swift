import Schedules
import Testing

@testable import Evolution

@Suite struct LinearSurrogateTests {
    private static let geneCount = 40

    private static func genome(_ generator: inout RandomGenerator) -> Genome {
        Genome((0..<geneCount).map { _ in generator.unit() < 0.5 })
    }

    private static func individual(_ id: Int, _ genome: Genome) -> Individual {
        Individual(offspring: MatingTests.offspring(id, genome), objectives: objectives(genome), violation: 0)
    }

    /// Two linear objectives, the second with a different weight for each gene.
    private static func objectives(_ genome: Genome) -> [Double] {
        [
            Double(genome.recomputeCount),
            (0..<geneCount).reduce(100) { $0 - (genome[$1] ? Double($1) : 0) },
        ]
    }

    @Test func weightsOfLinearObjectivesAreLearned() {
        var generator = RandomGenerator(seed: 3)
        var surrogate = LinearSurrogate()
        surrogate.fit((0..<2000).map { Self.individual($0, Self.genome(&generator)) })
        for gene in 0..<Self.geneCount {
            #expect(abs(surrogate.weights[0][gene] - 0.5) < 0.02)
            #expect(abs(surrogate.weights[1][gene] + Float(gene) / 2) < 0.2)
        }
        let (parent, child) = (Self.genome(&generator), Self.genome(&generator))
        let predicted = surrogate.predictedObjectives(of: child, parent: Self.individual(0, parent))
        for (value, truth) in zip(predicted, Self.objectives(child)) { #expect(abs(value - truth) < 4) }
    }

    @Test func withoutObservationsThePredictionIsTheParent() {
        var generator = RandomGenerator(seed: 4)
        let parent = Self.individual(0, Self.genome(&generator))
        #expect(LinearSurrogate().predictedObjectives(of: Self.genome(&generator), parent: parent) == parent.objectives)
    }

    @Test func screeningSelectsTheBestRankedChildrenInOrder() {
        var generator = RandomGenerator(seed: 5)
        var surrogate = LinearSurrogate()
        surrogate.fit((0..<2000).map { Self.individual($0, Self.genome(&generator)) })
        let parent = Self.individual(0, Self.genome(&generator))
        let children = (0..<30).map { _ in
            Mating.Child(genome: Self.genome(&generator), parents: [0], operation: .mutation)
        }
        let selected = Screening(surrogate: surrogate, population: [parent]).best(8, of: children)
        #expect(selected.count == 8)
        let indices = selected.map { child in children.firstIndex { $0.genome == child.genome } ?? -1 }
        #expect(indices == indices.sorted() && !indices.contains(-1))
        // No rejected child dominates a selected one by more than the prediction error.
        let rejected = children.indices.filter { !indices.contains($0) }
        for index in indices {
            let objectives = Self.objectives(children[index].genome)
            #expect(
                !rejected.contains { other in
                    zip(Self.objectives(children[other].genome), objectives).allSatisfy { $0 < $1 - 4 }
                })
        }
    }
}
