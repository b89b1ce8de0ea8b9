/// Whether a worker computes what the others compute: its numbers for a fixed little task against the run's first.
enum CanaryCheck {
    /// The root mean square of the differences, relative to that of the numbers, beyond which a worker is refused.
    ///
    /// Between processors and BLAS kernels it is below 1e-3 in 32-bit arithmetic; a wrong kernel changes everything.
    static let tolerance = 0.01

    /// How far two canaries lie apart; infinite if they cannot be compared.
    static func difference(_ canary: [Float], from reference: [Float]) -> Double {
        guard canary.count == reference.count, !reference.isEmpty, canary.allSatisfy(\.isFinite) else {
            return .infinity
        }
        let squares = zip(canary, reference).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
        let size = reference.reduce(0.0) { $0 + Double($1) * Double($1) }
        return size > 0 ? (squares / size).squareRoot() : .infinity
    }
}
