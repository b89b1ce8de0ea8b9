import History

/// Which member of a front a user wants.
public enum FrontChoice: Equatable, Sendable {
    /// The best quality at a latency ratio (candidate seconds / uncached seconds) of at most this.
    case maxLatency(Double)
    /// The fastest with a quality of at least this.
    case minQuality(Double)
    /// The fastest whose quality is at most this below the front's best.
    case fastestWithinLoss(Double)

    /// Chooses.
    ///
    /// A member without a measured latency counts by its cost, which is relative to the uncached run as well. Of equals
    /// the first is taken.
    ///
    /// - Parameters:
    ///   - front: The front.
    ///   - folder: The run folder, for errors.
    /// - Returns: The member.
    /// - Throws: ``CoordinatorError/runFolder(path:reason:)`` when no member is good or fast enough.
    public func pick(from front: [FrontRecord], folder: String) throws -> FrontRecord {
        func latency(_ member: FrontRecord) -> Double { member.latencyRatio ?? member.cost }
        let best = front.map(\.quality).max()
        let fastest = front.map(latency).min()
        let picked: FrontRecord?
        let wish: String
        switch self {
        case .maxLatency(let bound):
            picked = front.filter { latency($0) <= bound }.max { $0.quality < $1.quality }
            wish = "a latency ratio of at most \(bound); the smallest is \(fastest.map { "\($0)" } ?? "none")"
        case .minQuality(let bound):
            picked = front.filter { $0.quality >= bound }.min { latency($0) < latency($1) }
            wish = "a quality of at least \(bound); the best is \(best.map { "\($0)" } ?? "none")"
        case .fastestWithinLoss(let loss):
            picked = front.filter { $0.quality >= (best ?? 0) - loss }.min { latency($0) < latency($1) }
            wish = "a quality within \(loss) of the best"
        }
        guard let picked else {
            throw CoordinatorError.runFolder(
                path: folder, reason: front.isEmpty ? "the front is empty" : "no member of the front has \(wish)")
        }
        return picked
    }
}
