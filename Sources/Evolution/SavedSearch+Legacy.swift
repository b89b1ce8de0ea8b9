import Basics
import FoundationEssentials
import Schedules

/// Reads the binary format that stored searches before ``SavedSearch``, so that old histories resume.
///
/// Integers are LEB128, floating-point numbers little-endian; lists, strings and blobs begin with their length.
struct LegacySearchReader {
    /// The first byte of every legacy state.
    static let version: UInt8 = 2

    /// Operations in the order of their stored numbers.
    private static let operations: [Operation] = [.seed, .crossover, .mutation, .crossoverAndMutation, .copy]

    private let shape: ScheduleShape
    private let genome: (Int64) throws -> Genome
    private var bytes: ArraySlice<UInt8>

    /// Restores a search.
    ///
    /// - Throws: ``EvolutionError`` if the bytes are not a valid state, and errors of `genome`.
    static func search(
        _ bytes: [UInt8], shape: ScheduleShape, genome: @escaping (Int64) throws -> Genome
    ) throws -> Search {
        var reader = LegacySearchReader(shape: shape, genome: genome, bytes: bytes.dropFirst())
        let search = try reader.search()
        guard reader.bytes.isEmpty else { throw EvolutionError.state(problem: "bytes after its end") }
        try search.validateRestored()
        return search
    }

    private mutating func search() throws -> Search {
        let settings = try settings()
        let words = try (0..<4).map { _ in try word("the generator") }
        guard let generator = RandomGenerator(state: words) else {
            throw EvolutionError.state(problem: "the random generator's state is zero")
        }
        let counters = try (0..<5).map { _ in try integer("a counter", in: 0...(1 << 40)) }
        let nextID = counters[2]
        let individuals = try list("the individuals") { try $0.individual(nextID: nextID) }
        let population = try list("the population") { reader in
            var individual = try reader.reference(to: individuals)
            let rank = try reader.integer("a rank")
            individual.rank = rank == 0 ? nil : rank - 1
            let crowding = try reader.double("a crowding distance")
            individual.crowding = crowding.isNaN ? nil : crowding
            return individual
        }
        let front = try list("the front") { try $0.reference(to: individuals) }
        let evaluated = try list("the evaluated offspring") { try $0.reference(to: individuals) }
        let pending = try list("the pending offspring") { try $0.offspring(nextID: nextID) }
        let intercepts = try list("the intercepts") { try $0.float("an intercept") }
        let weights = try intercepts.map { _ in try (0..<shape.geneCount).map { _ in try float("a weight") } }
        return Search(
            settings: settings, shape: shape, population: population, front: front, generation: counters[0],
            barrierGenerations: counters[1], pending: pending, evaluated: evaluated, generator: generator,
            nextID: nextID, epoch: Search.Epoch(generation: counters[3], offspringCount: counters[4]),
            surrogate: LinearSurrogate(weights: weights, intercepts: intercepts))
    }

    // MARK: - Parts

    /// Settings were stored as JSON.
    private struct Settings: Decodable {
        let preset, mode: String
        let populationSize, crossoverPoints, screening, minimumDifference, duplicateRounds: Int
        let crossoverProbability, mutationProbability, regionProbability, fewestFlips, mostFlips: Double
        let usesCanonicalGenomes: Bool
    }

    private mutating func settings() throws -> SearchSettings {
        let json = Data(try blob("the settings"))
        guard let stored = try? JSONDecoder().decode(Settings.self, from: json),
            let preset = SearchSettings.Preset(rawValue: stored.preset),
            let mode = SearchSettings.Mode(rawValue: stored.mode)
        else { throw EvolutionError.state(problem: "malformed settings") }
        var settings = SearchSettings(preset: preset, populationSize: stored.populationSize)
        settings.mode = mode
        settings.crossoverProbability = stored.crossoverProbability
        settings.crossoverPoints = stored.crossoverPoints
        settings.mutationProbability = stored.mutationProbability
        settings.minFlips = stored.fewestFlips
        settings.maxFlips = stored.mostFlips
        settings.regionProbability = stored.regionProbability
        settings.screening = stored.screening
        settings.minimumDifference = stored.minimumDifference
        settings.duplicateRounds = stored.duplicateRounds
        settings.usesCanonicalGenomes = stored.usesCanonicalGenomes
        try settings.validate()
        return settings
    }

    private mutating func individual(nextID: Int) throws -> Individual {
        let offspring = try offspring(nextID: nextID)
        let violation = try integer("a violation")
        return Individual(
            offspring: offspring, objectives: try list("the objectives") { try $0.double("an objective") },
            violation: violation)
    }

    private mutating func offspring(nextID: Int) throws -> Offspring {
        let id = try integer("an identifier")
        guard id < nextID else { throw EvolutionError.state(problem: "offspring \(id); expected below \(nextID)") }
        let generation = try integer("a generation")
        let operation = Self.operations[try integer("an operation", in: 0...(Self.operations.count - 1))]
        let origin = String(decoding: try blob("an origin"), as: UTF8.self)
        let parents = try list("the parents") { try $0.integer("a parent") }
        let number = try integer("a genome")
        let found =
            number > 0
            ? try genome(Int64(number - 1)) : try Genome(bytes: blob("a genome"), geneCount: shape.geneCount)
        guard found.geneCount == shape.geneCount else {
            throw EvolutionError.geneCount(origin: origin, expected: shape.geneCount, found: found.geneCount)
        }
        return Offspring(
            id: id, generation: generation, genome: found, parents: parents, operation: operation,
            origin: origin.isEmpty ? operation.rawValue : origin)
    }

    private mutating func reference(to individuals: [Individual]) throws(EvolutionError) -> Individual {
        let index = try integer("an index")
        guard individuals.indices.contains(index) else {
            throw .state(problem: "individual \(index) of \(individuals.count)")
        }
        return individuals[index]
    }

    // MARK: - Values

    private mutating func integer(
        _ name: String, in range: ClosedRange<Int> = 0...Int.max
    ) throws(EvolutionError) -> Int {
        var position = bytes.startIndex
        let value = Varint.decode(bytes, at: &position, end: bytes.endIndex)
        guard value != nil || position < bytes.endIndex else { throw .state(problem: "it ends before \(name)") }
        bytes = bytes[position...]
        guard let value, let integer = Int(exactly: value), range.contains(integer) else {
            throw .state(problem: "\(name) is out of range")
        }
        return integer
    }

    private mutating func word(_ name: String) throws(EvolutionError) -> UInt64 {
        guard bytes.count >= 8 else { throw .state(problem: "it ends before \(name)") }
        defer { bytes = bytes.dropFirst(8) }
        return bytes.prefix(8).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    private mutating func double(_ name: String) throws(EvolutionError) -> Double {
        Double(bitPattern: try word(name))
    }

    private mutating func float(_ name: String) throws(EvolutionError) -> Float {
        guard bytes.count >= 4 else { throw .state(problem: "it ends before \(name)") }
        defer { bytes = bytes.dropFirst(4) }
        return Float(bitPattern: bytes.prefix(4).reversed().reduce(0) { $0 << 8 | UInt32($1) })
    }

    private mutating func blob(_ name: String) throws(EvolutionError) -> [UInt8] {
        let count = try integer(name)
        guard count <= bytes.count else { throw .state(problem: "it ends before \(name)") }
        defer { bytes = bytes.dropFirst(count) }
        return Array(bytes.prefix(count))
    }

    /// Reads a list with at most as many elements as bytes are left.
    private mutating func list<Element>(
        _ name: String, _ element: (inout LegacySearchReader) throws -> Element
    ) throws -> [Element] {
        let count = try integer(name, in: 0...bytes.count)
        var elements: [Element] = []
        elements.reserveCapacity(count)
        for _ in 0..<count { elements.append(try element(&self)) }
        return elements
    }
}
