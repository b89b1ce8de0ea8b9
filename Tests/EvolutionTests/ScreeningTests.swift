import Schedules
import Testing

@testable import Evolution

@Suite struct ScreeningTests {
    private static let geneCount = 40

    private static func genome(_ generator: inout RandomGenerator) -> Genome {
        Genome((0..<geneCount).map { _ in generator.unit() < 0.5 })
    }

    private static func individual(_ id: Int, _ genome: Genome) -> Individual {
        Individual(offspring: MatingTests.offspring(id, genome), objectives: objectives(genome), violation: 0)
    }

    /// Sums over genes, one of them with a weight of its own for each gene.
    private static func objectives(_ genome: Genome) -> [Double] {
        [
            Double(genome.recomputeCount),
            (0..<geneCount).reduce(100) { $0 - (genome[$1] ? Double($1) : 0) },
        ]
    }

    @Test func effectsOfSumsAreFound() {
        var generator = RandomGenerator(seed: 3)
        var effects = GeneEffects()
        effects.learn((0..<2000).map { Self.individual($0, Self.genome(&generator)) })
        for gene in 0..<Self.geneCount {
            #expect(abs(effects.effects[0][gene] - 0.5) < 0.02)
            #expect(abs(effects.effects[1][gene] + Float(gene) / 2) < 0.2)
        }
        let (parent, child) = (Self.genome(&generator), Self.genome(&generator))
        let expected = effects.objectives(of: child, parent: Self.individual(0, parent))
        for (value, truth) in zip(expected, Self.objectives(child)) { #expect(abs(value - truth) < 4) }
    }

    @Test func withoutResultsAChildIsWorthItsParent() {
        var generator = RandomGenerator(seed: 4)
        let parent = Self.individual(0, Self.genome(&generator))
        #expect(GeneEffects().objectives(of: Self.genome(&generator), parent: parent) == parent.objectives)
    }

    @Test func theChildrenThatRankBestAreChosenInTheirOrder() {
        var generator = RandomGenerator(seed: 5)
        var effects = GeneEffects()
        effects.learn((0..<2000).map { Self.individual($0, Self.genome(&generator)) })
        let parent = Self.individual(0, Self.genome(&generator))
        let children = (0..<30).map { _ in
            Mating.Child(genome: Self.genome(&generator), parents: [0], operation: .mutation)
        }
        let chosen = Screening(effects: effects, population: [parent]).best(8, of: children)
        #expect(chosen.count == 8)
        let places = chosen.map { child in children.firstIndex { $0.genome == child.genome } ?? -1 }
        #expect(places == places.sorted() && !places.contains(-1))
        // Nothing that was left out dominates, by more than the guess may err, what was chosen.
        let left = children.indices.filter { !places.contains($0) }
        for place in places {
            let mine = Self.objectives(children[place].genome)
            #expect(
                !left.contains { other in
                    zip(Self.objectives(children[other].genome), mine).allSatisfy { $0 < $1 - 4 }
                })
        }
    }
}
