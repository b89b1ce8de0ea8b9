/// Who was turned away, in numbers: neither the history nor the log grows with the attempts of a stranger.
struct RefusalLog {
    /// What the history counts.
    enum Kind: String, CaseIterable {
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
    }

    /// Seconds between two lines of the log on the same kind.
    private static let pause = 10.0

    private var counts: [String: Int] = [:]
    private var loggedAt: [String: Double] = [:]

    /// Counts a refusal.
    ///
    /// - Returns: True if the log has not spoken of this kind lately.
    mutating func count(_ kind: String, _ number: Int = 1, at now: Double) -> Bool {
        counts[kind, default: 0] += number
        guard now - (loggedAt[kind] ?? -.infinity) >= Self.pause else { return false }
        loggedAt[kind] = now
        return true
    }

    /// Takes the numbers since the last call.
    mutating func take() -> [String: Int] {
        defer { counts = [:] }
        return counts
    }
}
