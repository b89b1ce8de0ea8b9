import Evolution
import ModelConfiguration
import Schedules
import Testing

@Suite struct SeedingTests {
    static let names = ["fora", "tgate-no-average", "random"]

    func seeds(_ names: [String], _ count: Int, _ shape: ScheduleShape = .pixart()) throws -> [Seed] {
        var generator = RandomGenerator(seed: 11)
        return try seedPopulation(names: names, count: count, shape: shape, using: &generator)
    }

    @Test(
        arguments: [1, 2, 8, 24, 72],
        [ScheduleShape.pixart(), .flux(), .pixart(blocks: 4, steps: 8)])
    func seedsAreDistinctAndCanonical(count: Int, shape: ScheduleShape) throws {
        let seeds = try seeds(Self.names, count, shape)
        #expect(seeds.count == count)
        #expect(Set(seeds.map { $0.genome.canonical(for: shape) }).count == count)
        #expect(seeds.allSatisfy { $0.genome == $0.genome.canonical(for: shape) && !$0.origin.isEmpty })
    }

    @Test func originsNameTheHeuristic() throws {
        let shape = ScheduleShape.pixart()
        let seeds = try seeds(Self.names, 72)
        let origins = Dictionary(
            uniqueKeysWithValues: seeds.filter { $0.origin != "random" }.map { ($0.origin, $0.genome) })
        #expect(origins["fora-3"] == (try Heuristic.fora(interval: 3).schedule(for: shape).genome))
        #expect(origins["fora-attention-2"] == (try Heuristic.foraAttention(interval: 2).schedule(for: shape).genome))
        #expect(origins.keys.count { $0.hasPrefix("tgate-no-average-") } > 15)
        #expect(seeds.count { $0.origin == "random" } >= 24)
    }

    @Test func fewSeedsSpreadOverTheIntervals() throws {
        let origins = try seeds(["fora"], 8).map(\.origin)
        #expect(
            Set(origins) == [
                "fora-2", "fora-4", "fora-7", "fora-20", "fora-attention-2", "fora-attention-4", "fora-attention-7",
                "fora-attention-20",
            ])
        #expect(try seeds(["fora"], 38).count { $0.origin.hasPrefix("fora-") } == 38)
    }

    @Test func randomSeedsCoverTheRangeOfSpeedUps() throws {
        let shape = ScheduleShape.pixart()
        let model = try ModelArchitecture(family: .pixartAlpha)
        let full = try Double(model.macs(Schedule(shape: shape)).total)
        let ratios = try seeds(["random"], 20).map {
            try Double(model.macs(Schedule(shape: shape, genome: $0.genome)).total) / full
        }
        #expect(ratios[0] > 0.999)
        #expect(ratios[19] < 0.2)
        // Equal increments: no gap exceeds twice the mean gap.
        #expect(zip(ratios, ratios.dropFirst()).allSatisfy { $0 - $1 < 0.1 })
        #expect(try seeds(["random"], 20).allSatisfy { seed in (0..<84).allSatisfy { seed.genome[$0] } })
    }

    @Test func randomSeedsReplaceMethodsThatFluxLacks() throws {
        let seeds = try seeds(["tgate-no-average"], 5, .flux())
        #expect(seeds.allSatisfy { $0.origin == "random" })
        #expect(try self.seeds(["default", "evenly"], 9, .flux()).first?.origin == "default")
    }

    @Test func invalidRequestsAreRejected() throws {
        #expect(throws: EvolutionError.noSeeds) { try seeds([], 3) }
        #expect(throws: EvolutionError.noSeeds) { try seeds(["fora"], 0) }
        do {
            _ = try seeds(["forra"], 3)
            Issue.record("accepted")
        } catch {
            #expect(
                "\(error)" == "search.seeding is \"forra\"; expected one of default, fora, fora-attention, "
                    + "tgate-no-average, evenly, random, calibrated")
        }
        // This shape has eight canonical genomes: seven with reuse, and the uncached one.
        let tiny = ScheduleShape.pixart(blocks: 1, steps: 2)
        #expect(try seeds(["default", "random"], 8, tiny).count == 8)
        #expect(throws: EvolutionError.self) { try seeds(["default", "random"], 9, tiny) }
    }
}
