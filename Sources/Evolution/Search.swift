import Schedules

/// A multi-objective search for caching schedules that is asked for genomes and told their objectives.
///
/// NSGA-II with a barrier between generations: ``ask()`` gives the offspring of a generation, ``tell(_:)`` takes
/// their results one by one or together, and when the last is settled the best of parents and offspring survive.
/// The search is a value with all of its state, the random generator included: a saved and restored copy goes on as
/// the original would. What it does depends on the seed of its generator and the results, never on their order.
///
/// ```swift
/// var search = try Search(settings: SearchSettings(), shape: shape, seeds: seeds, seed: 0)
/// for _ in 0..<generations {
///     try search.tell(search.ask().map { Outcome(id: $0.id, objectives: evaluate($0.genome)) })
/// }
/// ```
public struct Search: Codable, Sendable {
    /// The parameters.
    public let settings: SearchSettings
    /// The schedules searched.
    public let shape: ScheduleShape
    /// The survivors of the last finished generation, best fronts first.
    public private(set) var population: [Individual] = []
    /// The non-dominated feasible individuals of everything told, in the order of birth.
    public private(set) var front: [Individual] = []
    /// Number of the generation bred last; 0 while the seeds are evaluated.
    public private(set) var generation = 0
    /// Number of generations whose offspring are all settled.
    public private(set) var finishedGenerations = 0
    /// Offspring of the current generation without a result.
    public private(set) var pending: [Offspring]
    /// Evaluated offspring of the current generation.
    private var arrived: [Individual] = []
    private var generator: RandomGenerator
    private var nextID: Int

    /// Starts a search.
    ///
    /// The first generation are the seeds, duplicates dropped; its size may differ from the population size, to
    /// which the next survival cuts it.
    ///
    /// - Parameters:
    ///   - settings: The parameters.
    ///   - shape: The schedules searched.
    ///   - seeds: Genomes of the first generation.
    ///   - seed: Seed of the random generator.
    /// - Throws: ``EvolutionError`` when a setting is out of range, there are no seeds or one does not fit the shape.
    public init(
        settings: SearchSettings, shape: ScheduleShape, seeds: [Seed], seed: UInt64
    ) throws(EvolutionError) {
        try settings.validate()
        guard !seeds.isEmpty else { throw .noSeeds }
        var known: Set<Genome> = []
        var offspring: [Offspring] = []
        for seed in seeds {
            guard seed.genome.geneCount == shape.geneCount else {
                throw .geneCount(origin: seed.origin, expected: shape.geneCount, found: seed.genome.geneCount)
            }
            let genome = settings.usesCanonicalGenomes ? seed.genome.canonical(for: shape) : seed.genome
            guard known.insert(genome).inserted else { continue }
            offspring.append(
                Offspring(
                    id: offspring.count, generation: 0, genome: genome, parents: [], operation: .seed,
                    origin: seed.origin))
        }
        self.settings = settings
        self.shape = shape
        pending = offspring
        nextID = offspring.count
        generator = RandomGenerator(seed: seed)
    }

    /// Gives the offspring that wait for a result, breeding a new generation when none does.
    ///
    /// Asking again before the results are told gives the remaining ones again.
    ///
    /// - Returns: The offspring in order of birth; empty when no new genome can be bred from the population, at the
    ///   latest when every schedule is in it.
    public mutating func ask() -> [Offspring] {
        guard pending.isEmpty, !population.isEmpty else { return pending }
        let children = Mating(settings: settings, shape: shape).breed(
            from: population, count: settings.populationSize, using: &generator)
        guard !children.isEmpty else { return [] }
        generation += 1
        for child in children {
            pending.append(
                Offspring(
                    id: nextID, generation: generation, genome: child.genome, parents: child.parents,
                    operation: child.operation, origin: child.operation.rawValue))
            nextID += 1
        }
        return pending
    }

    /// Takes results, in any order and any number of parts.
    ///
    /// An offspring whose objectives are not all finite is discarded: it never enters the population.
    ///
    /// - Parameter outcomes: Results of offspring that ``ask()`` gave.
    /// - Returns: Identifiers of the discarded offspring.
    /// - Throws: ``EvolutionError/unknownOffspring(id:)`` for a result nobody waits for, also a second one, and
    ///   ``EvolutionError/objectiveCount(id:expected:found:)``. Nothing is taken then.
    @discardableResult
    public mutating func tell(_ outcomes: [Outcome]) throws(EvolutionError) -> [Int] {
        var waiting = Dictionary(uniqueKeysWithValues: pending.map { ($0.id, $0) })
        var known = arrived.first ?? front.first ?? population.first
        var evaluated: [Individual] = []
        var refused: [Int] = []
        for outcome in outcomes {
            guard let offspring = waiting.removeValue(forKey: outcome.id) else {
                throw .unknownOffspring(id: outcome.id)
            }
            let expected = known?.objectives.count ?? max(1, outcome.objectives.count)
            guard outcome.objectives.count == expected else {
                throw .objectiveCount(id: outcome.id, expected: expected, found: outcome.objectives.count)
            }
            guard outcome.objectives.allSatisfy(\.isFinite) else {
                refused.append(outcome.id)
                continue
            }
            let distance = shape.geneCount - offspring.genome.recomputeCount
            let individual = Individual(
                offspring: offspring, objectives: outcome.objectives,
                violation: max(0, settings.minimumDifference - distance))
            evaluated.append(individual)
            known = individual
        }
        settle(evaluated, stillPending: pending.filter { waiting[$0.id] != nil })
        return refused
    }

    /// Gives up offspring that cannot be evaluated.
    ///
    /// - Throws: ``EvolutionError/unknownOffspring(id:)`` when one has a result or does not exist. Nothing is given
    ///   up then.
    public mutating func discard(_ ids: [Int]) throws(EvolutionError) {
        let waiting = Set(pending.map(\.id))
        if let unknown = ids.first(where: { !waiting.contains($0) }) { throw .unknownOffspring(id: unknown) }
        let discarded = Set(ids)
        settle([], stillPending: pending.filter { !discarded.contains($0.id) })
    }

    private mutating func settle(_ evaluated: [Individual], stillPending: [Offspring]) {
        guard stillPending.count < pending.count else { return }
        pending = stillPending
        arrived += evaluated
        let candidates = (front + evaluated.filter(\.isFeasible)).sorted { $0.id < $1.id }
        front = Pareto.front(of: candidates.map(\.objectives)).map { candidates[$0] }
        guard pending.isEmpty else { return }
        // The first survival only ranks.
        let size = finishedGenerations == 0 ? arrived.count : settings.populationSize
        let everyone = population + arrived.sorted { $0.id < $1.id }
        population = Survival.select(everyone, count: size, using: &generator)
        arrived = []
        finishedGenerations += 1
    }
}
