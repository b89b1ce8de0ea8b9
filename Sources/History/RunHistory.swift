import Foundation
import GRDB

/// The persistent state of calibration runs: one SQLite file, `history.sqlite`, in the run directory.
///
/// There is one writer, the coordinator, which holds `coordinator.lock` until it closes the history, and any number of
/// readers in this or other processes of the same host. Every writing method is one transaction, or part of the
/// enclosing `transaction`, and is on disk when that returns (write-ahead log, `synchronous = FULL`): an acknowledged
/// result survives a killed process and a power failure, and an interrupted write leaves no trace.
///
/// All methods are synchronous and throw `HistoryError`. Times are Unix seconds; methods that store the current time
/// accept it as `at`, so that a simulated clock can be used.
public final class RunHistory: Sendable {
    /// The evaluation set of the search, as opposed to those of benchmarks.
    public static let calibration = "calibration"

    /// Path of the database file.
    public var file: String { databaseFile.path }

    /// False for a history opened with `openReadOnly`.
    public var isWritable: Bool { lock != nil }

    /// Size of the write-ahead log in bytes; it grows while a reader holds a snapshot.
    public var walBytes: Int { databaseFile.walBytes }

    private let databaseFile: DatabaseFile
    let database: DatabaseQueue
    private let lock: CoordinatorLock?
    private let openTransaction = OpenTransaction()

    private init(file: DatabaseFile, database: DatabaseQueue, lock: CoordinatorLock?) {
        self.databaseFile = file
        self.database = database
        self.lock = lock
    }

    // MARK: - Opening and closing

    /// Creates an empty history in a run directory, and the folder if it is missing.
    ///
    /// `isDurable: false` skips waiting for the disk; such a history may be lost in a power failure. Throws
    /// `HistoryError.alreadyExists`, `.locked`, `.networkFileSystem`, `.notWritable` or `.diskFull`.
    public static func create(in folder: String, isDurable: Bool = true) throws -> RunHistory {
        let file = DatabaseFile(folder: folder)
        try prepareFolder(of: file)
        return try openForWriting(file, isDurable: isDurable) { content in
            guard content == .missing || content == .empty else { throw HistoryError.alreadyExists(file: file.path) }
        }
    }

    /// Opens an existing history for writing and migrates an older schema.
    ///
    /// Throws `HistoryError.missing`, `.locked`, `.newerSchema`, `.notAHistory`, `.networkFileSystem`, `.notWritable`
    /// or `.corrupt`.
    public static func open(in folder: String) throws -> RunHistory {
        let file = DatabaseFile(folder: folder)
        guard try file.inspect() != .missing else { throw HistoryError.missing(file: file.path) }
        return try openForWriting(file) { content in
            guard case .history = content else {
                throw HistoryError.notAHistory(file: file.path, found: DatabaseFile.emptyDescription)
            }
        }
    }

    /// Opens an existing history for reading, whether or not a coordinator is writing to it.
    ///
    /// A folder without write permission or on a network file system is read as an archive: nothing may write to it
    /// meanwhile. Writing methods throw `HistoryError.notWritable`. Throws `HistoryError.missing`, `.newerSchema`,
    /// `.olderSchema`, `.notAHistory`, `.notReadable`, `.networkFileSystem` or `.corrupt`.
    public static func openReadOnly(in folder: String) throws -> RunHistory {
        let file = DatabaseFile(folder: folder)
        let network = NetworkFileSystem.kind(at: file.folder)
        if let network, file.hasLog { throw HistoryError.networkFileSystem(folder: file.folder, kind: network) }
        do {
            let version: Int
            switch try file.inspect() {
            case .missing: throw HistoryError.missing(file: file.path)
            case .empty: throw HistoryError.notAHistory(file: file.path, found: DatabaseFile.emptyDescription)
            case .history(let found): version = found
            }
            try requireReadable(version, file)
            let isArchive = !file.hasLog && (network != nil || access(file.folder, W_OK) != 0)
            return try HistoryError.translating(file: file.path) {
                let database = try DatabaseQueue(
                    path: file.location(isImmutable: isArchive),
                    configuration: DatabaseFile.readOnly(version: version))
                return RunHistory(file: file, database: database, lock: nil)
            }
        } catch HistoryError.notWritable(let path, let reason) {
            // SQLite also reports "unable to open" if it lacks the permission to create the log's index.
            let needsRecovery = file.hasLog && access(file.folder, W_OK) != 0
            let advice =
                "an interrupted run left a write-ahead log: copy the directory to a writable place and open the copy"
            throw HistoryError.notReadable(file: path, reason: needsRecovery ? advice : reason)
        }
    }

    // A reader is closed when it is no longer used.
    deinit {
        if lock == nil { try? close() }
    }

    /// Writes the log back into the database, closes it and releases the coordinator's lock.
    ///
    /// If the log cannot be written back it stays beside the database, and nothing is lost. An empty one is removed by
    /// the last connection that is closed, whether it reads or writes.
    public func close() throws {
        defer { lock?.release() }
        // While a reader is connected, closing alone would leave the log as it is.
        if isWritable { _ = try? checkpoint() }
        try HistoryError.translating(file: file) { try database.close() }
        if !isWritable { databaseFile.removeUnusedLog() }
    }

    /// What to warn of: the run directory is on a file system that several hosts may share; nil if it is not.
    public var storageWarning: String? { NetworkFileSystem.warning(for: databaseFile.folder) }

    /// The coordinator that works in a run directory, such as "pid 812 on head"; nil if there is none.
    public static func coordinator(of folder: String) -> String? { CoordinatorLock.holder(in: folder) }

    /// Current time in Unix seconds, the default of all `at` parameters.
    public static func now() -> Double {
        Date().timeIntervalSince1970
    }

    /// Creates a run directory if it is missing, and rejects one on a network file system.
    static func prepareFolder(of file: DatabaseFile) throws {
        do {
            try FileManager.default.createDirectory(atPath: file.folder, withIntermediateDirectories: true)
        } catch {
            let reason = mkdir(file.folder, 0o777) == 0 ? "" : ": \(String(cString: strerror(errno)))"
            throw HistoryError.notWritable(file: file.folder, reason: "the directory cannot be created\(reason)")
        }
        try requireLocal(file)
    }

    private static func requireLocal(_ file: DatabaseFile) throws {
        if let kind = NetworkFileSystem.kind(at: file.folder) {
            throw HistoryError.networkFileSystem(folder: file.folder, kind: kind)
        }
    }

    private static func openForWriting(
        _ file: DatabaseFile, isDurable: Bool = true, require: (DatabaseFile.Content) throws -> Void
    ) throws -> RunHistory {
        try requireLocal(file)
        let lock = try CoordinatorLock(folder: file.folder)
        let content = try file.inspect()
        try require(content)
        if case .history(let version) = content, version > Schema.version {
            throw HistoryError.newerSchema(file: file.path, found: version, supported: Schema.version)
        }
        return try HistoryError.translating(file: file.path) {
            let database = try DatabaseQueue(path: file.path, configuration: DatabaseFile.writer(isDurable: isDurable))
            try Schema.migrate(database, at: now())
            return RunHistory(file: file, database: database, lock: lock)
        }
    }

    private static func requireReadable(_ version: Int, _ file: DatabaseFile) throws {
        if version > Schema.version {
            throw HistoryError.newerSchema(file: file.path, found: version, supported: Schema.version)
        }
        if version < Schema.oldestReadable {
            throw HistoryError.olderSchema(file: file.path, found: version, supported: Schema.version)
        }
    }

    // MARK: - Transactions

    /// Runs the body in one transaction: one wait for the disk instead of many.
    ///
    /// All writes of the body are on disk when this returns and undone if it throws; the caller's in-memory state is
    /// then ahead of the history. A single write that throws inside the body is undone alone. The body must call this
    /// history on the current thread only. A nested call joins the outer transaction.
    public func transaction<T>(_ body: () throws -> T) throws -> T {
        try requireWritable()
        guard openTransaction.database == nil else { return try body() }
        return try HistoryError.translating(file: file) {
            try database.write { db in
                openTransaction.begin(db)
                defer { openTransaction.end() }
                return try body()
            }
        }
    }

    /// Runs the body in an IMMEDIATE transaction, or in a savepoint of the open one.
    ///
    /// A deferred transaction that starts by reading cannot wait for the write lock (SQLITE_BUSY_SNAPSHOT).
    func write<T>(_ body: (Database) throws -> T) throws -> T {
        try requireWritable()
        return try HistoryError.translating(file: file) {
            guard let db = openTransaction.database else { return try database.write(body) }
            var result: T?
            try db.inSavepoint {
                result = try body(db)
                return .commit
            }
            guard let result else { throw DatabaseError(resultCode: .SQLITE_INTERNAL) }
            return result
        }
    }

    /// Runs the body on one snapshot of the database, or in the open transaction.
    func read<T>(_ body: (Database) throws -> T) throws -> T {
        try HistoryError.translating(file: file) {
            try openTransaction.database.map(body) ?? database.read(body)
        }
    }

    private func requireWritable() throws {
        guard isWritable else { throw HistoryError.notWritable(file: file, reason: "it is opened read-only") }
    }

    // MARK: - Maintenance

    /// Writes the log back into the database and truncates it.
    ///
    /// Returns false, and changes nothing, inside a transaction and while another connection blocks it for 50 ms.
    @discardableResult
    public func checkpoint() throws -> Bool {
        guard openTransaction.database == nil else { return false }
        return try HistoryError.translating(file: file) {
            do {
                return try database.writeWithoutTransaction { db in
                    // The coordinator's loop must not wait long for a reader; the next checkpoint will do.
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

    /// Writes a compacted copy of one snapshot of the history to a new file, while the run continues.
    ///
    /// The copy gets its final name once it is complete and on disk; it may be on a network file system. Throws
    /// `HistoryError.alreadyExists`, `.notWritable` or `.diskFull`.
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
            // VACUUM INTO does not sync the file it writes.
            try DatabaseFile.synchronize(partial)
            guard rename(partial, path) == 0 else {
                throw HistoryError.notWritable(file: path, reason: String(cString: strerror(errno)))
            }
            try DatabaseFile.synchronize(URL(fileURLWithPath: path).deletingLastPathComponent().path)
        } catch {
            unlink(partial)
            throw error
        }
    }
}

// MARK: - Stores

extension RunHistory {
    /// Runs: configuration, genes, prompts, canary, cost tables, forks.
    public var runs: RunStore { RunStore(history: self) }
    /// The search: generations, candidates, evaluations, the Pareto front.
    public var search: SearchStore { SearchStore(history: self) }
    /// Tasks and their leases.
    public var tasks: TaskStore { TaskStore(history: self) }
    /// Results of tasks: scores, timings, thumbnails, rechecks.
    public var results: ResultStore { ResultStore(history: self) }
    /// Benchmarked schedules and their statistics.
    public var benchmarks: BenchmarkStore { BenchmarkStore(history: self) }
    /// Workers: description, connected time, quarantine.
    public var workers: WorkerStore { WorkerStore(history: self) }
    /// The event log and the counts of refused peers and messages.
    public var events: EventStore { EventStore(history: self) }
}

/// The transaction that a thread has opened with `RunHistory.transaction`.
private final class OpenTransaction: Sendable {
    // Used only on the thread that opened the transaction: `database` returns nil on all others.
    nonisolated(unsafe) private var current: Database?
    nonisolated(unsafe) private var owner: pthread_t?
    private let lock = NSLock()

    /// Nil unless the current thread has opened a transaction.
    var database: Database? {
        lock.withLock {
            guard let owner, pthread_equal(owner, pthread_self()) != 0 else { return nil }
            return current
        }
    }

    func begin(_ database: Database) {
        lock.withLock {
            current = database
            owner = pthread_self()
        }
    }

    func end() {
        lock.withLock {
            current = nil
            owner = nil
        }
    }
}

// Statements that run for every task or worker are cached: compiling one takes longer than running it.
extension Database {
    func executeCached(sql: String, arguments: StatementArguments) throws {
        try cachedStatement(sql: sql).execute(arguments: arguments)
    }

    func cachedRows(sql: String, arguments: StatementArguments = []) throws -> [Row] {
        try Row.fetchAll(cachedStatement(sql: sql), arguments: arguments)
    }

    /// Throws `HistoryError.noSuchRecord` if the last statement changed no row.
    func requireChange(_ kind: String, _ identity: Int64) throws {
        guard changesCount > 0 else { throw HistoryError.noSuchRecord(kind: kind, identity: String(identity)) }
    }
}
