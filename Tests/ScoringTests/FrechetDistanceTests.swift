import Foundation
import Scoring
import Testing

@Suite struct FrechetDistanceTests {
    private func statistics(_ rows: [[Float]]) -> FeatureStatistics {
        let statistics = FeatureStatistics(width: rows.first?.count ?? 1)
        for row in rows { statistics.add(row) }
        return statistics
    }

    /// Numbers in -1...1 from a linear congruential generator.
    private func random(_ count: Int, width: Int, seed: UInt64) -> [[Float]] {
        var state = seed
        return (0..<count).map { _ in
            (0..<width).map { _ in
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return Float(Double(state >> 33) / Double(1 << 30) - 1)
            }
        }
    }

    @Test func statisticsEqualTheDefinition() throws {
        let rows = random(77, width: 5, seed: 3).map { $0.map { $0 + 1000 } }
        let found = statistics(rows)
        let mean = (0..<5).map { column in rows.reduce(0.0) { $0 + Double($1[column]) } / 77 }
        let covariance = found.covariance()
        #expect(zip(found.mean, mean).allSatisfy { abs($0 - $1) < 1e-10 })
        for i in 0..<5 {
            for j in 0..<5 {
                let sum = rows.reduce(0.0) { $0 + (Double($1[i]) - mean[i]) * (Double($1[j]) - mean[j]) }
                #expect(abs(covariance[i * 5 + j] - sum / 76) < 1e-10)
            }
        }
    }

    /// In one dimension the distance is (μ₁ - μ₂)² + (σ₁ - σ₂)².
    @Test func distanceInOneDimensionIsExact() throws {
        let (a, b) = (statistics([[1], [3]]), statistics([[10], [12], [17]]))
        let expected = pow(13 - 2.0, 2) + pow(13.0.squareRoot() - 2.0.squareRoot(), 2)
        #expect(abs(try FrechetDistance.between(a, b) - expected) < 1e-12)
    }

    @Test func distanceOfDiagonalCovariancesIsExact() throws {
        // Corners of boxes: independent coordinates with spreads 1, 2, 3 and 4, 1, 0.
        func box(_ sides: [Float], _ centre: Float) -> FeatureStatistics {
            statistics(
                (0..<8).map { corner in (0..<3).map { centre + (corner >> $0 & 1 == 1 ? sides[$0] : -sides[$0]) } })
        }
        let found = try FrechetDistance.between(box([1, 2, 3], 0), box([4, 1, 0], 2))
        let squares = [3.0, 1, 3].map { $0 * $0 * 8 / 7 }.reduce(0, +)
        #expect(abs(found - (12 + squares)) < 1e-9)
    }

    @Test(arguments: [(5, 40), (64, 16)])
    func equalSetsHaveDistanceZero(_ count: Int, _ width: Int) throws {
        let rows = random(count, width: width, seed: 1)
        #expect(try FrechetDistance.between(statistics(rows), statistics(rows.reversed())) < 1e-9)
        let (a, b) = (statistics(rows), statistics(random(count, width: width, seed: 2)))
        let distance = try FrechetDistance.between(a, b)
        #expect(distance > 0.1)
        #expect(abs(try FrechetDistance.between(b, a) - distance) < 1e-8 * distance)
    }

    @Test func invalidFeaturesAreRejected() {
        let two = statistics([[1, 2], [3, 4]])
        #expect(throws: ScoringError.self) { try FrechetDistance.between(two, statistics([[1, 2]])) }
        #expect(throws: ScoringError.self) { try FrechetDistance.between(two, FeatureStatistics(width: 2)) }
        #expect(throws: ScoringError.self) { try FrechetDistance.between(two, statistics([[1], [2]])) }
        #expect(throws: ScoringError.distance("some features are not finite")) {
            try FrechetDistance.between(two, statistics([[.nan, 1], [2, 3]]))
        }
    }
}
