import Foundation
import GRDB

extension RunHistory {
    /// Size of the write-ahead log in bytes; it grows as long as a reader holds an old state.
    public var walBytes: Int { databaseFile.walBytes }

    /// Writes the log back into the database and empties it.
    ///
    /// - Returns: Whether the log is empty now; `false` while a reader or a writer is in the way, which harms nothing.
    /// - Throws: `HistoryError`.
    @discardableResult
    public func checkpoint() throws -> Bool {
        // A log cannot be written back from within a transaction.
        guard group.current == nil else { return false }
        return try HistoryError.translating(file: file) {
            do {
                return try database.writeWithoutTransaction { db in
                    // The coordinator's loop must not stand still for a reader: next time will do.
                    try db.execute(sql: "PRAGMA busy_timeout = 50")
                    defer { try? db.execute(sql: "PRAGMA busy_timeout = \(Int(DatabaseFile.busySeconds * 1000))") }
                    _ = try db.checkpoint(.truncate)
                    return true
                }
            } catch DatabaseError.SQLITE_BUSY, DatabaseError.SQLITE_LOCKED {
                return false
            }
        }
    }

    /// Writes a compact copy of the history to a new file, from one consistent state, while the run goes on.
    ///
    /// The copy appears under its name only when it is complete and on disk; it may lie on a network disk.
    ///
    /// - Parameter path: Where the copy goes; nothing may be there.
    /// - Throws: `HistoryError.alreadyExists`, `.notWritable`, `.diskFull`.
    public func backup(to path: String) throws {
        guard access(path, F_OK) != 0 else { throw HistoryError.alreadyExists(file: path) }
        let partial = path + ".partial"
        unlink(partial)
        do {
            try HistoryError.translating(file: partial) {
                try database.writeWithoutTransaction { db in
                    try db.execute(sql: "VACUUM INTO ?", arguments: [partial])
                }
            }
            // VACUUM INTO does not sync what it writes.
            try Self.synchronise(partial)
            guard rename(partial, path) == 0 else {
                throw HistoryError.notWritable(file: path, reason: String(cString: strerror(errno)))
            }
            try Self.synchronise(URL(fileURLWithPath: path).deletingLastPathComponent().path)
        } catch {
            unlink(partial)
            throw error
        }
    }

    /// Copies a run into a new run folder as it was at the end of a generation, to go on differently from there.
    ///
    /// Later generations are kept under a run of their own, numbered below all others, so that what they measured
    /// need not be measured again. The copy appears in the folder when it is complete.
    ///
    /// - Parameters:
    ///   - runID: The run.
    ///   - number: The last generation to keep, a finished one.
    ///   - folder: The new run folder, without a history.
    ///   - instant: Unix seconds.
    /// - Returns: The new folder's history, writable, with the run's status `running`.
    /// - Throws: `HistoryError.noSuchRecord` unless the generation is finished, `.alreadyExists`.
    public func fork(
        _ runID: Int64, from number: Int, into folder: String, at instant: Double = now()
    ) throws -> RunHistory {
        let isFinished = try read { db in
            try Bool.fetchOne(
                db, sql: "SELECT finished_at IS NOT NULL FROM generations WHERE run_id = ? AND number = ?",
                arguments: [runID, number]) ?? false
        }
        guard isFinished else {
            throw HistoryError.noSuchRecord(kind: "finished generation", identity: String(number))
        }
        let copy = DatabaseFile(folder: folder)
        guard access(copy.path, F_OK) != 0 else { throw HistoryError.alreadyExists(file: copy.path) }
        let draft = DatabaseFile(folder: folder + "/fork.partial")
        try? FileManager.default.removeItem(atPath: draft.folder)
        try Self.prepareFolder(of: draft)
        try backup(to: draft.path)
        let fork = try RunHistory.open(in: draft.folder)
        try fork.write { db in
            try Self.moveGenerations(after: number, of: runID, in: db)
            try db.execute(
                sql: "UPDATE runs SET status = 'running', finished_at = NULL WHERE id = ?", arguments: [runID])
            try db.execute(
                sql: "INSERT INTO events (run_id, at, kind, text) VALUES (?, ?, 'forked', ?)",
                arguments: [runID, instant, "from generation \(number) of \(file)"])
        }
        try fork.close()
        guard rename(draft.path, copy.path) == 0 else {
            throw HistoryError.notWritable(file: copy.path, reason: String(cString: strerror(errno)))
        }
        try Self.synchronise(copy.folder)
        try? FileManager.default.removeItem(atPath: draft.folder)
        return try RunHistory.open(in: folder)
    }

    /// Moves later generations to a run of their own; candidates that nobody has evaluated yet are forgotten.
    private static func moveGenerations(after number: Int, of runID: Int64, in db: Database) throws {
        try db.execute(
            sql: """
                DELETE FROM candidates
                WHERE run_id = ?
                    AND NOT EXISTS (SELECT 1 FROM evaluations e WHERE e.candidate_id = candidates.id)
                    AND id IN (
                        SELECT tc.candidate_id FROM task_candidates tc JOIN tasks t ON t.id = tc.task_id
                        WHERE t.state IN ('pending', 'leased'))
                """,
            arguments: [runID])
        try db.execute(
            sql: "DELETE FROM tasks WHERE run_id = ? AND state IN ('pending', 'leased')", arguments: [runID])
        try db.execute(
            sql: """
                INSERT INTO runs (id, name, configuration, cost_objective, quality_objective, shape, gene_count,
                    model_hash, seed, reference_cost, reference_quality, evaluation_key, status, created_at, finished_at)
                SELECT (SELECT min(id) FROM runs) - 1, name || ', after generation ' || ?, configuration,
                    cost_objective, quality_objective, shape, gene_count, model_hash, seed, reference_cost,
                    reference_quality, evaluation_key, 'stopped', created_at, coalesce(finished_at, created_at)
                FROM runs WHERE id = ?
                """,
            arguments: [number, runID])
        let archive = db.lastInsertedRowID
        try db.execute(
            sql: """
                INSERT INTO genes (run_id, gene, step, block, component)
                SELECT ?, gene, step, block, component FROM genes WHERE run_id = ?
                """,
            arguments: [archive, runID])
        try db.execute(
            sql: """
                INSERT INTO generations (run_id, number, search_state, started_at, finished_at, hypervolume, evaluations,
                    wall_seconds)
                SELECT ?, number, search_state, started_at, finished_at, hypervolume, evaluations, wall_seconds
                FROM generations WHERE run_id = ? AND number > ?
                """,
            arguments: [archive, runID, number])
        for table in ["candidates", "tasks"] {
            try db.execute(
                sql: "UPDATE \(table) SET run_id = ? WHERE run_id = ? AND generation > ?",
                arguments: [archive, runID, number])
        }
        try db.execute(sql: "DELETE FROM generations WHERE run_id = ? AND number > ?", arguments: [runID, number])
    }

    private static func synchronise(_ path: String) throws {
        let descriptor = Foundation.open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0, fsync(descriptor) == 0 else {
            let reason = String(cString: strerror(errno))
            if descriptor >= 0 { Foundation.close(descriptor) }
            throw HistoryError.notWritable(file: path, reason: reason)
        }
        Foundation.close(descriptor)
    }
}
