import Evolution
import Foundation
import Schedules
import TestSupport
import Testing

@Suite struct SavedSearchTests {
    static let shape = SearchTests.shape

    /// A search in the middle of its fifth generation, or after 50 evaluations in steady state.
    static func search(
        _ preset: SearchSettings.Preset = .ecadPaper, _ mode: SearchSettings.Mode = .generations
    ) throws -> Search {
        var generator = RandomGenerator(seed: 7)
        let seeds = try seedPopulation(names: ["fora", "random"], count: 12, shape: shape, using: &generator)
        var settings = SearchSettings(preset: preset, populationSize: 12)
        settings.mode = mode
        var search = try Search(settings: settings, shape: shape, seeds: seeds, seed: 7)
        switch mode {
        case .generations:
            try SearchTests.run(&search, generations: 4)
            let offspring = search.ask()
            try search.tell(offspring[..<5].map(SearchTests.evaluate))
        case .steadyState: try SteadyStateTests.run(&search, workers: 4, evaluations: 50)
        }
        return search
    }

    static let variants = SearchSettings.Preset.allCases.flatMap { preset in
        SearchSettings.Mode.allCases.map { (preset, $0) }
    }

    /// Damages bytes at random; whatever is still accepted must be a search that can continue.
    private func damage(_ bytes: [UInt8], genome: (Int64) throws -> Genome = { _ in throw CancellationError() }) {
        var generator = RandomGenerator(seed: 8)
        for _ in 0..<2000 {
            var damaged = bytes
            for _ in 0..<(1 + generator.integer(below: 3)) {
                damaged[generator.integer(below: bytes.count)] = UInt8(generator.integer(below: 256))
            }
            guard var search = try? Search(decoding: damaged, shape: Self.shape, genome: genome) else { continue }
            #expect(search.pending.allSatisfy { $0.genome.geneCount == Self.shape.geneCount })
            if search.settings.populationSize < 100 && search.settings.screening < 100 { _ = search.ask() }
        }
    }

    // MARK: - Current format

    @Test(arguments: variants)
    func restoredSearchProceedsAsTheOriginal(
        preset: SearchSettings.Preset, mode: SearchSettings.Mode
    ) throws {
        var search = try Self.search(preset, mode)
        var restored = try Search(decoding: search.encoded(), shape: Self.shape)
        #expect(restored.encoded() == search.encoded())
        #expect(restored.settings == search.settings && restored.population == search.population)
        #expect(restored.front == search.front && restored.pending == search.pending)
        for _ in 0..<3 {
            try search.tell(search.ask().map(SearchTests.evaluate))
            try restored.tell(restored.ask().map(SearchTests.evaluate))
        }
        #expect(restored.encoded() == search.encoded())
    }

    @Test func equalSearchesHaveEqualBytes() throws {
        #expect(try Self.search(.standard).encoded() == Self.search(.standard).encoded())
    }

    @Test func genomesCanBeStoredElsewhere() throws {
        let search = try Self.search()
        var numbers: [Genome: Int64] = [:]
        for individual in search.population { numbers[individual.offspring.genome] = Int64(numbers.count) }
        let genomes = Dictionary(uniqueKeysWithValues: numbers.map { ($0.value, $0.key) })
        let bytes = search.encoded { numbers[$0.genome] }
        #expect(bytes.count < search.encoded().count)
        let restored = try Search(decoding: bytes, shape: Self.shape) { try #require(genomes[$0]) }
        #expect(restored.encoded() == search.encoded())
        #expect(throws: EvolutionError.self) { try Search(decoding: bytes, shape: Self.shape) }
    }

    @Test(arguments: SearchSettings.Preset.allCases)
    func truncatedStatesAreRejected(preset: SearchSettings.Preset) throws {
        let bytes = try Self.search(preset).encoded()
        for count in 0..<bytes.count {
            #expect(throws: EvolutionError.self) { try Search(decoding: Array(bytes[..<count]), shape: Self.shape) }
        }
        #expect(throws: EvolutionError.state(problem: "malformed protobuf message")) {
            try Search(decoding: bytes + [0], shape: Self.shape)
        }
    }

    @Test func laterVersionsAreRejected() throws {
        var bytes = try Self.search().encoded()
        bytes[bytes.count - 1] = 4
        #expect(throws: EvolutionError.state(problem: "version is 4; expected 3")) {
            try Search(decoding: bytes, shape: Self.shape)
        }
    }

    @Test(arguments: SearchSettings.Preset.allCases)
    func damagedStatesNeverTrap(preset: SearchSettings.Preset) throws {
        damage(try Self.search(preset).encoded())
    }

    @Test func statesOfAnotherShapeAreRejected() throws {
        for preset in SearchSettings.Preset.allCases {
            let bytes = try Self.search(preset).encoded()
            #expect(throws: (any Error).self) {
                try Search(decoding: bytes, shape: .pixart(blocks: 4, steps: 7))
            }
        }
    }

    // MARK: - Format version 2

    /// That release had no preset "nsga2".
    static let legacyVariants = variants.filter { $0.0 != .nsga2 }

    /// `search(preset, mode)` as the release before the protobuf format stored it, with every other genome by number.
    private static func legacyBytes(_ preset: SearchSettings.Preset, _ mode: SearchSettings.Mode) throws -> [UInt8] {
        let name = "search-v2-\(preset.rawValue)-\(mode.rawValue).bin"
        return Array(try Data(contentsOf: URL(filePath: "\(Fixtures.folder)/evolution/\(name)")))
    }

    /// The genomes that the stored states refer to, by identifier.
    private static func genomes(of search: Search) -> [Int64: Genome] {
        var genomes: [Int64: Genome] = [:]
        _ = search.encoded {
            genomes[Int64($0.id)] = $0.genome
            return nil
        }
        return genomes
    }

    @Test(arguments: legacyVariants)
    func legacyStatesAreRestored(preset: SearchSettings.Preset, mode: SearchSettings.Mode) throws {
        var search = try Self.search(preset, mode)
        let bytes = try Self.legacyBytes(preset, mode)
        let genomes = Self.genomes(of: search)
        var restored = try Search(decoding: bytes, shape: Self.shape) { try #require(genomes[$0]) }
        #expect(restored.encoded() == search.encoded())
        for _ in 0..<3 {
            try search.tell(search.ask().map(SearchTests.evaluate))
            try restored.tell(restored.ask().map(SearchTests.evaluate))
        }
        #expect(restored.encoded() == search.encoded())
    }

    @Test(arguments: legacyVariants)
    func damagedLegacyStatesNeverTrap(preset: SearchSettings.Preset, mode: SearchSettings.Mode) throws {
        let genomes = Self.genomes(of: try Self.search(preset, mode))
        let bytes = try Self.legacyBytes(preset, mode)
        damage(bytes) { number in
            guard let genome = genomes[number] else { throw CancellationError() }
            return genome
        }
        for count in 0..<bytes.count {
            #expect(throws: EvolutionError.self) {
                try Search(decoding: Array(bytes[..<count]), shape: Self.shape) {
                    genomes[$0] ?? Genome(repeating: true, count: Self.shape.geneCount)
                }
            }
        }
    }
}
