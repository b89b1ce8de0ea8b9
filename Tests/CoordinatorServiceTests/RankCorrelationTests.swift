import Testing

@testable import CoordinatorService

@Suite struct RankCorrelationTests {
    /// Expected values from scipy.stats.spearmanr.
    @Test(
        arguments: [
            ([1, 2, 3, 4], [10.0, 20, 30, 40], 1.0),
            ([1, 2, 3, 4], [4, 3, 2, 1], -1),
            ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], 0.8),
            ([60, 60, 42, 30, 12], [1.5, 1.4, 1.4, 0.2, -3], 0.9210526315789475),
        ] as [([Double], [Double], Double)])
    func equalsScipy(a: [Double], b: [Double], expected: Double) throws {
        let coefficient = try #require(RankCorrelation.spearman(a, b))
        #expect(abs(coefficient - expected) < 1e-12)
    }

    @Test func undefinedForConstantOrTooShortSeries() {
        #expect(RankCorrelation.spearman([], []) == nil)
        #expect(RankCorrelation.spearman([1], [1]) == nil)
        #expect(RankCorrelation.spearman([1, 1, 1], [1, 2, 3]) == nil)
    }
}
