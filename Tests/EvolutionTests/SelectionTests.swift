import Evolution
import Schedules
import Testing

@Suite struct SelectionTests {
    static func individual(_ id: Int, _ objectives: [Double], violation: Int = 0) -> Individual {
        Individual(
            offspring: Offspring(
                id: id, generation: 0, genome: Genome(repeating: true, count: 3), parents: [], operation: .seed,
                origin: "test"),
            objectives: objectives, violation: violation)
    }

    static let individuals: [Individual] = [
        individual(0, [1, 5]), individual(1, [2, 3]), individual(2, [4, 2]), individual(3, [7, 1]),
        individual(4, [3, 6]), individual(5, [5, 4]), individual(6, [6, 6], violation: 3),
        individual(7, [0, 0], violation: 1),
    ]

    func survivors(_ count: Int, seed: UInt64 = 0) -> [Individual] {
        var generator = RandomGenerator(seed: seed)
        return Survival.select(Self.individuals, count: count, using: &generator)
    }

    @Test func wholeFrontsSurviveInOrder() {
        #expect(survivors(4).map(\.id) == [0, 1, 2, 3])
        #expect(survivors(6).map(\.id) == [0, 1, 2, 3, 4, 5])
        #expect(survivors(6).map(\.rank) == [0, 0, 0, 0, 1, 1])
    }

    @Test func frontThatDoesNotFitIsCutByCrowding() {
        // Both ends have an infinite distance; of the inner points the second is less crowded.
        for seed in 0..<20 as Range<UInt64> {
            let cut = survivors(3, seed: seed)
            #expect(Set(cut.map(\.id)) == [0, 2, 3])
            #expect(cut.last?.id == 2)
            #expect(cut.last.flatMap(\.crowding).map { abs($0 - 2 / 3) < 1e-12 } == true)
        }
    }

    @Test func crowdingTiesAreBrokenAtRandom() {
        let last = (0..<40 as Range<UInt64>).map { survivors(5, seed: $0).last?.id }
        #expect(Set(last) == [4, 5])
    }

    @Test func infeasibleIndividualsFillTheRestBySmallestViolation() {
        #expect(survivors(7).map(\.id) == [0, 1, 2, 3, 4, 5, 7])
        let all = survivors(8)
        #expect(all.map(\.id) == [0, 1, 2, 3, 4, 5, 7, 6])
        #expect(all[6].rank == nil && all[6].crowding == nil)
    }

    @Test func survivalIsLimitedToTheIndividualsGiven() {
        #expect(survivors(100).count == 8)
        var generator = RandomGenerator(seed: 0)
        #expect(Survival.select([], count: 5, using: &generator).isEmpty)
    }

    /// How often the first wins in 400 tournaments.
    func wins(_ first: Individual, _ second: Individual) -> Int {
        var generator = RandomGenerator(seed: 9)
        return (0..<400).count { _ in Tournament.isBetter(first, than: second, using: &generator) }
    }

    @Test func tournamentComparesFeasibilityThenDominanceThenCrowding() {
        let feasible = Self.individual(0, [9, 9])
        #expect(wins(feasible, Self.individual(1, [0, 0], violation: 1)) == 400)
        #expect(
            wins(Self.individual(0, [9, 9], violation: 1), Self.individual(1, [0, 0], violation: 2)) == 400)
        #expect(
            (140...260).contains(
                wins(Self.individual(0, [9, 9], violation: 1), Self.individual(1, [0, 0], violation: 1))))
        #expect(wins(Self.individual(0, [1, 1]), Self.individual(1, [1, 2])) == 400)
        #expect(wins(Self.individual(0, [1, 2]), Self.individual(1, [1, 1])) == 0)
        var (isolated, crowded) = (Self.individual(0, [1, 2]), Self.individual(1, [2, 1]))
        (isolated.crowding, crowded.crowding) = (.infinity, 0.5)
        #expect(wins(isolated, crowded) == 400)
        #expect(wins(crowded, isolated) == 0)
        crowded.crowding = .infinity
        #expect((140...260).contains(wins(isolated, crowded)))
    }

    @Test func everyIndividualCompetesOnceBeforeAnyCompetesAgain() {
        // Two matings use eight competitors, one permutation of the population: all winners differ.
        let population = (0..<8).map { Self.individual($0, [Double($0), Double(-$0)]) }
        var generator = RandomGenerator(seed: 1)
        for _ in 0..<50 {
            let parents = Tournament.parents(from: population, matings: 2, using: &generator)
            let winners = parents.flatMap { [$0.0, $0.1] }
            #expect(Set(winners).count == 4)
        }
        #expect(Tournament.parents(from: [population[0]], matings: 3, using: &generator).count == 3)
    }
}
