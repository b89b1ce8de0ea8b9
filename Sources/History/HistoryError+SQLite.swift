import GRDB

extension HistoryError {
    /// Puts an error of SQLite in the words of this module.
    ///
    /// - Parameters:
    ///   - error: What GRDB threw.
    ///   - file: The database file in use.
    init(_ error: DatabaseError, file: String) {
        let reason = error.message ?? error.resultCode.description
        self =
            switch error.resultCode {
            case .SQLITE_FULL:
                .diskFull(file: file)
            case .SQLITE_READONLY, .SQLITE_CANTOPEN, .SQLITE_PERM, .SQLITE_AUTH:
                .notWritable(file: file, reason: reason)
            case .SQLITE_CORRUPT:
                .corrupt(file: file, reason: reason)
            case .SQLITE_NOTADB:
                .notAHistory(file: file, found: reason)
            case .SQLITE_BUSY, .SQLITE_LOCKED:
                .busy(file: file)
            case .SQLITE_CONSTRAINT, .SQLITE_MISMATCH, .SQLITE_TOOBIG:
                .refused(record: reason)
            default:
                .sqlite(file: file, reason: reason)
            }
    }

    /// Runs the body and rethrows what SQLite reports as a `HistoryError`.
    ///
    /// - Parameters:
    ///   - file: The database file that the body uses.
    ///   - body: Work on the database.
    /// - Returns: What the body returns.
    /// - Throws: What the body throws, in this module's words.
    static func translating<T>(file: String, _ body: () throws -> T) throws -> T {
        do {
            return try body()
        } catch let error as DatabaseError {
            throw HistoryError(error, file: file)
        }
    }
}
