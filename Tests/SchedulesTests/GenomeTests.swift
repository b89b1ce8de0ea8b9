import Foundation
import Schedules
import Testing

@Suite struct GenomeTests {
    static func random(_ count: Int, _ generator: inout SystemRandomNumberGenerator) -> Genome {
        Genome((0..<count).map { _ in Bool.random(using: &generator) })
    }

    @Test func bitsAreCountedAndComparedAcrossWords() {
        var genome = Genome(repeating: true, count: 130)
        #expect(genome.recomputeCount == 130)
        genome[129] = false
        genome[64] = false
        genome[63] = false
        #expect(genome.recomputeCount == 127)
        #expect(genome.hammingDistance(to: Genome(repeating: true, count: 130)) == 3)
        #expect(!genome[129] && genome[128])
    }

    @Test func bytesHoldTheFirstGeneInTheLowestBit() throws {
        let genome = try Genome(text: "1000000001")
        #expect(genome.bytes == [1, 2])
        #expect(try Genome(bytes: [1, 2], geneCount: 10) == genome)
    }

    @Test(arguments: [0, 1, 7, 8, 63, 64, 65, 1680, 3420])
    func everyEncodingRoundTrips(count: Int) throws {
        var generator = SystemRandomNumberGenerator()
        let genome = Self.random(count, &generator)
        #expect(try Genome(bytes: genome.bytes, geneCount: count) == genome)
        #expect(try Genome(text: genome.description) == genome)
        #expect(try JSONDecoder().decode(Genome.self, from: JSONEncoder().encode(genome)) == genome)
        #expect(genome.description.count == count)
    }

    @Test func malformedBytesAreRejected() {
        #expect(throws: SchedulesError.self) { try Genome(bytes: [1], geneCount: 10) }
        #expect(throws: SchedulesError.self) { try Genome(bytes: [1, 4], geneCount: 10) }
        #expect(throws: SchedulesError.self) { try Genome(bytes: [], geneCount: -1) }
        #expect(throws: SchedulesError.self) { try Genome(text: "012") }
    }

    @Test func exchangeSwapsExactlyTheSegment() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<50 {
            let (first, second) = (Self.random(200, &generator), Self.random(200, &generator))
            let start = Int.random(in: 0...200, using: &generator)
            let segment = start..<Int.random(in: start...200, using: &generator)
            var (a, b) = (first, second)
            a.exchange(segment, with: &b)
            for gene in 0..<200 {
                #expect(a[gene] == (segment.contains(gene) ? second : first)[gene])
                #expect(b[gene] == (segment.contains(gene) ? first : second)[gene])
            }
        }
    }

    @Test func hashIsThatOfTheTextOfBits() throws {
        // printf 10110 | sha256sum
        #expect(
            try Genome(text: "10110").sha256 == "db757b73dcd501203e0148fb2ac8cb90c76be44c207d981bcc2dcf9c3c78d5d0")
    }

    @Test(
        .enabled(if: PublishedSchedules.arePresent),
        arguments: [
            (
                "paper/pixart_alpha_256_ours_fast.json", 1680, 598,
                "13099a1fa54c1dec7a2e2bbb919b50b218977811c9d4590e6ff84e7630b9dce8"
            ),
            (
                "paper/pixart_alpha_256_ours_fastest.json", 1680, 324,
                "812e9e30ba7708ed9a76efd9262694694df0f3763b0c50e9b312eb4ae9c92d75"
            ),
            (
                "paper/pixart_sigma_256_ours_fast.json", 1680, 534,
                "883586b3f68c844ad6e39fd922eee9fd2ca67cb4be25aa9d4bba25dd77146263"
            ),
            (
                "paper/flux_256_ours_fast.json", 3420, 1080,
                "f0efafdcc9d7a447af8294dad777592525a0d5347fc05973fbe37f1e6edef09e"
            ),
            (
                "paper/flux_1024_slow.json", 3420, 1849,
                "82a54769afea6e7dd7e3d92f4ca9d373d219d608ecf2f86c5aad5db92f64df6e"
            ),
        ])
    func paperSchedulesHaveTheKnownGenomes(path: String, genes: Int, ones: Int, hash: String) throws {
        let genome = try #require(try PublishedSchedules.file(path)).schedule.genome
        #expect(genome.geneCount == genes)
        #expect(genome.recomputeCount == ones)
        #expect(genome.sha256 == hash)
    }
}
