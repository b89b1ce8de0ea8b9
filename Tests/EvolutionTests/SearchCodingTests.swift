import Evolution
import Schedules
import Testing

@Suite struct SearchCodingTests {
    static let shape = SearchTests.shape

    static func search(_ preset: SearchSettings.Preset = .ecadPaper) throws -> Search {
        var search = try SearchTests.search(preset)
        try SearchTests.run(&search, generations: 4)
        let offspring = search.ask()
        try search.tell(offspring[..<5].map(SearchTests.evaluate))
        return search
    }

    @Test func genomesMayBeKeptElsewhere() throws {
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

    @Test func everyCutIsRefused() throws {
        let bytes = try Self.search().encoded()
        for count in 0..<bytes.count {
            #expect(throws: (any Error).self) { try Search(decoding: Array(bytes[..<count]), shape: Self.shape) }
        }
        #expect(throws: EvolutionError.state(problem: "bytes after its end")) {
            try Search(decoding: bytes + [0], shape: Self.shape)
        }
    }

    @Test(arguments: SearchSettings.Preset.allCases)
    func aRestoredSearchGoesOnAsTheOriginal(preset: SearchSettings.Preset) throws {
        var search = try Self.search(preset)
        var restored = try Search(decoding: search.encoded(), shape: Self.shape)
        try SearchTests.run(&search, generations: 3)
        try SearchTests.run(&restored, generations: 3)
        #expect(restored.encoded() == search.encoded())
    }

    @Test(arguments: SearchSettings.Preset.allCases)
    func changedBytesNeverTrap(preset: SearchSettings.Preset) throws {
        let bytes = try Self.search(preset).encoded()
        var generator = RandomGenerator(seed: 8)
        for _ in 0..<2000 {
            var damaged = bytes
            for _ in 0..<(1 + generator.integer(below: 3)) {
                damaged[generator.integer(below: bytes.count)] = UInt8(generator.integer(below: 256))
            }
            // It is either refused or a search that can go on.
            guard var search = try? Search(decoding: damaged, shape: Self.shape) else { continue }
            _ = search.pending.map(\.genome)
            if search.settings.populationSize < 100 && search.settings.screening < 100 { _ = search.ask() }
        }
    }

    @Test func anotherShapeIsRefused() throws {
        let bytes = try Self.search().encoded()
        #expect(throws: (any Error).self) {
            try Search(decoding: bytes, shape: .pixart(blocks: 4, steps: 7))
        }
    }
}
