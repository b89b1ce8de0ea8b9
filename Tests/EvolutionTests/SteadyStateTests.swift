import Evolution
import Testing

@Suite struct SteadyStateTests {
    static let shape = SearchTests.shape

    static func search(population: Int = 12, seed: UInt64 = 1) throws -> Search {
        var generator = RandomGenerator(seed: seed)
        let seeds = try seedPopulation(names: ["fora", "random"], count: population, shape: shape, using: &generator)
        var settings = SearchSettings(populationSize: population)
        settings.mode = .steadyState
        return try Search(settings: settings, shape: shape, seeds: seeds, seed: seed)
    }

    /// Simulates concurrent workers whose results arrive in random order, up to a number of evaluations.
    static func run(_ search: inout Search, workers: Int, evaluations: Int, seed: UInt64 = 3) throws {
        var generator = RandomGenerator(seed: seed)
        var busy = search.ask()
        for _ in 0..<evaluations {
            while busy.count < workers {
                let offspring = search.breed(1)
                if offspring.isEmpty { break }
                busy += offspring
            }
            let done = busy.remove(at: generator.integer(below: min(workers, busy.count)))
            try search.tell([SearchTests.evaluate(done)])
        }
    }

    @Test func offspringAreBredWhileOthersArePending() throws {
        var search = try Self.search()
        let seeds = search.ask()
        #expect(search.breed(3).isEmpty)
        try search.tell(seeds[..<4].map(SearchTests.evaluate))
        #expect(search.population.count == 4)
        let offspring = search.breed(3)
        #expect(offspring.map(\.id) == [12, 13, 14] && offspring.allSatisfy { $0.generation == 1 })
        #expect(search.pending.count == 11)
        #expect(search.finishedGenerations == 0)
        // The first result enters the population immediately.
        try search.tell([SearchTests.evaluate(offspring[2])])
        #expect(search.population.contains { $0.id == 14 })
    }

    @Test func everyResultEntersAPopulationOfConstantSize() throws {
        var search = try Self.search(population: 24)
        try Self.run(&search, workers: 5, evaluations: 24)
        let reference = [400.0, 72.0]
        func area() -> Double { Pareto.hypervolume(of: search.front.map(\.objectives), reference: reference) }
        let start = area()
        var last = start
        for round in 0..<20 as Range<UInt64> {
            try Self.run(&search, workers: 5, evaluations: 24, seed: round)
            #expect(area() >= last)
            last = area()
            #expect(search.population.count == 24)
        }
        #expect(last > start * 1.05)
        let genomes = search.population.map(\.offspring.genome) + search.pending.map(\.genome)
        #expect(Set(genomes).count == genomes.count)
    }

    @Test func generationsAreCountedByOffspring() throws {
        var search = try Self.search()
        try search.tell(search.ask().map(SearchTests.evaluate))
        #expect(search.finishedGenerations == 1)
        #expect(search.nextGeneration == (1, 12))
        let offspring = search.breed(13)
        #expect(offspring.map(\.generation) == Array(repeating: 1, count: 12) + [2])
        #expect(search.nextGeneration == (2, 11))
        try search.tell(offspring[1...].map(SearchTests.evaluate))
        #expect(search.finishedGenerations == 1)
        try search.tell([SearchTests.evaluate(offspring[0])])
        #expect(search.finishedGenerations == 2)
    }

    @Test func restoredSearchProceedsAsTheOriginal() throws {
        var search = try Self.search()
        try Self.run(&search, workers: 4, evaluations: 60)
        var restored = try Search(decoding: search.encoded(), shape: Self.shape)
        #expect(restored.pending == search.pending && restored.population == search.population)
        try Self.run(&search, workers: 4, evaluations: 60)
        try Self.run(&restored, workers: 4, evaluations: 60)
        #expect(restored.encoded() == search.encoded())
    }

    @Test func changedSettingsApplyAfterTheLastCompleteGeneration() throws {
        var search = try Self.search()
        try search.tell(search.ask().map(SearchTests.evaluate))
        try search.tell(search.breed(18)[..<15].map(SearchTests.evaluate))
        #expect(search.finishedGenerations == 2 && search.pending.count == 3)
        var settings = SearchSettings(preset: .ecadPaper, populationSize: 8)
        try search.change(to: settings, seed: 5)
        #expect(search.finishedGenerations == 2 && search.pending.isEmpty)
        #expect(search.ask().map(\.generation) == Array(repeating: 2, count: 8))
        try search.tell(search.pending.map(SearchTests.evaluate))
        #expect(search.population.count == 8 && search.finishedGenerations == 3)
        settings.populationSize = 1
        #expect(throws: EvolutionError.self) { try search.change(to: settings, seed: nil) }
    }
}
