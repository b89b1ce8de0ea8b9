import GRDB

extension RunHistory {
    /// Writes an entry of the run's log.
    ///
    /// - Parameters:
    ///   - kind: A word to filter by.
    ///   - text: A sentence or JSON.
    ///   - runID: The run, if the event belongs to one.
    ///   - instant: Unix seconds.
    /// - Returns: The event's sequence number.
    /// - Throws: `HistoryError`.
    @discardableResult
    public func recordEvent(
        _ kind: String, _ text: String, run runID: Int64? = nil, at instant: Double = now()
    ) throws -> Int64 {
        try write { db in
            try db.execute(
                sql: "INSERT INTO events (run_id, at, kind, text) VALUES (?, ?, ?, ?)",
                arguments: [runID, instant, kind, text])
            return db.lastInsertedRowID
        }
    }

    /// Reads the log on from a point.
    ///
    /// - Parameters:
    ///   - sequence: Events with a higher sequence number are returned.
    ///   - limit: At most this many.
    /// - Returns: Oldest first.
    /// - Throws: `HistoryError`.
    public func events(after sequence: Int64 = 0, limit: Int = 1000) throws -> [EventRecord] {
        try read { db in
            try Row.fetchAll(
                db, sql: "SELECT * FROM events WHERE seq > ? ORDER BY seq LIMIT ?", arguments: [sequence, limit]
            ).map {
                EventRecord(
                    sequence: $0["seq"], runID: $0["run_id"], at: $0["at"], kind: $0["kind"], text: $0["text"])
            }
        }
    }
}
