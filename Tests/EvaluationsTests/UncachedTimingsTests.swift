import Testing

@testable import Evaluations

@Suite struct UncachedTimingsTests {
    private let start = ContinuousClock.now

    private func timings(_ seconds: [Double], imageCount: Int = 2) -> UncachedTimings {
        var timings = UncachedTimings(imageCount: imageCount)
        for seconds in seconds { timings.add(seconds, at: start) }
        return timings
    }

    @Test func secondsAreTheMedianOfTheLatest() {
        #expect(timings([]).secondsPerImage == nil)
        #expect(timings([4]).secondsPerImage == 4)
        #expect(timings([4, 6]).secondsPerImage == 5)
        #expect(timings([4, 90, 6]).secondsPerImage == 6)
        #expect(timings([4, 90, 6, 7]).secondsPerImage == 7)
    }

    @Test func intervalGrowsWithTheDuration() {
        #expect(timings([]).isDue(at: start))
        for (timings, batchSeconds) in [(timings([0.1]), 0.2), (timings([30]), 60)] {
            #expect(!timings.isDue(at: start + .seconds(19 * batchSeconds)))
            #expect(timings.isDue(at: start + .seconds(21 * batchSeconds)))
        }
    }
}
