import Foundation

/// How much predicted schedules are expected to add to a front.
public enum ExpectedGrowth {
    /// A schedule of known cost and predicted loss.
    public struct Forecast: Hashable, Sendable {
        /// The first objective, minimised.
        public let cost: Double
        /// Mean of the second objective, minimised.
        public let loss: Double
        /// Its standard deviation.
        public let deviation: Double

        /// Makes a forecast.
        public init(cost: Double, loss: Double, deviation: Double) {
            self.cost = cost
            self.loss = loss
            self.deviation = deviation
        }
    }

    private static let draws = 1000

    /// The mean growth of the hypervolume over draws of all losses, normal and independent of each other.
    ///
    /// Deterministic.
    ///
    /// - Parameters:
    ///   - front: Objectives of evaluated schedules, dominated ones allowed.
    ///   - forecasts: The schedules to add.
    ///   - reference: The reference point.
    /// - Returns: In units of the hypervolume, 0 or more.
    public static func mean(of front: [[Double]], by forecasts: [Forecast], reference: [Double]) -> Double {
        guard !forecasts.isEmpty else { return 0 }
        let front = Pareto.front(of: front).map { front[$0] }
        let before = Pareto.hypervolume(of: front, reference: reference)
        var generator = RandomGenerator(seed: 0)
        var sum = 0.0
        for _ in 0..<draws {
            let added = forecasts.map { [$0.cost, $0.loss + $0.deviation * generator.normal()] }
            sum += Pareto.hypervolume(of: front + added, reference: reference) - before
        }
        return sum / Double(draws)
    }
}

extension Search {
    /// What another generation is expected to add to the hypervolume, by the error model fitted to all results.
    ///
    /// The generation is bred in a copy; the search itself does not change.
    ///
    /// - Parameter count: Offspring of the generation.
    /// - Returns: Nil without an error model that has been fitted, and while offspring wait for results.
    public func expectedGrowth(offspring count: Int) -> Double? {
        guard let basis = guide?.basis, pending.isEmpty, !front.isEmpty else { return nil }
        var next = self
        let forecasts = next.breed(count).compactMap { child -> ExpectedGrowth.Forecast? in
            guard let prediction = next.predictions[child.id], let loss = prediction.loss,
                let deviation = prediction.deviation
            else { return nil }
            return ExpectedGrowth.Forecast(
                cost: basis.cost.total(of: child.genome, shape: shape), loss: loss, deviation: deviation)
        }
        guard next.pending.isEmpty || !forecasts.isEmpty else { return nil }
        return ExpectedGrowth.mean(of: front.map(\.objectives), by: forecasts, reference: basis.reference)
    }
}
