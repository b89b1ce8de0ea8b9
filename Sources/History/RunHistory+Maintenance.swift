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
        try Self.prepareFolder(of: copy)
        try backup(to: copy.path)
        let fork = try RunHistory.open(in: folder)
        try fork.write { db in
            try db.execute(
                sql: "DELETE FROM generations WHERE run_id = ? AND number > ?", arguments: [runID, number])
            try db.execute(sql: "DELETE FROM runs WHERE id <> ?", arguments: [runID])
            try db.execute(
                sql: "UPDATE runs SET status = 'running', finished_at = NULL WHERE id = ?", arguments: [runID])
            try db.execute(
                sql: "INSERT INTO events (run_id, at, kind, text) VALUES (?, ?, 'forked', ?)",
                arguments: [runID, instant, "from generation \(number) of \(file)"])
        }
        return fork
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
