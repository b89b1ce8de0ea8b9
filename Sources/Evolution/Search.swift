import Schedules

/// Multi-objective search for caching schedules with an ask/tell interface.
///
/// In generational mode this is NSGA-II: ``ask()`` returns the offspring of a generation, ``tell(_:)`` accepts their
/// results in any order and any number of batches, and after the last one survival selects from parents and offspring.
/// The outcome depends on the seed and the results, not on their order.
///
/// In steady-state mode ``breed(_:)`` returns any number of offspring at any time, and each result enters the
/// population immediately and displaces the worst individual. The outcome then also depends on the order of the
/// results.
///
/// The search is a value that includes its random generator: a saved and restored copy proceeds exactly as the
/// original would.
///
/// ```swift
/// var search = try Search(settings: SearchSettings(), shape: shape, seeds: seeds, seed: 0)
/// for _ in 0..<generations {
///     try search.tell(search.ask().map { Outcome(id: $0.id, objectives: evaluate($0.genome)) })
/// }
/// ```
public struct Search: Sendable {
    /// Parameters of the search.
    public private(set) var settings: SearchSettings
    /// Shape of the schedules searched.
    public let shape: ScheduleShape
    /// The individuals that survived the last selection, best front first.
    public private(set) var population: [Individual] = []
    /// Non-dominated feasible individuals among all results so far, ordered by identifier.
    public private(set) var front: [Individual] = []
    /// Index of the generation bred last; 0 for the seeds.
    ///
    /// In steady state, ``SearchSettings/populationSize`` offspring count as a generation.
    public private(set) var generation = 0
    /// Offspring without a result, ordered by identifier.
    public private(set) var pending: [Offspring]
    /// Evaluated offspring of the current generation, until it is complete.
    private(set) var evaluated: [Individual] = []
    private(set) var generator: RandomGenerator
    private(set) var nextID: Int
    /// Completed generations in generational mode.
    private(set) var barrierGenerations = 0
    private(set) var epoch: Epoch
    /// Fitted to the results if screening is enabled.
    private(set) var surrogate: LinearSurrogate
    /// Proposes schedules from measured reuse errors; nil for a search by genetic operators alone.
    private(set) var guide: SearchGuide?
    /// What the error model predicts of the offspring bred last, by identifier; empty without a guide.
    ///
    /// Not part of the saved state: a prediction is the caller's to keep once the offspring are bred.
    public private(set) var predictions: [Int: Prediction] = [:]

    /// The point from which steady state counts generations.
    struct Epoch: Hashable, Sendable {
        /// Generation of the last offspring before it.
        var generation: Int
        /// Number of offspring before it.
        var offspringCount: Int
    }

    /// Number of generations whose offspring have all been bred and evaluated or discarded.
    public var finishedGenerations: Int {
        guard settings.mode == .steadyState else { return barrierGenerations }
        let isWhole = (nextID - epoch.offspringCount) % settings.populationSize == 0
        let bred = isWhole ? generation + 1 : generation
        return min(bred, pending.map(\.generation).min() ?? bred)
    }

    /// In steady state, the generation of the next offspring and how many more offspring it includes.
    public var nextGeneration: (number: Int, room: Int) {
        let (count, rest) = (nextID - epoch.offspringCount).quotientAndRemainder(dividingBy: settings.populationSize)
        return (epoch.generation + 1 + count, settings.populationSize - rest)
    }

    init(
        settings: SearchSettings, shape: ScheduleShape, population: [Individual], front: [Individual],
        generation: Int, barrierGenerations: Int, pending: [Offspring], evaluated: [Individual],
        generator: RandomGenerator, nextID: Int, epoch: Epoch, surrogate: LinearSurrogate, guide: SearchGuide? = nil
    ) {
        self.guide = guide
        self.settings = settings
        self.shape = shape
        self.population = population
        self.front = front
        self.generation = generation
        self.barrierGenerations = barrierGenerations
        self.pending = pending
        self.evaluated = evaluated
        self.generator = generator
        self.nextID = nextID
        self.epoch = epoch
        self.surrogate = surrogate
    }

    /// Starts a search from an initial population, with duplicates removed.
    ///
    /// The initial population may have any size; the next survival cuts it to the population size.
    ///
    /// - Parameters:
    ///   - settings: Parameters of the search.
    ///   - shape: Shape of the schedules searched.
    ///   - seeds: The initial population.
    ///   - seed: Seed of the random generator.
    ///   - guide: Proposes schedules from measured reuse errors.
    /// - Throws: ``EvolutionError`` if a setting is out of range, there are no seeds or one does not fit the shape.
    public init(
        settings: SearchSettings, shape: ScheduleShape, seeds: [Seed], seed: UInt64, guide: SearchGuide? = nil
    ) throws(EvolutionError) {
        self.guide = guide
        try settings.validate()
        guard !seeds.isEmpty else { throw .noSeeds }
        var seen: Set<Genome> = []
        var offspring: [Offspring] = []
        for seed in seeds {
            guard seed.genome.geneCount == shape.geneCount else {
                throw .geneCount(origin: seed.origin, expected: shape.geneCount, found: seed.genome.geneCount)
            }
            let genome = settings.usesCanonicalGenomes ? seed.genome.canonical(for: shape) : seed.genome
            guard seen.insert(genome).inserted else { continue }
            offspring.append(
                Offspring(
                    id: offspring.count, generation: 0, genome: genome, parents: [], operation: .seed,
                    origin: seed.origin))
        }
        self.settings = settings
        self.shape = shape
        pending = offspring
        nextID = offspring.count
        epoch = Epoch(generation: 0, offspringCount: offspring.count)
        surrogate = LinearSurrogate()
        generator = RandomGenerator(seed: seed)
        predict(offspring)
    }

    /// Continues with other settings after the last complete generation; discards pending offspring.
    ///
    /// - Parameters:
    ///   - settings: The new parameters.
    ///   - seed: Reseeds the random generator unless nil.
    /// - Throws: ``EvolutionError`` if a setting is out of range.
    public mutating func change(to settings: SearchSettings, seed: UInt64?) throws(EvolutionError) {
        try settings.validate()
        let finished = finishedGenerations
        self.settings = settings
        if let seed { generator = RandomGenerator(seed: seed) }
        pending = []
        generation = max(0, finished - 1)
        barrierGenerations = finished
        epoch = Epoch(generation: generation, offspringCount: nextID)
    }

    /// Returns the pending offspring; breeds a new generation if there are none.
    ///
    /// - Parameter limit: Maximum number of offspring of a new generation, besides the population size.
    /// - Returns: The offspring by identifier; empty if no new genome can be bred from the population.
    public mutating func ask(atMost limit: Int = .max) -> [Offspring] {
        guard pending.isEmpty, !population.isEmpty else { return pending }
        return breed(min(limit, settings.populationSize))
    }

    /// Breeds offspring from the current population, regardless of pending ones; for steady state.
    ///
    /// - Parameter count: Maximum number of offspring.
    /// - Returns: The new offspring by identifier. Fewer than `count` if no more new genomes can be bred; empty before
    ///   the first result.
    public mutating func breed(_ count: Int) -> [Offspring] {
        guard !population.isEmpty, count > 0 else { return [] }
        guard let planner = fittedPlanner() else { return enter(breedChildren(count)) }
        let offspring = enter(propose(count, planner))
        predict(offspring, by: planner)
        return offspring
    }

    /// Fits the error model to all results so far; nil without a guide.
    private mutating func fittedPlanner() -> FrontPlanner? {
        guard let weights = guide?.fit(front: front) else { return nil }
        return guide?.planner(weights: weights)
    }

    /// Schedules of the error model, filled up by offspring.
    private mutating func propose(
        _ count: Int, _ planner: FrontPlanner
    ) -> [(child: Mating.Child, origin: String)] {
        let known = (guide?.archive.map(\.individual) ?? []) + population + front
        let seen = Set(known.map(\.offspring.genome) + pending.map(\.genome))
        let proposals = planner.proposals(
            count, front: front, avoiding: seen, settings: settings, using: &generator)
        let rest = breedChildren(count - proposals.count)
        return proposals.map { ($0.child, $0.origin) } + rest
    }

    /// Replaces ``predictions``; by the model as it is if there is no planner yet.
    private mutating func predict(_ offspring: [Offspring], by planner: FrontPlanner? = nil) {
        guard let planner = planner ?? guide?.planner(weights: []) else { return }
        let all = zip(offspring, planner.predictions(of: offspring.map(\.genome)))
        predictions = Dictionary(
            uniqueKeysWithValues: all.compactMap { child, prediction in
                prediction.map { (child.id, $0) }
            })
    }

    private mutating func breedChildren(_ count: Int) -> [(child: Mating.Child, origin: String)] {
        guard count > 0 else { return [] }
        let bred = Mating(settings: settings, shape: shape).breed(
            from: population, avoiding: pending.map(\.genome), count: count * settings.screening, using: &generator)
        let children = settings.screening > 1 ? screen(bred, count) : bred
        return children.map { ($0, $0.operation.rawValue) }
    }

    /// Gives children their identifiers and generations and makes them pending.
    private mutating func enter(_ children: [(child: Mating.Child, origin: String)]) -> [Offspring] {
        guard !children.isEmpty else { return [] }
        let isSteady = settings.mode == .steadyState
        if !isSteady { generation += 1 }
        let offspring = children.map { child, origin in
            if isSteady {
                generation = epoch.generation + 1 + (nextID - epoch.offspringCount) / settings.populationSize
            }
            defer { nextID += 1 }
            return Offspring(
                id: nextID, generation: generation, genome: child.genome, parents: child.parents,
                operation: child.operation, origin: origin)
        }
        pending += offspring
        return offspring
    }

    /// Reports results of pending offspring; those with an objective that is not finite are discarded.
    ///
    /// - Parameter outcomes: Results in any order.
    /// - Returns: Identifiers of the discarded offspring.
    /// - Throws: ``EvolutionError/unknownOffspring(id:)`` if an offspring is not pending, and
    ///   ``EvolutionError/objectiveCount(id:expected:found:)``. The search is then unchanged.
    @discardableResult
    public mutating func tell(_ outcomes: [Outcome]) throws(EvolutionError) -> [Int] {
        var remaining = Dictionary(uniqueKeysWithValues: pending.map { ($0.id, $0) })
        var previous = evaluated.first ?? front.first ?? population.first
        var individuals: [Individual] = []
        var discarded: [Int] = []
        for outcome in outcomes {
            guard let offspring = remaining.removeValue(forKey: outcome.id) else {
                throw .unknownOffspring(id: outcome.id)
            }
            let expected = previous?.objectives.count ?? max(1, outcome.objectives.count)
            guard outcome.objectives.count == expected else {
                throw .objectiveCount(id: outcome.id, expected: expected, found: outcome.objectives.count)
            }
            guard outcome.objectives.allSatisfy(\.isFinite) else {
                discarded.append(outcome.id)
                continue
            }
            let distance = shape.geneCount - offspring.genome.recomputeCount
            let individual = Individual(
                offspring: offspring, objectives: outcome.objectives,
                violation: max(0, settings.minimumDifference - distance))
            individuals.append(individual)
            previous = individual
            guide?.record(individual, logError: outcome.logError)
        }
        update(with: individuals, pending: pending.filter { remaining[$0.id] != nil })
        return discarded
    }

    /// Discards pending offspring that cannot be evaluated.
    ///
    /// - Throws: ``EvolutionError/unknownOffspring(id:)`` if one is not pending. The search is then unchanged.
    public mutating func discard(_ ids: [Int]) throws(EvolutionError) {
        let pendingIDs = Set(pending.map(\.id))
        if let unknown = ids.first(where: { !pendingIDs.contains($0) }) { throw .unknownOffspring(id: unknown) }
        let discarded = Set(ids)
        update(with: [], pending: pending.filter { !discarded.contains($0.id) })
    }

    private mutating func update(with individuals: [Individual], pending remaining: [Offspring]) {
        guard remaining.count < pending.count else { return }
        pending = remaining
        evaluated += individuals
        let candidates = (front + individuals.filter(\.isFeasible)).sorted { $0.id < $1.id }
        front = Pareto.front(of: candidates.map(\.objectives)).map { candidates[$0] }
        if settings.mode == .steadyState {
            for individual in evaluated {
                let merged = population + [individual]
                fitSurrogate(merged)
                population = Survival.select(
                    merged, count: min(merged.count, settings.populationSize), using: &generator)
            }
            evaluated = []
            return
        }
        guard pending.isEmpty else { return }
        // The first survival only ranks the initial population.
        let size = barrierGenerations == 0 ? evaluated.count : settings.populationSize
        let merged = population + evaluated.sorted { $0.id < $1.id }
        fitSurrogate(merged)
        population = Survival.select(merged, count: size, using: &generator)
        evaluated = []
        barrierGenerations += 1
    }

    /// Selects the feasible children with the best predicted objectives.
    private func screen(_ children: [Mating.Child], _ count: Int) -> [Mating.Child] {
        let feasible = children.filter { shape.geneCount - $0.genome.recomputeCount >= settings.minimumDifference }
        return Screening(surrogate: surrogate, population: population).best(count, of: feasible)
    }

    private mutating func fitSurrogate(_ individuals: [Individual]) {
        if settings.screening > 1 { surrogate.fit(individuals) }
    }
}
