import GRDB

/// An entry of the event log.
public struct EventRecord: Hashable, Sendable {
    /// Increases from event to event, possibly with gaps; never reused.
    public let sequence: Int64
    /// Run of the event; nil if it does not belong to one.
    public let runID: Int64?
    /// Unix seconds.
    public let at: Double
    /// Short keyword to filter by.
    public let kind: String
    /// A sentence or JSON.
    public let text: String
}

extension EventRecord {
    init(_ row: Row) {
        sequence = row["seq"]
        runID = row["run_id"]
        at = row["at"]
        kind = row["kind"]
        text = row["text"]
    }
}

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

    /// Up to `limit` events with a sequence number above `sequence`, oldest first.
    public func list(after sequence: Int64 = 0, limit: Int = 1000) throws -> [EventRecord] {
        try history.read { db in
            try Row.fetchAll(
                db, sql: "SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?", arguments: [sequence, limit]
            ).map { EventRecord($0) }
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

    /// Number of refused peers and messages by reason.
    public func refusals(of runID: Int64) throws -> [String: Int] {
        try history.read { db in
            let rows = try db.cachedRows(sql: "SELECT reason, count FROM refusals WHERE run_id = ?", arguments: [runID])
            return Dictionary(uniqueKeysWithValues: rows.map { ($0["reason"], $0["count"]) })
        }
    }
}
