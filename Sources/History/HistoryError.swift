import GRDB

/// An error of the run history; every description is one line.
public enum HistoryError: Error, Equatable, CustomStringConvertible {
    /// The run directory has no `history.sqlite`.
    case missing(file: String)
    /// The run directory, or the target of a backup, already has a history.
    case alreadyExists(file: String)
    /// The file is not a SQLite database, or belongs to another application.
    case notAHistory(file: String, found: String)
    /// The file was written by a newer release.
    case newerSchema(file: String, found: Int, supported: Int)
    /// The file was written by an older release and must be migrated before it can be read.
    case olderSchema(file: String, found: Int, supported: Int)
    /// Another coordinator has opened the run directory for writing.
    case locked(folder: String, holder: String)
    /// The disk is full or its quota is used up.
    case diskFull(file: String)
    /// The file or its folder cannot be written or created.
    case notWritable(file: String, reason: String)
    /// The file or its folder cannot be read.
    case notReadable(file: String, reason: String)
    /// The run directory is on a file system that several hosts share, where the write-ahead log is not safe.
    case networkFileSystem(folder: String, kind: String)
    /// The database file is damaged.
    case corrupt(file: String, reason: String)
    /// A stored value cannot be decoded; `row` is the row id.
    case corruptValue(file: String, table: String, row: Int64, column: String, found: String, expected: String)
    /// Another process held a lock on the database for more than five seconds.
    case busy(file: String)
    /// The linked SQLite is too old for the schema.
    case sqliteTooOld(found: String, required: String)
    /// A record violates a constraint of the schema.
    case refused(record: String)
    /// No such record; `kind` is the noun of the table, `identity` the key.
    case noSuchRecord(kind: String, identity: String)
    /// The task is done or failed, and can be neither leased nor failed.
    case taskClosed(id: Int64, state: String)
    /// A lease has an epoch that is not higher than that of the task's latest lease.
    case epochReused(taskID: Int64, epoch: Int, latest: Int)
    /// A result has values for a candidate or an image that is not part of its task.
    case resultOutsideTask(id: Int64, found: String)
    /// The length of a genome does not match the run's gene count.
    case genomeLength(expectedBytes: Int, foundBytes: Int, genes: Int)
    /// A query is not one valid read-only SQL statement.
    case query(reason: String)
    /// Any other error of SQLite.
    case sqlite(file: String, reason: String)

    /// One line for the terminal.
    public var description: String {
        switch self {
        case .missing(let file):
            "\(file) does not exist: not a run directory"
        case .alreadyExists(let file):
            "\(file) already exists: resume that run or choose another run directory"
        case .notAHistory(let file, let found):
            "\(file) is not an ECAD run history: \(found)"
        case .newerSchema(let file, let found, let supported):
            "\(file) has schema version \(found), this release supports up to \(supported): use a newer release of ECAD"
        case .olderSchema(let file, let found, let supported):
            "\(file) has schema version \(found), expected \(supported): resume the run once to migrate it"
        case .locked(let folder, let holder):
            "\(folder) is in use by another coordinator (\(holder)): stop it first"
        case .diskFull(let file):
            "cannot write \(file): disk full; free space or raise the quota, then resume the run"
        case .notWritable(let file, let reason):
            "cannot write \(file): \(reason)"
        case .notReadable(let file, let reason):
            "cannot read \(file): \(reason)"
        case .networkFileSystem(let folder, let kind):
            "\(folder) is on \(kind), where SQLite's write-ahead log is not safe: "
                + "use a run directory on a local disk and copy backups of the history to the shared one"
                + (kind.contains("virtual machine")
                    ? ", or, if only this machine writes to it, name its type in \(NetworkFileSystem.variable)" : "")
        case .corrupt(let file, let reason):
            "\(file) is damaged: \(reason); restore a backup or try .recover of the sqlite3 shell"
        case .corruptValue(let file, let table, let row, let column, let found, let expected):
            "\(file): \(table).\(column) of row \(row) is \"\(found)\"; expected \(expected)"
        case .busy(let file):
            "\(file) is locked by another process: close other programs that write to it"
        case .sqliteTooOld(let found, let required):
            "SQLite is version \(found); the run history requires \(required) or later"
        case .refused(let record):
            "invalid record for the run history: \(record)"
        case .noSuchRecord(let kind, let identity):
            "the run history has no \(kind) \(identity)"
        case .taskClosed(let id, let state):
            "task \(id) is \(state); expected pending or leased"
        case .epochReused(let taskID, let epoch, let latest):
            "lease of task \(taskID) has epoch \(epoch); expected a higher one than \(latest)"
        case .resultOutsideTask(let id, let found):
            "result of task \(id) contains \(found), which is not part of the task"
        case .genomeLength(let expected, let found, let genes):
            "genome has \(found) bytes; expected \(expected) for \(genes) genes"
        case .query(let reason):
            "invalid query: \(reason)"
        case .sqlite(let file, let reason):
            "\(file): \(reason)"
        }
    }
}

/// A stored value that cannot be decoded; `HistoryError.translating` adds the file.
struct CorruptValue: Error {
    let table: String
    let row: Int64
    let column: String
    let found: String
    let expected: String
}

extension HistoryError {
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

    /// Runs the body and rethrows errors of SQLite and `CorruptValue` as `HistoryError`.
    static func translating<T>(file: String, _ body: () throws -> T) throws -> T {
        do {
            return try body()
        } catch let error as DatabaseError {
            throw HistoryError(error, file: file)
        } catch let value as CorruptValue {
            throw HistoryError.corruptValue(
                file: file, table: value.table, row: value.row, column: value.column, found: value.found,
                expected: value.expected)
        }
    }
}
