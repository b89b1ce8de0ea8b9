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
        #expect(unknown.mean == 3 && abs(unknown.deviation - 2) < 1e-9)
    }

    @Test func deviationsAreThoseNearTheError() {
        // Level and exact up to 5, then steep and noisy.
        let curve = LossCurve(
            (0..<100).map { index in
                let logError = Double(index) / 10
                return (logError, logError < 5 ? 1 : 10 * (logError - 3) + (index.isMultiple(of: 2) ? 8 : -8))
            })
        let flat = curve.loss(of: 2, variance: 0.04)
        #expect(flat.mean == curve.loss(of: 2) && flat.deviation < 0.3)
        let steep = curve.loss(of: 8, variance: 0.04)
        // 0.2 on a slope of 10, and 8 around the curve.
        #expect(abs(steep.deviation * steep.deviation - 68) < 15)
        // Where the curve is convex, the mean loss is above that of the mean error.
        #expect(curve.loss(of: 4.5, variance: 1).mean > curve.loss(of: 4.5) + 2)
    }

    @Test func leastLossIsKnownWhereLossesAreNoFunctionOfTheError() {
        func curve(from least: Double, noise: Double) -> LossCurve {
            LossCurve(
                (0..<100).map { index in
                    let loss: Double = max(least, 0.1 * Double(index) - 5)
                    return (logError: Double(index) / 10, loss: index.isMultiple(of: 2) ? loss + noise : loss)
                })
        }
        #expect(curve(from: -0.8, noise: 0.1).least == -0.8)
        // PSNR is a function of the error, whatever rounding leaves.
        let psnr = curve(from: -5, noise: 1e-15)
        #expect(psnr.least == -.infinity && psnr.loss(of: 4, variance: 0).deviation == 0)
        #expect(LossCurve([]).least == -.infinity)
    }
}
