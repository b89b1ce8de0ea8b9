/// What can go wrong with a run history; every description is one line that names the file and the way out.
public enum HistoryError: Error, Equatable, CustomStringConvertible {
    /// There is no `history.sqlite` in the run folder.
    case missing(file: String)
    /// A history is already in the run folder.
    case alreadyExists(file: String)
    /// The file is no SQLite database, or one of another application.
    case notAHistory(file: String, found: String)
    /// The file was written by a newer version of this program.
    case newerSchema(file: String, found: Int, supported: Int)
    /// The file has to be migrated by a coordinator before it can be read.
    case olderSchema(file: String, found: Int, supported: Int)
    /// Another coordinator writes to this run folder.
    case locked(folder: String, holder: String)
    /// The disk, or the quota on it, is full.
    case diskFull(file: String)
    /// The file or its folder cannot be written (or created).
    case notWritable(file: String, reason: String)
    /// The file or its folder cannot be read.
    case notReadable(file: String, reason: String)
    /// The run folder lies on a file system shared between hosts, where the write-ahead log is not safe.
    case networkFileSystem(folder: String, kind: String)
    /// The file's content is damaged.
    case corrupt(file: String, reason: String)
    /// Another program held a lock on the database for longer than the time allowed.
    case busy(file: String)
    /// The linked SQLite lacks what the schema needs.
    case sqliteTooOld(found: String, required: String)
    /// A record violates a constraint of the schema.
    case refused(record: String)
    /// No record has this identity; `kind` names the table's noun, `identity` the key looked for.
    case noSuchRecord(kind: String, identity: String)
    /// The task is done or failed, so that it cannot be leased or failed again.
    case taskClosed(id: Int64, state: String)
    /// A result holds a value for a candidate or an image that its task does not ask for.
    case resultOutsideTask(id: Int64, found: String)
    /// A genome's byte count does not fit the run's gene count.
    case genomeLength(expectedBytes: Int, foundBytes: Int, genes: Int)
    /// SQL given by a user cannot be run as one read-only statement.
    case query(reason: String)
    /// Any other failure reported by SQLite.
    case sqlite(file: String, reason: String)

    /// One line for the terminal.
    public var description: String {
        switch self {
        case .missing(let file):
            "no run history: \(file) does not exist (is this a run folder?)"
        case .alreadyExists(let file):
            "\(file) already exists: resume that run or choose another run folder"
        case .notAHistory(let file, let found):
            "\(file) is not an ECAD run history: \(found)"
        case .newerSchema(let file, let found, let supported):
            "\(file) has schema version \(found), this program supports up to \(supported): use a newer ECAD"
        case .olderSchema(let file, let found, let supported):
            "\(file) has schema version \(found), expected \(supported): let a coordinator open it once to migrate it"
        case .locked(let folder, let holder):
            "\(folder) is in use by another coordinator (\(holder)): stop that one first"
        case .diskFull(let file):
            "disk full: cannot write \(file) (free space or raise the quota, then resume)"
        case .notWritable(let file, let reason):
            "cannot write \(file): \(reason)"
        case .notReadable(let file, let reason):
            "cannot read \(file): \(reason)"
        case .networkFileSystem(let folder, let kind):
            "\(folder) is on \(kind), a network file system, where SQLite's write-ahead log is not safe: "
                + "use a run folder on a local disk and copy backups of the history to the shared one"
        case .corrupt(let file, let reason):
            "\(file) is damaged: \(reason) (restore a backup, or try the sqlite3 shell's .recover)"
        case .busy(let file):
            "\(file) is locked by another program: close other programs that write to it"
        case .sqliteTooOld(let found, let required):
            "SQLite \(found) is too old: the run history needs \(required)"
        case .refused(let record):
            "the run history refused a record: \(record)"
        case .noSuchRecord(let kind, let identity):
            "the run history has no \(kind) \(identity)"
        case .taskClosed(let id, let state):
            "task \(id) is already \(state): expected a pending or leased task"
        case .resultOutsideTask(let id, let found):
            "the result of task \(id) holds \(found), which the task did not ask for"
        case .genomeLength(let expected, let found, let genes):
            "a genome of \(genes) genes takes \(expected) bytes, found \(found)"
        case .query(let reason):
            "cannot run the query: \(reason)"
        case .sqlite(let file, let reason):
            "\(file): \(reason)"
        }
    }
}
