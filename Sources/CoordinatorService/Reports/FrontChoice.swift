import Foundation
import History

/// A rule that selects one member of a front.
///
/// Latency is the ratio of a candidate's to the uncached denoising time; members without a measured latency are judged
/// by their cost, which is a ratio as well. Of equal members the first is selected.
public enum FrontChoice: Equatable, Sendable {
    /// The best quality with at most this latency.
    case maxLatency(Double)
    /// The fastest with at least this quality.
    case minQuality(Double)
    /// The fastest with at most this loss relative to the best quality.
    case fastestWithinLoss(Double)

    /// Selects a member.
    ///
    /// - Parameters:
    ///   - front: The front.
    ///   - folder: The run directory in error messages.
    /// - Returns: The member.
    /// - Throws: ``CoordinatorError/runDirectory(path:reason:)`` if no member satisfies the rule.
    public func pick(from front: [FrontRecord], folder: String) throws -> FrontRecord {
        func latency(_ member: FrontRecord) -> Double { member.latencyRatio ?? member.cost }
        let best = front.map(\.quality).max()
        let fastest = front.map(latency).min()
        // Rounded to the side on which the limit can be satisfied.
        func rounded(_ value: Double, _ rule: FloatingPointRoundingRule) -> String {
            guard value != 0, value.isFinite else { return "\(value)" }
            let unit = pow(10, 3 - floor(log10(abs(value))))
            return String(format: "%.10g", (value * unit).rounded(rule) / unit)
        }
        let picked: FrontRecord?
        let criterion: String
        switch self {
        case .maxLatency(let limit):
            picked = front.filter { latency($0) <= limit }.max { $0.quality < $1.quality }
            criterion =
                "a latency ratio of at most \(limit); the smallest is \(fastest.map { rounded($0, .up) } ?? "none")"
        case .minQuality(let limit):
            picked = front.filter { $0.quality >= limit }.min { latency($0) < latency($1) }
            criterion = "a quality of at least \(limit); the best is \(best.map { rounded($0, .down) } ?? "none")"
        case .fastestWithinLoss(let loss):
            picked = front.filter { $0.quality >= (best ?? 0) - loss }.min { latency($0) < latency($1) }
            criterion = "a quality within \(loss) of the best"
        }
        guard let picked else {
            throw CoordinatorError.runDirectory(
                path: folder, reason: front.isEmpty ? "the front is empty" : "no member of the front has \(criterion)")
        }
        return picked
    }
}
