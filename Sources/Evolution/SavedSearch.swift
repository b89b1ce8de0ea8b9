import FoundationEssentials
import Schedules
import SwiftProtobuf

extension Search {
    /// Encodes the complete state as a protobuf message (`SavedSearch.proto`); equal searches have equal bytes.
    ///
    /// - Parameter number: Returns the number under which ``init(decoding:shape:basis:genome:)`` can look the offspring's
    ///   genome up, or nil to store the genome itself. Numbers are not negative.
    /// - Returns: A few kilobytes if the genomes are stored elsewhere.
    public func encoded(numbering number: (Offspring) -> Int64? = { _ in nil }) -> [UInt8] {
        do {
            return try SavedSearch(self, numbering: number).serializedBytes()
        } catch {
            preconditionFailure("a search of more than 2 GiB")
        }
    }

    /// Restores a search that proceeds exactly as the encoded one would have.
    ///
    /// - Parameters:
    ///   - bytes: Output of ``encoded(numbering:)``, of this or an earlier release. Arbitrary bytes are safe.
    ///   - shape: Shape of the schedules searched.
    ///   - basis: What was measured before the search, if it had a guide.
    ///   - genome: Returns the genome with a given number.
    /// - Throws: ``EvolutionError`` if the bytes are not a valid state for this shape, and errors of `genome`.
    public init(
        decoding bytes: [UInt8], shape: ScheduleShape, basis: SearchBasis? = nil,
        genome: (Int64) throws -> Genome = { _ in
            throw EvolutionError.state(problem: "it refers to genomes stored elsewhere")
        }
    ) throws {
        if bytes.first == LegacySearchReader.version {
            self = try withoutActuallyEscaping(genome) {
                try LegacySearchReader.search(bytes, shape: shape, genome: $0)
            }
            return
        }
        let saved: SavedSearch
        do {
            saved = try SavedSearch(serializedBytes: bytes)
        } catch {
            throw EvolutionError.state(problem: "malformed protobuf message")
        }
        self = try saved.search(shape: shape, basis: basis, genome: genome)
    }

    /// Checks what no encoding can express: identifiers are unique, all objectives and surrogate weights finite.
    func validateRestored() throws(EvolutionError) {
        let ids = pending.map(\.id) + (population + evaluated).map(\.id)
        guard Set(ids).count == ids.count else { throw .state(problem: "an offspring occurs twice") }
        let individuals = population + front + evaluated
        guard
            individuals.allSatisfy({
                $0.objectives.count == individuals[0].objectives.count && $0.objectives.allSatisfy(\.isFinite)
            })
        else { throw .state(problem: "objectives are not finite or differ in number") }
        guard (surrogate.intercepts + surrogate.weights.joined()).allSatisfy(\.isFinite) else {
            throw .state(problem: "a surrogate weight is not finite")
        }
    }
}

// MARK: - Encoding

extension SavedSearch {
    /// A state with a guide has a version of its own, because earlier releases would ignore the guide.
    private static func currentVersion(hasGuide: Bool) -> UInt32 { hasGuide ? 4 : 3 }

    fileprivate init(_ search: Search, numbering number: (Evolution.Offspring) -> Int64?) {
        self.init()
        version = Self.currentVersion(hasGuide: search.guide != nil)
        settings = Settings(search.settings)
        generator = search.generator.state
        generation = UInt64(search.generation)
        barrierGenerations = UInt64(search.barrierGenerations)
        nextID = UInt64(search.nextID)
        epochGeneration = UInt64(search.epoch.generation)
        epochOffspringCount = UInt64(search.epoch.offspringCount)
        var indices: [Int: UInt32] = [:]
        var saved: [Individual] = []
        let archive = search.guide?.archive ?? []
        for individual in search.population + search.front + search.evaluated + archive.map(\.individual)
        where indices[individual.id] == nil {
            indices[individual.id] = UInt32(saved.count)
            saved.append(
                .with {
                    $0.offspring = Offspring(individual.offspring, number: number(individual.offspring))
                    $0.objectives = individual.objectives
                    $0.violation = UInt64(individual.violation)
                })
        }
        individuals = saved
        population = search.population.map { individual in
            .with {
                $0.individual = indices[individual.id] ?? 0
                if let rank = individual.rank { $0.rank = UInt32(rank) }
                if let crowding = individual.crowding { $0.crowding = crowding }
            }
        }
        front = search.front.map { indices[$0.id] ?? 0 }
        evaluated = search.evaluated.map { indices[$0.id] ?? 0 }
        pending = search.pending.map { Offspring($0, number: number($0)) }
        surrogateIntercepts = search.surrogate.intercepts
        surrogateWeights = Array(search.surrogate.weights.joined())
        if let guide = search.guide {
            let parameters = guide.model.parameters
            self.guide = .with {
                $0.intercept = parameters.link.intercept
                $0.start = parameters.link.start
                $0.width = parameters.link.width
                $0.slopes = parameters.link.slopes
                $0.gains = parameters.gains
                $0.residual = guide.model.residual
                $0.archive = archive.map { item in
                    .with {
                        $0.individual = indices[item.individual.id] ?? 0
                        $0.logError = item.logError
                    }
                }
            }
        }
    }
}

extension SavedSearch.Offspring {
    fileprivate init(_ offspring: Offspring, number: Int64?) {
        self.init()
        id = UInt64(offspring.id)
        generation = UInt64(offspring.generation)
        operation = SavedSearch.Operation(offspring.operation)
        if offspring.origin != offspring.operation.rawValue { origin = offspring.origin }
        parents = offspring.parents.map { UInt64($0) }
        if let number, number >= 0 {
            candidate = UInt64(number)
        } else {
            genes = Data(offspring.genome.bytes)
        }
    }
}

extension SavedSearch.Operation {
    fileprivate init(_ operation: Operation) {
        self =
            switch operation {
            case .seed: .seed
            case .crossover: .crossover
            case .mutation: .mutation
            case .crossoverAndMutation: .crossoverAndMutation
            case .copy: .copy
            case .solved: .solved
            }
    }

    fileprivate var operation: Operation? {
        switch self {
        case .seed: .seed
        case .crossover: .crossover
        case .mutation: .mutation
        case .crossoverAndMutation: .crossoverAndMutation
        case .copy: .copy
        case .solved: .solved
        case .UNRECOGNIZED: nil
        }
    }
}

extension SavedSearch.Settings {
    fileprivate init(_ settings: SearchSettings) {
        self.init()
        preset = settings.preset.rawValue
        mode = settings.mode.rawValue
        populationSize = UInt64(settings.populationSize)
        crossoverProbability = settings.crossoverProbability
        crossoverPoints = UInt64(settings.crossoverPoints)
        mutationProbability = settings.mutationProbability
        minFlips = settings.minFlips
        maxFlips = settings.maxFlips
        regionProbability = settings.regionProbability
        screening = UInt64(settings.screening)
        minimumDifference = UInt64(settings.minimumDifference)
        duplicateRounds = UInt64(settings.duplicateRounds)
        usesCanonicalGenomes = settings.usesCanonicalGenomes
    }
}

// MARK: - Decoding

extension SavedSearch {
    fileprivate func search(
        shape: ScheduleShape, basis: SearchBasis?, genome: (Int64) throws -> Genome
    ) throws -> Search {
        let expected = Self.currentVersion(hasGuide: hasGuide)
        guard version == expected else {
            throw EvolutionError.state(problem: "version is \(version); expected \(expected)")
        }
        guard let generator = RandomGenerator(state: generator) else {
            throw EvolutionError.state(problem: "the random generator's state is not four words, one of them nonzero")
        }
        let nextID = try counter(nextID, "next_id")
        let restored = try individuals.map { saved in
            Evolution.Individual(
                offspring: try saved.offspring.offspring(shape: shape, nextID: nextID, genome: genome),
                objectives: saved.objectives, violation: try counter(saved.violation, "violation"))
        }
        func individual(_ index: UInt32) throws -> Evolution.Individual {
            guard index < restored.count else {
                throw EvolutionError.state(problem: "individual \(index) of \(restored.count)")
            }
            return restored[Int(index)]
        }
        let intercepts = surrogateIntercepts
        guard surrogateWeights.count == intercepts.count * shape.geneCount else {
            throw EvolutionError.state(
                problem: "\(surrogateWeights.count) surrogate weights; expected \(intercepts.count * shape.geneCount)")
        }
        let weights = intercepts.indices.map {
            Array(surrogateWeights[($0 * shape.geneCount)..<(($0 + 1) * shape.geneCount)])
        }
        let search = Search(
            settings: try settings.settings(), shape: shape,
            population: try population.map { survivor in
                var individual = try individual(survivor.individual)
                individual.rank = survivor.hasRank ? Int(survivor.rank) : nil
                individual.crowding = survivor.hasCrowding ? survivor.crowding : nil
                return individual
            }, front: try front.map(individual), generation: try counter(generation, "generation"),
            barrierGenerations: try counter(barrierGenerations, "barrier_generations"),
            pending: try pending.map { try $0.offspring(shape: shape, nextID: nextID, genome: genome) },
            evaluated: try evaluated.map(individual), generator: generator, nextID: nextID,
            epoch: Search.Epoch(
                generation: try counter(epochGeneration, "epoch_generation"),
                offspringCount: try counter(epochOffspringCount, "epoch_offspring_count")),
            surrogate: LinearSurrogate(weights: weights, intercepts: intercepts),
            guide: hasGuide ? try guide.guide(basis, shape: shape, individual: individual) : nil)
        try search.validateRestored()
        return search
    }
}

extension SavedSearch.Guide {
    fileprivate func guide(
        _ basis: SearchBasis?, shape: ScheduleShape, individual: (UInt32) throws -> Individual
    ) throws -> SearchGuide {
        guard let basis else { throw EvolutionError.state(problem: "it needs reuse errors, and there are none") }
        guard basis.errors.shape == shape else {
            throw EvolutionError.state(problem: "reuse errors of another shape")
        }
        let model = ErrorModel(basis.errors)
        guard gains.count == model.parameters.gains.count, slopes.count == model.parameters.link.slopes.count,
            width > 0, slopes.allSatisfy({ $0 > 0 }),
            ([intercept, start, width] + slopes + gains + archive.map(\.logError)).allSatisfy(\.isFinite), residual >= 0
        else { throw EvolutionError.state(problem: "malformed error model") }
        let link = ErrorModel.Link(intercept: intercept, start: start, width: width, slopes: slopes)
        let parameters = ErrorModel.Parameters(link: link, gains: gains)
        let evaluated = try archive.map {
            SearchGuide.Evaluated(individual: try individual($0.individual), logError: $0.logError)
        }
        guard evaluated.allSatisfy({ $0.individual.objectives.count == 2 }) else {
            throw EvolutionError.state(problem: "an error model with other than two objectives")
        }
        return SearchGuide(
            basis, model: ErrorModel(basis.errors, parameters: parameters, residual: residual), archive: evaluated)
    }
}

extension SavedSearch.Offspring {
    fileprivate func offspring(
        shape: ScheduleShape, nextID: Int, genome: (Int64) throws -> Genome
    ) throws -> Offspring {
        let id = try counter(id, "id")
        guard id < nextID else { throw EvolutionError.state(problem: "offspring \(id); expected below \(nextID)") }
        guard let operation = operation.operation else {
            throw EvolutionError.state(problem: "offspring \(id) has an unknown operation")
        }
        let found: Genome
        switch self.genome {
        case .candidate(let number): found = try genome(Int64(counter(number, "candidate")))
        case .genes(let bytes): found = try Genome(bytes: Array(bytes), geneCount: shape.geneCount)
        case nil: throw EvolutionError.state(problem: "offspring \(id) has no genome")
        }
        let origin = origin.isEmpty ? operation.rawValue : origin
        guard found.geneCount == shape.geneCount else {
            throw EvolutionError.geneCount(origin: origin, expected: shape.geneCount, found: found.geneCount)
        }
        return Offspring(
            id: id, generation: try counter(generation, "generation"), genome: found,
            parents: try parents.map { try counter($0, "parent") }, operation: operation, origin: origin)
    }
}

extension SavedSearch.Settings {
    fileprivate func settings() throws -> SearchSettings {
        guard let preset = SearchSettings.Preset(rawValue: preset), let mode = SearchSettings.Mode(rawValue: mode)
        else {
            throw EvolutionError.state(problem: "preset is \"\(preset)\" and mode is \"\(mode)\"; one is unknown")
        }
        var settings = SearchSettings(preset: preset, populationSize: try counter(populationSize, "population_size"))
        settings.mode = mode
        settings.crossoverProbability = crossoverProbability
        settings.crossoverPoints = try counter(crossoverPoints, "crossover_points")
        settings.mutationProbability = mutationProbability
        settings.minFlips = minFlips
        settings.maxFlips = maxFlips
        settings.regionProbability = regionProbability
        settings.screening = try counter(screening, "screening")
        settings.minimumDifference = try counter(minimumDifference, "minimum_difference")
        settings.duplicateRounds = try counter(duplicateRounds, "duplicate_rounds")
        settings.usesCanonicalGenomes = usesCanonicalGenomes
        try settings.validate()
        return settings
    }
}

/// A stored integer, bounded so that arithmetic on it cannot overflow.
private func counter(_ value: UInt64, _ name: String) throws(EvolutionError) -> Int {
    guard value <= 1 << 40 else { throw .state(problem: "\(name) is \(value); expected at most 2^40") }
    return Int(value)
}
