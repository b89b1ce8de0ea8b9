import FoundationEssentials
import Schedules

// A search's state as bytes: a few kilobytes where the genomes are kept elsewhere.
extension Search {
    private static let version = 2

    /// The whole state; equal searches have equal bytes.
    ///
    /// - Parameter number: A number by which ``init(decoding:shape:genome:)`` will be given exactly this offspring's
    ///   genome; nil to write the genome itself.
    /// - Returns: The bytes.
    public func encoded(numbering number: (Offspring) -> Int64? = { _ in nil }) -> [UInt8] {
        var writer = StateWriter()
        writer.integer(Self.version)
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        // Settings are numbers, flags and short texts, all of which JSON has.
        writer.blob((try? encoder.encode(settings)).map(Array.init) ?? [])
        for word in generator.state { writer.word(word) }
        for value in [generation, barrierGenerations, nextID, epoch.generation, epoch.births] { writer.integer(value) }
        var positions: [Int: Int] = [:]
        var individuals: [Individual] = []
        for individual in population + front + arrived where positions[individual.id] == nil {
            positions[individual.id] = individuals.count
            individuals.append(individual)
        }
        writer.integer(individuals.count)
        for individual in individuals {
            Self.write(individual.offspring, number, &writer)
            writer.integer(individual.violation)
            writer.integer(individual.objectives.count)
            for objective in individual.objectives { writer.number(objective) }
        }
        writer.integer(population.count)
        for individual in population {
            writer.integer(positions[individual.id] ?? 0)
            writer.integer(individual.rank.map { $0 + 1 } ?? 0)
            writer.number(individual.crowding ?? .nan)
        }
        for list in [front, arrived] {
            writer.integer(list.count)
            for individual in list { writer.integer(positions[individual.id] ?? 0) }
        }
        writer.integer(pending.count)
        for offspring in pending { Self.write(offspring, number, &writer) }
        writer.integer(effects.means.count)
        for mean in effects.means { writer.single(mean) }
        for effect in effects.effects.joined() { writer.single(effect) }
        return writer.bytes
    }

    /// Restores a search that goes on as the original would have.
    ///
    /// - Parameters:
    ///   - bytes: What ``encoded(numbering:)`` gave; anything may be in them.
    ///   - shape: The schedules searched.
    ///   - genome: Gives the genome of a number.
    /// - Throws: ``EvolutionError/state(problem:)`` for what is no such state, and what `genome` throws.
    public init(
        decoding bytes: [UInt8], shape: ScheduleShape,
        genome: (Int64) throws -> Genome = { _ in
            throw EvolutionError.state(problem: "it refers to genomes that are not at hand")
        }
    ) throws {
        var reader = StateReader(bytes)
        let version = try reader.integer("the version")
        guard version == Self.version else {
            throw EvolutionError.state(problem: "expected version \(Self.version), found \(version)")
        }
        guard
            let settings = try? JSONDecoder().decode(SearchSettings.self, from: Data(try reader.blob("the settings")))
        else { throw EvolutionError.state(problem: "its settings cannot be read") }
        try settings.validate()
        let words = try (0..<4).map { _ in try reader.word("the generator") }
        guard let generator = RandomGenerator(state: words) else {
            throw EvolutionError.state(problem: "its generator is stuck at 0")
        }
        let counters = try (0..<5).map { _ in try reader.integer("a counter", in: 0...(1 << 40)) }
        func offspring(_ reader: inout StateReader) throws -> Offspring {
            try Self.readOffspring(&reader, shape: shape, below: counters[2], genome: genome)
        }
        var individuals: [Individual] = []
        for _ in 0..<(try reader.integer("the individuals", in: 0...bytes.count)) {
            let offspring = try offspring(&reader)
            let violation = try reader.integer("a violation")
            let objectives = try reader.list("the objectives") { (reader) throws(EvolutionError) in
                try reader.number("an objective")
            }
            guard objectives.allSatisfy(\.isFinite),
                objectives.count == individuals.first?.objectives.count ?? objectives.count
            else { throw EvolutionError.state(problem: "objectives that are not finite or of different numbers") }
            individuals.append(Individual(offspring: offspring, objectives: objectives, violation: violation))
        }
        let last = individuals.count - 1
        func individual(_ reader: inout StateReader) throws(EvolutionError) -> Individual {
            guard last >= 0 else { throw .state(problem: "a place among no individuals") }
            return individuals[try reader.integer("a place", in: 0...last)]
        }
        let population = try reader.list("the population") { (reader) throws(EvolutionError) in
            var individual = try individual(&reader)
            let rank = try reader.integer("a rank")
            individual.rank = rank == 0 ? nil : rank - 1
            let crowding = try reader.number("a crowding distance")
            individual.crowding = crowding.isNaN ? nil : crowding
            return individual
        }
        let front = try reader.list("the front", individual)
        let arrived = try reader.list("the arrived", individual)
        var pending: [Offspring] = []
        for _ in 0..<(try reader.integer("the pending", in: 0...bytes.count)) { pending.append(try offspring(&reader)) }
        let means = try reader.list("the objectives' means") { (reader) throws(EvolutionError) in
            try reader.single("a mean")
        }
        let effects = try means.map { _ in try (0..<shape.geneCount).map { _ in try reader.single("an effect") } }
        guard (means + effects.joined()).allSatisfy(\.isFinite) else {
            throw EvolutionError.state(problem: "an effect that is not finite")
        }
        guard reader.isAtEnd else { throw EvolutionError.state(problem: "bytes after its end") }
        let ids = pending.map(\.id) + (population + arrived).map(\.id)
        guard Set(ids).count == ids.count else { throw EvolutionError.state(problem: "an offspring occurs twice") }
        self.init(
            settings: settings, shape: shape, population: population, front: front, generation: counters[0],
            barrierGenerations: counters[1], pending: pending, arrived: arrived, generator: generator,
            nextID: counters[2], epoch: Epoch(generation: counters[3], births: counters[4]),
            effects: GeneEffects(effects: effects, means: means))
    }

    private static func write(_ offspring: Offspring, _ number: (Offspring) -> Int64?, _ writer: inout StateWriter) {
        writer.integer(offspring.id)
        writer.integer(offspring.generation)
        writer.integer(Operation.allCases.firstIndex(of: offspring.operation) ?? 0)
        // Most origins say no more than the operation does.
        writer.text(offspring.origin == offspring.operation.rawValue ? "" : offspring.origin)
        writer.integer(offspring.parents.count)
        for parent in offspring.parents { writer.integer(parent) }
        if let number = number(offspring), number >= 0 {
            writer.integer(Int(number) + 1)
        } else {
            writer.integer(0)
            writer.blob(offspring.genome.bytes)
        }
    }

    private static func readOffspring(
        _ reader: inout StateReader, shape: ScheduleShape, below nextID: Int, genome: (Int64) throws -> Genome
    ) throws -> Offspring {
        let id = try reader.integer("an identifier")
        guard id < nextID else { throw EvolutionError.state(problem: "offspring \(id) of \(nextID)") }
        let generation = try reader.integer("a generation")
        let operation = Operation.allCases[
            try reader.integer("an operation", in: 0...(Operation.allCases.count - 1))]
        let origin = try reader.text("an origin")
        let parents = try reader.list("the parents") { (reader) throws(EvolutionError) in
            try reader.integer("a parent")
        }
        let number = try reader.integer("a genome")
        let found =
            try number > 0
            ? genome(Int64(number - 1)) : Genome(bytes: reader.blob("a genome"), geneCount: shape.geneCount)
        guard found.geneCount == shape.geneCount else {
            throw EvolutionError.geneCount(origin: origin, expected: shape.geneCount, found: found.geneCount)
        }
        return Offspring(
            id: id, generation: generation, genome: found, parents: parents, operation: operation,
            origin: origin.isEmpty ? operation.rawValue : origin)
    }
}
