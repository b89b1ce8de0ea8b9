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

    @Test func shortRunsAreRepeatedAtTheBeginningForLatencies() {
        #expect(timings([0.4, 0.4]).isDue(at: start, isObjective: true))
        #expect(!timings([0.4, 0.4]).isDue(at: start, isObjective: false))
        #expect(!timings([0.4, 0.4, 0.4]).isDue(at: start, isObjective: true))
        // Two images of 0.6 s are no longer short.
        #expect(!timings([0.6]).isDue(at: start, isObjective: true))
    }

    @Test func intervalGrowsWithTheDuration() {
        #expect(timings([]).isDue(at: start, isObjective: false))
        let short = timings([0.1, 0.1, 0.1]), long = timings([30])
        for (timings, isObjective, seconds) in [
            (short, false, 60.0), (long, false, 3000), (short, true, 4), (long, true, 1200),
        ] {
            #expect(!timings.isDue(at: start + .seconds(0.99 * seconds), isObjective: isObjective))
            #expect(timings.isDue(at: start + .seconds(1.01 * seconds), isObjective: isObjective))
        }
    }
}
