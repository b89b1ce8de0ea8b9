/// Counts refused peers and messages by reason, so that neither the history nor the log grows with their number.
struct RefusalLog {
    /// The reasons that the history counts.
    enum Reason: String {
        case malformedMessage = "malformed-message"
        case protocolVersion = "protocol-version"
        case engineVersion = "engine-version"
        case model
        case canary
        case costTable = "cost-table"
        case quarantined
        case nameInUse = "name-in-use"
        case revokedKey = "revoked-key"
        case unknownLease = "unknown-lease"
        case unreadableKeyList = "unreadable-key-list"
    }

    /// Seconds between two log lines for one reason.
    private static let logInterval = 10.0

    private var counts: [String: Int] = [:]
    private var loggedAt: [String: Double] = [:]

    /// Counts refusals.
    ///
    /// - Returns: Whether to log a line: the last one for this reason is long enough ago.
    mutating func count(_ reason: String, _ number: Int = 1, at now: Double) -> Bool {
        counts[reason, default: 0] += number
        guard now - (loggedAt[reason] ?? -.infinity) >= Self.logInterval else { return false }
        loggedAt[reason] = now
        return true
    }

    /// Removes and returns the numbers since the last call.
    mutating func takeCounts() -> [String: Int] {
        defer { counts = [:] }
        return counts
    }
}
