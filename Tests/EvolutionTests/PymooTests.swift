import Evolution
import Foundation
import TestSupport
import Testing

/// Sorting, crowding, survival and tournament equal those of pymoo 0.6.1.3 on thousands of points.
///
/// `scripts/fixtures/make_pymoo.py` computes the expected values. Where pymoo breaks ties at random, they hold what does
/// not depend on the draw.
@Suite struct PymooTests {
    struct PointSet: Decodable, Sendable, CustomTestStringConvertible {
        struct Survivors: Decodable {
            let count: Int
            let feasible: [[Double?]]
            let violations: [Int]
        }

        let name: String
        let points: [[Double?]]
        let violations: [Int]
        let ranks: [Int?]
        let crowding: [Double?]
        let survivors: [Survivors]
        let tournaments: [[Int]]

        var testDescription: String { name }

        var individuals: [Individual] {
            zip(points, violations).enumerated().map { index, member in
                SelectionTests.individual(index, member.0.map { $0 ?? .infinity }, violation: member.1)
            }
        }
    }

    private struct File: Decodable { let sets: [PointSet] }

    static let sets = Result {
        let data = try Data(contentsOf: URL(filePath: "\(Fixtures.folder)/pymoo/nsga2.json"))
        return try JSONDecoder().decode(File.self, from: data).sets
    }

    private func isSame(_ found: Double?, _ expected: Double?) -> Bool {
        let (found, expected) = (found ?? .infinity, expected ?? .infinity)
        return found == expected || abs(found - expected) <= 1e-12 * max(1, abs(expected))
    }

    @Test func fixtureCoversAllKindsOfPoints() throws {
        let sets = try Self.sets.get()
        #expect(sets.reduce(0) { $0 + $1.points.count } == 3000)
        #expect(Set(sets.map(\.name)).isSuperset(of: ["ties", "duplicates", "infinities", "infeasible"]))
    }

    @Test func ranksAndCrowdingEqualPymoos() throws {
        for set in try Self.sets.get() {
            var generator = RandomGenerator(seed: 1)
            let individuals = set.individuals
            let ranked = Survival.select(individuals, count: individuals.count, using: &generator)
            #expect(ranked.count == individuals.count)
            for individual in ranked where individual.isFeasible {
                #expect(individual.rank == set.ranks[individual.id], "\(set.name) \(individual.id)")
                #expect(
                    isSame(individual.crowding, set.crowding[individual.id]), "\(set.name) \(individual.id)")
            }
            let feasible = individuals.filter(\.isFeasible)
            let fronts = Pareto.nonDominatedSort(feasible.map(\.objectives)).map { $0.map { feasible[$0].id } }
            for (rank, front) in fronts.enumerated() { #expect(front.allSatisfy { set.ranks[$0] == rank }) }
            #expect(fronts.reduce(0) { $0 + $1.count } == feasible.count)
        }
    }

    @Test func survivorsEqualPymoosUpToTies() throws {
        for set in try Self.sets.get() {
            for expected in set.survivors {
                for seed in 0..<3 as Range<UInt64> {
                    var generator = RandomGenerator(seed: seed)
                    let survivors = Survival.select(set.individuals, count: expected.count, using: &generator)
                    #expect(Set(survivors.map(\.id)).count == expected.count)
                    let found = survivors.filter(\.isFeasible).map { ($0.rank ?? -1, $0.crowding ?? .nan) }
                        .sorted { $0 < $1 }
                    #expect(found.count == expected.feasible.count, "\(set.name)")
                    for (found, expected) in zip(found, expected.feasible) {
                        #expect(Double(found.0) == expected[0] && isSame(found.1, expected[1]), "\(set.name)")
                    }
                    #expect(survivors.filter { !$0.isFeasible }.map(\.violation).sorted() == expected.violations)
                }
            }
        }
    }

    @Test func tournamentWinnersEqualPymoos() throws {
        var (decided, drawn) = (0, 0)
        for set in try Self.sets.get() {
            var generator = RandomGenerator(seed: 2)
            let ranked = Survival.select(set.individuals, count: set.points.count, using: &generator)
            let byID = Dictionary(uniqueKeysWithValues: ranked.map { ($0.id, $0) })
            for tournament in set.tournaments {
                let first = try #require(byID[tournament[0]])
                let second = try #require(byID[tournament[1]])
                let wins = (0..<24).count { _ in Tournament.isBetter(first, than: second, using: &generator) }
                if tournament[2] < 0 {
                    drawn += 1
                    #expect(wins > 0 && wins < 24, "\(set.name) \(tournament)")
                } else {
                    decided += 1
                    #expect(wins == (tournament[2] == first.id ? 24 : 0), "\(set.name) \(tournament)")
                }
            }
        }
        #expect(decided > 500 && drawn > 50)
    }
}
