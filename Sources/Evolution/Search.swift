import Schedules

/// A multi-objective search for caching schedules that is asked for genomes and told their objectives.
///
/// NSGA-II with a barrier between generations: ``ask()`` gives the offspring of a generation, ``tell(_:)`` takes
/// their results one by one or together, and when the last is settled the best of parents and offspring survive.
/// What it does depends on the seed of its generator and the results, never on their order.
///
/// In steady state there is no barrier: ``breed(_:)`` gives as many offspring as are wanted at any time, and each
/// result enters the population at once, where it takes the place of the worst. What the search does then depends on
/// the order of the results too.
///
/// The search is a value with all of its state, the random generator included: a saved and restored copy goes on as
/// the original would.
///
/// ```swift
/// var search = try Search(settings: SearchSettings(), shape: shape, seeds: seeds, seed: 0)
/// for _ in 0..<generations {
///     try search.tell(search.ask().map { Outcome(id: $0.id, objectives: evaluate($0.genome)) })
/// }
/// ```
public struct Search: Sendable {
    /// The parameters.
    public private(set) var settings: SearchSettings
    /// The schedules searched.
    public let shape: ScheduleShape
    /// The survivors of the last finished generation, best fronts first.
    public private(set) var population: [Individual] = []
    /// The non-dominated feasible individuals of everything told, in the order of birth.
    public private(set) var front: [Individual] = []
    /// Number of the generation bred last; 0 while the seeds are evaluated.
    ///
    /// In steady state as many offspring as the population has members are a generation.
    public private(set) var generation = 0
    /// Offspring without a result, in the order of birth.
    public private(set) var pending: [Offspring]
    /// Evaluated offspring of the current generation that wait for the others.
    private(set) var arrived: [Individual] = []
    private(set) var generator: RandomGenerator
    private(set) var nextID: Int
    /// Generations settled so far, where a barrier ends them.
    private(set) var barrierGenerations = 0
    private(set) var epoch: Epoch
    /// What the results told so far say of single genes; unused without screening.
    private(set) var effects: GeneEffects

    /// Where steady state began: generations are counted from there.
    struct Epoch: Hashable, Sendable {
        /// The generation of the last offspring before.
        var generation: Int
        /// The number of offspring before.
        var births: Int
    }

    /// Number of generations whose offspring are all bred and settled.
    public var finishedGenerations: Int {
        guard settings.mode == .steadyState else { return barrierGenerations }
        let isWhole = (nextID - epoch.births) % settings.populationSize == 0
        let bred = isWhole ? generation + 1 : generation
        return min(bred, pending.map(\.generation).min() ?? bred)
    }

    /// In steady state, the generation that the next offspring belongs to, and how many more belong to it.
    public var nextGeneration: (number: Int, room: Int) {
        let (count, rest) = (nextID - epoch.births).quotientAndRemainder(dividingBy: settings.populationSize)
        return (epoch.generation + 1 + count, settings.populationSize - rest)
    }

    init(
        settings: SearchSettings, shape: ScheduleShape, population: [Individual], front: [Individual],
        generation: Int, barrierGenerations: Int, pending: [Offspring], arrived: [Individual],
        generator: RandomGenerator, nextID: Int, epoch: Epoch, effects: GeneEffects
    ) {
        self.settings = settings
        self.shape = shape
        self.population = population
        self.front = front
        self.generation = generation
        self.barrierGenerations = barrierGenerations
        self.pending = pending
        self.arrived = arrived
        self.generator = generator
        self.nextID = nextID
        self.epoch = epoch
        self.effects = effects
    }

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
        epoch = Epoch(generation: 0, births: offspring.count)
        effects = GeneEffects()
        generator = RandomGenerator(seed: seed)
    }

    /// Goes on under other settings from the end of a generation; offspring that still wait for a result are given up.
    ///
    /// - Parameters:
    ///   - settings: The parameters from now on.
    ///   - seed: Seed of the random generator from now on; nil to leave it as it is.
    /// - Throws: ``EvolutionError`` when a setting is out of range.
    public mutating func change(to settings: SearchSettings, seed: UInt64?) throws(EvolutionError) {
        try settings.validate()
        let finished = finishedGenerations
        self.settings = settings
        if let seed { generator = RandomGenerator(seed: seed) }
        pending = []
        generation = max(0, finished - 1)
        barrierGenerations = finished
        epoch = Epoch(generation: generation, births: nextID)
    }

    /// Gives the offspring that wait for a result, breeding a new generation when none does.
    ///
    /// Asking again before the results are told gives the remaining ones again.
    ///
    /// - Returns: The offspring in order of birth; empty when no new genome can be bred from the population, at the
    ///   latest when every schedule is in it.
    public mutating func ask() -> [Offspring] {
        guard pending.isEmpty, !population.isEmpty else { return pending }
        return breed(settings.populationSize)
    }

    /// Breeds offspring from the population as it is, whoever still waits for a result.
    ///
    /// With a barrier between generations this is what ``ask()`` does; it is for steady state that it is public.
    ///
    /// - Parameter count: Number of offspring wanted.
    /// - Returns: The new offspring in order of birth: fewer where no more new genomes can be bred, none before the
    ///   first result.
    public mutating func breed(_ count: Int) -> [Offspring] {
        guard !population.isEmpty, count > 0 else { return [] }
        let bred = Mating(settings: settings, shape: shape).breed(
            from: population, avoiding: pending.map(\.genome), count: count * settings.screening, using: &generator)
        let children = settings.screening > 1 ? screened(bred, count) : bred
        guard !children.isEmpty else { return [] }
        let isSteady = settings.mode == .steadyState
        if !isSteady { generation += 1 }
        let born = children.map { child in
            if isSteady {
                generation = epoch.generation + 1 + (nextID - epoch.births) / settings.populationSize
            }
            defer { nextID += 1 }
            return Offspring(
                id: nextID, generation: generation, genome: child.genome, parents: child.parents,
                operation: child.operation, origin: child.operation.rawValue)
        }
        pending += born
        return born
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
        if settings.mode == .steadyState {
            for individual in arrived {
                learn(population + [individual])
                let everyone = population + [individual]
                population = Survival.select(
                    everyone, count: min(everyone.count, settings.populationSize), using: &generator)
            }
            arrived = []
            return
        }
        guard pending.isEmpty else { return }
        // The first survival only ranks.
        let size = barrierGenerations == 0 ? arrived.count : settings.populationSize
        let everyone = population + arrived.sorted { $0.id < $1.id }
        learn(everyone)
        population = Survival.select(everyone, count: size, using: &generator)
        arrived = []
        barrierGenerations += 1
    }

    /// The most promising children, none of which is too close to the uncached schedule.
    private func screened(_ children: [Mating.Child], _ count: Int) -> [Mating.Child] {
        let feasible = children.filter { shape.geneCount - $0.genome.recomputeCount >= settings.minimumDifference }
        return Screening(effects: effects, population: population).best(count, of: feasible)
    }

    private mutating func learn(_ individuals: [Individual]) {
        if settings.screening > 1 { effects.learn(individuals) }
    }
}
