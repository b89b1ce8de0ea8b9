import Testing

@testable import Evolution

@Suite struct LossCurveTests {
    @Test func curvesAreMonotone() {
        let exact = LossCurve([(1, 10), (2, 20), (4, 40)])
        #expect(exact.loss(of: 3) == 30 && exact.loss(of: 5) == 50 && exact.loss(of: 0) == 0)
        #expect(exact.logError(of: 30) == 3)
        let noisy = LossCurve([(1, 10), (2, 30), (3, 20), (4, 40), (5, .nan)])
        let values = stride(from: 0.0, through: 6, by: 0.1).map { noisy.loss(of: $0) }
        #expect(zip(values, values.dropFirst()).allSatisfy { $0 <= $1 })
        #expect(noisy.loss(of: 2.5) == 25)
        #expect(LossCurve([]).loss(of: 3).isFinite && LossCurve([(1, 5), (2, 5)]).logError(of: 7).isFinite)
        let unknown = LossCurve([]).loss(of: 3, variance: 4)
        #expect(unknown.mean == 3 && abs(unknown.along - 4) < 1e-9 && unknown.around == 0)
    }

    @Test func deviationsAreThoseNearTheError() {
        // Level and exact up to 5, then steep and noisy.
        let curve = LossCurve(
            (0..<100).map { index in
                let logError = Double(index) / 10
                return (logError, logError < 5 ? 1 : 10 * (logError - 3) + (index.isMultiple(of: 2) ? 8 : -8))
            })
        let flat = curve.loss(of: 2, variance: 0.04)
        #expect(flat.mean == curve.loss(of: 2) && flat.along == 0 && flat.around < 0.1)
        let steep = curve.loss(of: 8, variance: 0.04)
        // 0.2 on a slope of 10, and 8 around the curve.
        #expect(abs(steep.along - 4) < 3 && abs(steep.around - 64) < 12)
        // Where the curve is convex, the mean loss is above that of the mean error.
        #expect(curve.loss(of: 4.5, variance: 1).mean > curve.loss(of: 4.5) + 2)
    }

    @Test func distancesAreInUnitsOfTheDeviationNearBy() {
        let points = (0..<100).map { (Double($0) / 10, Double($0) + ($0.isMultiple(of: 2) ? 2 : -2)) }
        let curve = LossCurve(points.map { (logError: $0.0, loss: $0.1) })
        let above = curve.distance(of: points[50].1, logError: points[50].0)
        #expect(abs(above - 1) < 0.3)
        let (mean, deviation) = curve.loss(of: 5, variance: 0).loss(distance: above, variance: 0)
        #expect(abs(mean - points[50].1) < 1e-9 && deviation == 0)
        // A loss that is a function of the error has no distance, whatever rounding leaves.
        let line = (0..<100).map { (logError: Double($0) / 10, loss: 0.01 * Double($0) - 3) }
        let exact = LossCurve(line)
        for point in line { #expect(exact.distance(of: point.loss + 1e-15, logError: point.logError) == 0) }
    }
}
