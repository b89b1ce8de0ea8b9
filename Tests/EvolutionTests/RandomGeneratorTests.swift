import Evolution
import Testing

@Suite struct RandomGeneratorTests {
    @Test func sequenceEqualsTheReferenceImplementation() {
        var generator = RandomGenerator(seed: 0)
        #expect(
            (0..<3).map { _ in generator.next() } == [11091344671253066420, 13793997310169335082, 1900383378846508768])
    }

    @Test func integersAreUniform() {
        var generator = RandomGenerator(seed: 1)
        var counts = [Int](repeating: 0, count: 7)
        for _ in 0..<70_000 { counts[generator.integer(below: 7)] += 1 }
        // Six standard deviations of a binomial with p = 1/7.
        #expect(counts.allSatisfy { abs($0 - 10_000) < 556 })
        #expect(generator.integer(below: 1) == 0)
    }

    @Test func fractionsAreUniform() {
        var generator = RandomGenerator(seed: 2)
        let draws = (0..<20_000).map { _ in generator.unit() }
        #expect(draws.allSatisfy { $0 >= 0 && $0 < 1 })
        #expect(abs(draws.reduce(0, +) / 20_000 - 0.5) < 0.0125)
    }

    @Test func permutationsAreUniform() {
        var generator = RandomGenerator(seed: 3)
        var counts: [[Int]: Int] = [:]
        for _ in 0..<24_000 { counts[generator.permutation(of: 4), default: 0] += 1 }
        #expect(counts.count == 24)
        #expect(counts.values.allSatisfy { abs($0 - 1000) < 190 })
    }
}
