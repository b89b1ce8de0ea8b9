import GRDB

/// The event log, and counts of refused peers and messages.
public struct EventStore: Sendable {
    let history: RunHistory

    /// Appends an event and returns its sequence number; `detail` is a sentence or JSON.
    @discardableResult
    public func record(
        _ kind: String, _ detail: String, run runID: Int64? = nil, at instant: Double = RunHistory.now()
    ) throws -> Int64 {
        try history.write { db in
            try db.execute(
                sql: "INSERT INTO events (run_id, at, kind, text) VALUES (?, ?, ?, ?)",
                arguments: [runID, instant, kind, detail])
            return db.lastInsertedRowID
        }
    }

    /// The text of a run's latest event of a kind; nil if there is none.
    public func latest(_ kind: String, of runID: Int64) throws -> String? {
        try history.read { db in
            try String.fetchOne(
                db, sql: "SELECT text FROM events WHERE run_id = ? AND kind = ? ORDER BY seq DESC LIMIT 1",
                arguments: [runID, kind])
        }
    }

    /// Adds to the counts of refused peers and messages by reason, one of a few fixed keywords.
    public func countRefusals(
        _ counts: [String: Int], of runID: Int64, at instant: Double = RunHistory.now()
    ) throws {
        guard !counts.isEmpty else { return }
        try history.write { db in
            for (reason, count) in counts.sorted(by: { $0.key < $1.key }) {
                try db.executeCached(
                    sql: """
                        INSERT INTO refusals (run_id, reason, count, first_at, last_at) VALUES (?, ?, ?, ?, ?)
                        ON CONFLICT (run_id, reason) DO UPDATE SET count = count + excluded.count,
                            last_at = excluded.last_at
                        """,
                    arguments: [runID, reason, count, instant, instant])
            }
        }
    }
}
