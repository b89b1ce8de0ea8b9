import Foundation
import Schedules
import Testing

@testable import Evolution

@Suite struct SearchGuideTests {
    static let shape = SearchTests.shape

    /// Cost, and the logarithm of an error that is close to the sum of the measured ones.
    static func evaluate(_ offspring: Offspring, _ basis: SearchBasis) -> Outcome {
        let genome = offspring.genome
        let error = ErrorModelTests.error(genome, basis.errors)
        let logError = 1.1 * log(max(error, 1e-3)) + 0.05 * sin(Double(genome.recomputeCount))
        return Outcome(
            id: offspring.id, objectives: [basis.cost.total(of: genome, shape: shape), logError - 10],
            logError: logError)
    }

    static func search(seed: UInt64 = 1, population: Int = 12) throws -> (Search, SearchBasis) {
        let basis = try ChainSolverTests.basis(shape, storage: false)
        let search = try Search(
            settings: SearchSettings(populationSize: population), shape: shape, seeds: basis.seeds(population),
            seed: seed, guide: SearchGuide(basis))
        return (search, basis)
    }

    private func hypervolume(_ search: Search) -> Double {
        Pareto.hypervolume(of: search.front.map(\.objectives), reference: [1.1, 0])
    }

    // MARK: - Search

    @Test func guidedSearchBeatsNSGA2() throws {
        var (search, basis) = try Self.search()
        var generator = RandomGenerator(seed: 1)
        let seeds = try seedPopulation(names: ["fora", "random"], count: 12, shape: Self.shape, using: &generator)
        var other = try Search(
            settings: SearchSettings(preset: .nsga2, populationSize: 12), shape: Self.shape, seeds: seeds, seed: 1)
        var solved = 0
        for generation in 0..<6 {
            let offspring = search.ask()
            #expect(offspring.count == 12 && Set(offspring.map(\.genome)).count == 12)
            solved += offspring.count { $0.operation == .solved }
            if generation == 0 { #expect(offspring.allSatisfy { $0.origin == "calibrated" }) }
            try search.tell(offspring.map { Self.evaluate($0, basis) })
            try other.tell(other.ask().map { Self.evaluate($0, basis) })
        }
        #expect(solved > 0)
        #expect(hypervolume(search) > hypervolume(other))
        let guide = try #require(search.guide)
        #expect(guide.archive.count == 72 && guide.model.residual < 0.3)
        // Nothing is evaluated twice.
        #expect(Set(guide.archive.map(\.individual.offspring.genome)).count == 72)
    }

    @Test func outcomesWithoutErrorsAreNotLearned() throws {
        var (search, basis) = try Self.search()
        for _ in 0..<2 {
            try search.tell(
                search.ask().map { Outcome(id: $0.id, objectives: Self.evaluate($0, basis).objectives) })
        }
        #expect(search.guide?.archive.isEmpty == true && search.ask().count == 12)
    }

    @Test func archiveKeepsTheNearestToTheFront() throws {
        let (search, basis) = try Self.search()
        var generator = RandomGenerator(seed: 2)
        let genomes = try seedPopulation(
            names: ["random"], count: SearchGuide.archiveLimit + 50, shape: Self.shape, using: &generator
        ).map(\.genome)
        var guide = try #require(search.guide)
        for (id, genome) in genomes.enumerated() {
            let offspring = Offspring(
                id: id, generation: 0, genome: genome, parents: [], operation: .seed, origin: "random")
            let outcome = Self.evaluate(offspring, basis)
            guide.record(
                Individual(offspring: offspring, objectives: outcome.objectives, violation: 0),
                logError: outcome.logError)
        }
        let individuals = guide.archive.map(\.individual)
        let front = Pareto.front(of: individuals.map(\.objectives)).map { individuals[$0] }
        let weights = guide.fit(front: front)
        #expect(weights.count == SearchGuide.archiveLimit && weights.allSatisfy { $0 > 0 && $0 <= 1 })
        #expect(guide.archive.count == SearchGuide.archiveLimit)
        let kept = Set(guide.archive.map(\.individual.id))
        #expect(front.allSatisfy { kept.contains($0.id) })
    }

    // MARK: - Predictions

    @Test func everyProposalIsPredictedBeforeItIsEvaluated() throws {
        var (search, basis) = try Self.search()
        var (losses, residuals): ([Double], [Double]) = ([], [])
        for generation in 0..<5 {
            let offspring = search.ask()
            let predictions = search.predictions
            #expect(Set(predictions.keys) == Set(offspring.map(\.id)))
            let outcomes = offspring.map { Self.evaluate($0, basis) }
            if generation == 0 {
                // The order is known, the scale is not.
                #expect(predictions.values.allSatisfy { $0.loss == nil && $0.deviation == nil })
                let pairs = zip(offspring, outcomes).map { (predictions[$0.id]?.logError ?? .nan, $1.logError ?? .nan) }
                let errors = pairs.sorted { $0.0 < $1.0 }.map(\.1)
                #expect(zip(errors, errors.dropFirst()).count { $0 > $1 } <= 2, "\(errors)")
            } else {
                for (child, outcome) in zip(offspring, outcomes) {
                    let prediction = try #require(predictions[child.id])
                    let (loss, deviation) = (try #require(prediction.loss), try #require(prediction.deviation))
                    #expect(deviation > 0 && deviation.isFinite)
                    losses.append(outcome.objectives[1])
                    residuals.append(outcome.objectives[1] - loss)
                }
            }
            try search.tell(outcomes)
        }
        let mean = losses.reduce(0, +) / Double(losses.count)
        let variance = losses.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        let unexplained = residuals.reduce(0) { $0 + $1 * $1 }
        #expect(unexplained < 0.1 * variance, "\(unexplained) of \(variance) are not explained")
    }

    @Test func restoredSearchPredictsAsTheOriginal() throws {
        var (search, basis) = try Self.search()
        for _ in 0..<2 { try search.tell(search.ask().map { Self.evaluate($0, basis) }) }
        var restored = try Search(decoding: search.encoded(), shape: Self.shape, basis: basis)
        #expect(restored.ask() == search.ask())
        #expect(restored.predictions == search.predictions && search.predictions.count == 12)
    }

    @Test func uncachedScheduleHasNoPrediction() throws {
        let (start, basis) = try Self.search()
        let uncached = Seed(genome: Genome(repeating: true, count: Self.shape.geneCount), origin: "default")
        let search = try Search(
            settings: start.settings, shape: Self.shape, seeds: [uncached] + basis.seeds(3), seed: 1,
            guide: SearchGuide(basis))
        #expect(search.predictions[0] == nil && search.predictions.count == 3)
    }

    // MARK: - Saved state

    @Test(arguments: SearchSettings.Mode.allCases)
    func restoredGuideProceedsAsTheOriginal(_ mode: SearchSettings.Mode) throws {
        let (start, basis) = try Self.search()
        var settings = start.settings
        settings.mode = mode
        var search = try Search(
            settings: settings, shape: Self.shape, seeds: basis.seeds(12), seed: 4, guide: SearchGuide(basis))
        for _ in 0..<3 { try search.tell(search.ask().map { Self.evaluate($0, basis) }) }
        let offspring = search.ask()
        try search.tell(offspring[..<5].map { Self.evaluate($0, basis) })
        let table = try JSONDecoder().decode(ReuseErrors.self, from: JSONEncoder().encode(basis.errors))
        #expect(table == basis.errors)
        let again = SearchBasis(errors: table, cost: basis.cost, reference: basis.reference)
        var restored = try Search(decoding: search.encoded(), shape: Self.shape, basis: again)
        #expect(restored.encoded() == search.encoded() && restored.guide == search.guide)
        for _ in 0..<3 {
            try search.tell(search.ask().map { Self.evaluate($0, basis) })
            try restored.tell(restored.ask().map { Self.evaluate($0, basis) })
            #expect(restored.encoded() == search.encoded())
        }
    }

    @Test func guidedStatesNeedTheirBasis() throws {
        var (search, basis) = try Self.search()
        try search.tell(search.ask().map { Self.evaluate($0, basis) })
        let bytes = search.encoded()
        #expect(throws: EvolutionError.self) { try Search(decoding: bytes, shape: Self.shape) }
        let other = try ChainSolverTests.basis(.pixart(blocks: 4, steps: 7))
        #expect(throws: EvolutionError.self) { try Search(decoding: bytes, shape: Self.shape, basis: other) }
        for count in stride(from: 0, to: bytes.count, by: 7) {
            #expect(throws: EvolutionError.self) {
                try Search(decoding: Array(bytes[..<count]), shape: Self.shape, basis: basis)
            }
        }
    }

    @Test func damagedGuidesNeverTrap() throws {
        var (search, basis) = try Self.search()
        try search.tell(search.ask().map { Self.evaluate($0, basis) })
        let bytes = search.encoded()
        var generator = RandomGenerator(seed: 8)
        for round in 0..<500 {
            var damaged = bytes
            for _ in 0..<(1 + generator.integer(below: 3)) {
                damaged[generator.integer(below: bytes.count)] = UInt8(generator.integer(below: 256))
            }
            guard var search = try? Search(decoding: damaged, shape: Self.shape, basis: basis) else { continue }
            if round % 20 == 0 && search.settings.populationSize < 50 && search.settings.screening < 100 {
                _ = search.ask()
            }
        }
    }

    // MARK: - Seeds

    @Test func seedsAreSpreadAtEveryPrefix() throws {
        #expect(SearchBasis.spreadOrder(0) == [] && SearchBasis.spreadOrder(1) == [0])
        for count in 2..<40 {
            let order = SearchBasis.spreadOrder(count)
            #expect(order.sorted() == Array(0..<count) && order[..<2] == [count - 1, 0])
        }
        #expect(SearchBasis.spreadOrder(9) == [8, 0, 4, 6, 2, 7, 5, 3, 1])
    }

    @Test func lastSixthOfTheSeedsReusesWholeSteps() throws {
        let seeds = try ChainSolverTests.basis(Self.shape).seeds(24)
        #expect(seeds.count == 24 && Set(seeds.map(\.genome)).count == 24)
        // Of six steps, two and three are computed, whole.
        for (seed, computed) in zip(seeds.suffix(2), [2, 3]) {
            let counts = (0..<Self.shape.stepCount).map { step in
                (0..<Self.shape.genesPerStep).count { seed.genome[step * Self.shape.genesPerStep + $0] }
            }
            #expect(counts.count { $0 == Self.shape.genesPerStep } == computed && Set(counts).count == 2, "\(counts)")
        }
    }

    @Test func otherSeedsAreTheBestOfTheSolverByTheErrorModel() throws {
        let basis = try ChainSolverTests.basis(Self.shape)
        let seeds = basis.seeds(24).map(\.genome)
        let model = ErrorModel(basis.errors)
        let solved = SolvedSchedules(shape: Self.shape, values: basis.errors.values, cost: basis.cost).all
        for seed in seeds.dropLast(2) {
            let (cost, error) = (basis.cost.total(of: seed, shape: Self.shape), model.logError(of: seed))
            let better = solved.filter {
                basis.cost.total(of: $0, shape: Self.shape) <= cost && model.logError(of: $0) < error
            }
            #expect(better.allSatisfy(seeds.contains))
        }
    }

    @Test func calibratedSeedsWorkWithEveryPreset() throws {
        let basis = try ChainSolverTests.basis(Self.shape)
        for preset in SearchSettings.Preset.allCases {
            var generator = RandomGenerator(seed: 1)
            let seeds = try seedPopulation(
                names: ["calibrated", "random"], count: 12, shape: Self.shape, basis: basis, using: &generator)
            #expect(seeds.count == 12 && seeds.count { $0.origin == "calibrated" } == 6)
            var search = try Search(
                settings: SearchSettings(preset: preset, populationSize: 12), shape: Self.shape, seeds: seeds, seed: 1)
            try search.tell(search.ask().map { Self.evaluate($0, basis) })
            #expect(search.ask().count == 12)
        }
        var generator = RandomGenerator(seed: 1)
        #expect(throws: EvolutionError.self) {
            try seedPopulation(names: ["calibrated"], count: 4, shape: Self.shape, using: &generator)
        }
    }

    // MARK: - Planner

    /// A score that is clipped cannot become better; schedules that cost more than the cheapest of the best would be spent in vain.
    @Test func nothingIsProposedWhereTheScoreIsAtItsLimit() throws {
        var (search, basis) = try Self.search()
        for _ in 0..<2 {
            try search.tell(
                search.ask().map { offspring in
                    let outcome = Self.evaluate(offspring, basis)
                    // No function of the error, except at the limit.
                    let loss = outcome.objectives[1] + 0.3 * cos(5 * Double(offspring.genome.recomputeCount))
                    return Outcome(
                        id: outcome.id, objectives: [outcome.objectives[0], max(-10, loss)], logError: outcome.logError)
                })
        }
        var guide = try #require(search.guide)
        let best = try #require(search.front.filter { $0.objectives[1] == -10 }.map { $0.objectives[0] }.min())
        let planner = guide.planner(weights: guide.fit(front: search.front))
        var generator = RandomGenerator(seed: 1)
        let proposals = planner.proposals(
            100, front: search.front, avoiding: [], settings: search.settings, using: &generator)
        #expect(!proposals.isEmpty)
        #expect(proposals.allSatisfy { basis.cost.total(of: $0.child.genome, shape: Self.shape) < best })
    }

    @Test func expectedGainIsTheGrowthOfTheHypervolume() {
        var generator = RandomGenerator(seed: 3)
        let reference = FrontPlanner.Point(cost: 1.1, loss: 0)
        for _ in 0..<50 {
            let points = (0..<6).map { _ in
                FrontPlanner.Point(cost: generator.unit() * 1.2, loss: -30 * generator.unit())
            }
            let least = points.map(\.loss).min() ?? 0
            let staircase = Staircase(points, reference)
            let bounded = Staircase(points, reference, least: least)
            let candidate = FrontPlanner.Point(cost: generator.unit(), loss: -30 * generator.unit())
            func hypervolume(_ points: [FrontPlanner.Point]) -> Double {
                Pareto.hypervolume(of: points.map { [$0.cost, $0.loss] }, reference: [1.1, 0])
            }
            let gain = hypervolume(points + [candidate]) - hypervolume(points)
            #expect(abs(staircase.expectedGain(candidate, deviation: 0) - gain) < 1e-9)
            // With uncertainty: the mean over a fine grid of losses.
            let deviation = 2.0
            var (sum, boundedSum, weights) = (0.0, 0.0, 0.0)
            for z in stride(from: -6.0, through: 6, by: 0.01) {
                var shifted = FrontPlanner.Point(cost: candidate.cost, loss: candidate.loss + z * deviation)
                let weight = exp(-z * z / 2)
                sum += weight * staircase.expectedGain(shifted, deviation: 0)
                shifted = FrontPlanner.Point(cost: shifted.cost, loss: max(least, shifted.loss))
                boundedSum += weight * staircase.expectedGain(shifted, deviation: 0)
                weights += weight
            }
            #expect(abs(staircase.expectedGain(candidate, deviation: deviation) - sum / weights) < 1e-3)
            #expect(abs(bounded.expectedGain(candidate, deviation: deviation) - boundedSum / weights) < 1e-3)
        }
    }
}
