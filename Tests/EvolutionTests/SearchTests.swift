import Evolution
import Schedules
import Testing

@Suite struct SearchTests {
    static let shape = ScheduleShape.pixart(blocks: 4, steps: 6)

    static func search(
        _ preset: SearchSettings.Preset = .standard, population: Int = 12, seed: UInt64 = 1
    ) throws
        -> Search
    {
        var generator = RandomGenerator(seed: seed)
        let seeds = try seedPopulation(
            names: ["fora", "random"], count: population, shape: shape, using: &generator)
        return try Search(
            settings: SearchSettings(preset: preset, populationSize: population), shape: shape, seeds: seeds, seed: seed
        )
    }

    /// A toy caching problem: cost is the share of recomputation, and reuse hurts more the longer it lasts.
    static func evaluate(_ offspring: Offspring) -> Outcome {
        let genome = offspring.genome
        var loss = 0.0
        for gene in 0..<shape.genesPerStep {
            var age = 0.0
            for step in 1..<shape.stepCount {
                age = genome[step * shape.genesPerStep + gene] ? 0 : age + 1
                loss += age * Double(1 + gene % 4)
            }
        }
        return Outcome(id: offspring.id, objectives: [loss, Double(genome.recomputeCount)])
    }

    static func run(_ search: inout Search, generations: Int, order: ([Outcome]) -> [[Outcome]] = { [$0] }) throws {
        for _ in 0..<generations {
            for part in order(search.ask().map(evaluate)) { try search.tell(part) }
        }
    }

    @Test func seedsAreTheFirstGeneration() throws {
        var search = try Self.search()
        let first = search.ask()
        #expect(first.count == 12)
        #expect(first.map(\.id) == Array(0..<12))
        #expect(first.allSatisfy { $0.generation == 0 && $0.operation == .seed && $0.parents.isEmpty })
        #expect(first[0].origin == "fora-2")
        #expect(search.ask() == first)
        #expect(search.population.isEmpty)
    }

    @Test func offspringRecordParentsAndOperation() throws {
        var search = try Self.search()
        try Self.run(&search, generations: 1)
        let parents = Set(search.population.map(\.id))
        let offspring = search.ask()
        #expect(offspring.map(\.id) == Array(12..<24))
        #expect(
            offspring.allSatisfy { $0.generation == 1 && parents.isSuperset(of: $0.parents) && !$0.parents.isEmpty })
        #expect(offspring.allSatisfy { $0.origin == $0.operation.rawValue })
        #expect(offspring.contains { $0.operation == .crossoverAndMutation && $0.origin == "crossover+mutation" })
    }

    @Test(arguments: SearchSettings.Preset.allCases)
    func hypervolumeGrowsBeyondTheSeeds(preset: SearchSettings.Preset) throws {
        var search = try Self.search(preset, population: 24)
        let reference = [400.0, 72.0]
        func area() -> Double { Pareto.hypervolume(of: search.front.map(\.objectives), reference: reference) }
        try Self.run(&search, generations: 1)
        let start = area()
        var last = start
        for _ in 0..<25 {
            try Self.run(&search, generations: 1)
            #expect(area() >= last)
            last = area()
            #expect(search.population.count == 24)
        }
        #expect(last > start * 1.05)
        #expect(search.finishedGenerations == 26 && search.generation == 25)
    }

    @Test func frontIsNonDominatedAmongAllResults() throws {
        var search = try Self.search()
        var told: [Int: [Double]] = [:]
        for _ in 0..<10 {
            let outcomes = search.ask().map(Self.evaluate)
            for outcome in outcomes { told[outcome.id] = outcome.objectives }
            try search.tell(outcomes)
            let ids = told.keys.sorted()
            let expected = Pareto.front(of: ids.compactMap { told[$0] }).map { ids[$0] }
            #expect(search.front.map(\.id) == expected)
        }
    }

    @Test func orderAndBatchesOfResultsDoNotMatter() throws {
        var together = try Self.search()
        try Self.run(&together, generations: 6)
        var apart = try Self.search()
        var generator = RandomGenerator(seed: 99)
        try Self.run(&apart, generations: 6) { outcomes in
            var shuffled = outcomes
            generator.shuffle(&shuffled)
            return shuffled.map { [$0] }
        }
        #expect(apart.population == together.population)
        #expect(apart.front == together.front)
        #expect(apart.ask() == together.ask())
    }

    @Test func runsDependOnlyOnTheSeed() throws {
        var (first, second, third) = (try Self.search(), try Self.search(), try Self.search(seed: 2))
        try Self.run(&first, generations: 5)
        try Self.run(&second, generations: 5)
        try Self.run(&third, generations: 5)
        #expect(first.population == second.population)
        #expect(first.population != third.population)
    }

    @Test func searchRestoredWithinAGenerationProceedsAsTheOriginal() throws {
        var search = try Self.search()
        try Self.run(&search, generations: 3)
        let outcomes = search.ask().map(Self.evaluate)
        try search.tell(Array(outcomes[..<5]))
        var restored = try Search(decoding: search.encoded(), shape: Self.shape)
        #expect(restored.encoded() == search.encoded())
        for var copy in [search, restored] {
            #expect(copy.ask().map(\.id) == outcomes[5...].map(\.id))
        }
        try search.tell(Array(outcomes[5...]))
        try restored.tell(Array(outcomes[5...]))
        try Self.run(&search, generations: 3)
        try Self.run(&restored, generations: 3)
        #expect(restored.population == search.population)
        #expect(restored.front == search.front)
    }

    @Test func resultsThatAreNotFiniteAreDiscarded() throws {
        var search = try Self.search()
        let offspring = search.ask()
        let bad: [Int: [Double]] = [3: [.nan, 1], 4: [1, .infinity], 5: [-.infinity, -.infinity]]
        let outcomes = offspring.map { individual in
            bad[individual.id].map { Outcome(id: individual.id, objectives: $0) } ?? Self.evaluate(individual)
        }
        let discarded = try search.tell(outcomes)
        #expect(discarded == [3, 4, 5])
        #expect(search.finishedGenerations == 1)
        #expect(search.population.count == 9)
        #expect(!search.population.contains { bad[$0.id] != nil } && !search.front.contains { bad[$0.id] != nil })
    }

    @Test func discardingTheLastPendingOffspringEndsTheGeneration() throws {
        var search = try Self.search()
        let offspring = search.ask()
        try search.tell(offspring[2...].map(Self.evaluate))
        #expect(search.finishedGenerations == 0)
        try search.discard([0, 1])
        #expect(search.finishedGenerations == 1 && search.population.count == 10)
        #expect(throws: EvolutionError.unknownOffspring(id: 0)) { try search.discard([0]) }
        // If a whole generation fails, the population is unchanged.
        let before = Set(search.population.map(\.id))
        let ids = search.ask().map(\.id)
        try search.discard(ids)
        #expect(Set(search.population.map(\.id)) == before && search.finishedGenerations == 2)
    }

    @Test func invalidResultsLeaveTheSearchUnchanged() throws {
        var search = try Self.search()
        let offspring = search.ask()
        let good = Self.evaluate(offspring[0])
        #expect(throws: EvolutionError.unknownOffspring(id: 77)) {
            try search.tell([good, Outcome(id: 77, objectives: [1, 2])])
        }
        #expect(throws: EvolutionError.unknownOffspring(id: 0)) { try search.tell([good, good]) }
        #expect(throws: EvolutionError.objectiveCount(id: 1, expected: 2, found: 3)) {
            try search.tell([good, Outcome(id: 1, objectives: [1, 2, 3])])
        }
        #expect(throws: EvolutionError.self) { try search.tell([Outcome(id: 1, objectives: [])]) }
        #expect(search.pending.count == 12)
        try search.tell([good])
        #expect(throws: EvolutionError.unknownOffspring(id: 0)) { try search.tell([good]) }
    }

    @Test func uncachedScheduleIsInfeasibleAndDoesNotSurvive() throws {
        let uncached = Seed(genome: Genome(repeating: true, count: Self.shape.geneCount), origin: "default")
        var generator = RandomGenerator(seed: 4)
        let others = try seedPopulation(names: ["random"], count: 12, shape: Self.shape, using: &generator)
        var search = try Search(
            settings: SearchSettings(preset: .ecadPaper, populationSize: 12), shape: Self.shape,
            seeds: [uncached] + others, seed: 1)
        try Self.run(&search, generations: 1)
        // The first survival only ranks: all 13 remain, the infeasible one last and not on the front.
        #expect(search.population.count == 13)
        #expect(search.population.last?.id == 0 && search.population.last?.violation == 1)
        #expect(!search.front.contains { $0.id == 0 })
        try Self.run(&search, generations: 1)
        #expect(search.population.count == 12 && !search.population.contains { $0.id == 0 })
    }

    @Test func seedsWithEqualCanonicalFormAreDuplicates() throws {
        var genome = try Heuristic.fora(interval: 2).schedule(for: Self.shape).genome
        let seed = Seed(genome: genome, origin: "fora-2")
        genome[0] = false
        let twin = Seed(genome: genome, origin: "twin")
        func count(_ preset: SearchSettings.Preset) throws -> Int {
            try Search(settings: SearchSettings(preset: preset), shape: Self.shape, seeds: [seed, twin, seed], seed: 0)
                .pending.count
        }
        #expect(try count(.standard) == 1)
        #expect(try count(.ecadPaper) == 2)
    }

    @Test func exhaustedSearchSpaceYieldsNoOffspring() throws {
        let shape = ScheduleShape.pixart(blocks: 1, steps: 2)
        var generator = RandomGenerator(seed: 0)
        let seeds = try seedPopulation(names: ["default", "random"], count: 8, shape: shape, using: &generator)
        var search = try Search(settings: SearchSettings(populationSize: 8), shape: shape, seeds: seeds, seed: 0)
        try search.tell(search.ask().map { Outcome(id: $0.id, objectives: [Double($0.id), Double(-$0.id)]) })
        #expect(search.ask().isEmpty)
        #expect(search.finishedGenerations == 1)
    }

    @Test func invalidSettingsAndSeedsAreRejected() throws {
        let good = Seed(genome: Genome(repeating: true, count: Self.shape.geneCount), origin: "default")
        var settings = SearchSettings()
        #expect(throws: EvolutionError.noSeeds) {
            try Search(settings: settings, shape: Self.shape, seeds: [], seed: 0)
        }
        #expect(throws: EvolutionError.geneCount(origin: "short", expected: 72, found: 2)) {
            try Search(
                settings: settings, shape: Self.shape,
                seeds: [good, Seed(genome: Genome(repeating: true, count: 2), origin: "short")], seed: 0)
        }
        settings.populationSize = 1
        #expect(throws: EvolutionError.setting(name: "population", expected: "2 to 100000", found: "1")) {
            try Search(settings: settings, shape: Self.shape, seeds: [good], seed: 0)
        }
        settings = SearchSettings()
        settings.mutationProbability = .nan
        #expect(throws: EvolutionError.self) { try settings.validate() }
    }
}
