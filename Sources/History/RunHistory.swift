import Foundation
import GRDB

/// The history of a calibration run: everything the coordinator knows, in the one file `history.sqlite` of the run
/// folder.
///
/// One writer (the coordinator, which holds `coordinator.lock` as long as it lives) and any number of readers, in this
/// or other processes of the same host. Every method that writes is one transaction, on disk when it returns
/// (write-ahead log, `synchronous = FULL`): what has been acknowledged survives a killed process and a power failure,
/// and what had not returned is absent altogether. All methods are synchronous, and throw `HistoryError`.
///
/// Instants are Unix seconds; methods that note one take it as `at`, so that a simulated clock can be used.
public final class RunHistory: Sendable {
    /// The evaluation set that the search itself uses, as opposed to benchmarks.
    public static let calibration = "calibration"

    /// The database file's path.
    public var file: String { databaseFile.path }

    /// Whether this is the coordinator's own, writable history.
    public var isWritable: Bool { lock != nil }

    let databaseFile: DatabaseFile
    let database: DatabaseQueue
    private let lock: CoordinatorLock?
    let group = TransactionGroup()

    private init(file: DatabaseFile, database: DatabaseQueue, lock: CoordinatorLock?) {
        self.databaseFile = file
        self.database = database
        self.lock = lock
    }

    /// Creates the history of a new run folder, and the folder itself if need be.
    ///
    /// - Parameters:
    ///   - folder: The run folder.
    ///   - isDurable: False for a history that may be lost in a power failure: nothing waits for the disk.
    /// - Returns: A writable history without runs.
    /// - Throws: `HistoryError.alreadyExists`, `.locked`, `.networkFileSystem`, `.notWritable`, `.diskFull`.
    public static func create(in folder: String, isDurable: Bool = true) throws -> RunHistory {
        let file = DatabaseFile(folder: folder)
        try prepareFolder(of: file)
        return try openForWriting(file, isDurable: isDurable) { content in
            guard content == .missing || content == .empty else { throw HistoryError.alreadyExists(file: file.path) }
        }
    }

    /// Opens the history of an existing run folder as its coordinator, migrating an older schema.
    ///
    /// - Parameter folder: The run folder.
    /// - Returns: A writable history.
    /// - Throws: `HistoryError.missing`, `.locked`, `.newerSchema`, `.notAHistory`, `.networkFileSystem`,
    ///   `.notWritable`, `.corrupt`.
    public static func open(in folder: String) throws -> RunHistory {
        let file = DatabaseFile(folder: folder)
        guard try file.inspect() != .missing else { throw HistoryError.missing(file: file.path) }
        return try openForWriting(file) { content in
            guard case .history = content else {
                throw HistoryError.notAHistory(file: file.path, found: "empty, its creation was interrupted")
            }
        }
    }

    /// Opens the history of a run folder for reading, whether its coordinator is at work or not.
    ///
    /// A folder without write permission, or on a network disk, is read as an archive: nobody may be writing to it.
    ///
    /// - Parameter folder: The run folder.
    /// - Returns: A history whose writing methods throw `HistoryError.notWritable`.
    /// - Throws: `HistoryError.missing`, `.newerSchema`, `.olderSchema`, `.notAHistory`, `.notReadable`,
    ///   `.networkFileSystem`, `.corrupt`.
    public static func openReadOnly(in folder: String) throws -> RunHistory {
        let file = DatabaseFile(folder: folder)
        let network = NetworkFileSystem.kind(at: file.folder)
        if let network, file.hasLog { throw HistoryError.networkFileSystem(folder: file.folder, kind: network) }
        do {
            switch try file.inspect() {
            case .missing: throw HistoryError.missing(file: file.path)
            case .empty: throw HistoryError.notAHistory(file: file.path, found: "empty, its creation was interrupted")
            case .history(let version): try requireReadable(version, file)
            }
            let isArchive = !file.hasLog && (network != nil || access(file.folder, W_OK) != 0)
            return try HistoryError.translating(file: file.path) {
                let database = try DatabaseQueue(
                    path: file.location(isImmutable: isArchive), configuration: DatabaseFile.readOnly())
                return RunHistory(file: file, database: database, lock: nil)
            }
        } catch HistoryError.notWritable(let path, let reason) {
            // SQLite says "unable to open" also when it lacks the permission to make the log's index.
            let isStuck = file.hasLog && access(file.folder, W_OK) != 0
            let advice = "a crash left its log unfinished: copy the folder to where you may write, and read it there"
            throw HistoryError.notReadable(file: path, reason: isStuck ? advice : reason)
        }
    }

    /// Closes the database, which empties the log into it, and lets another coordinator in.
    ///
    /// - Throws: `HistoryError` when the log cannot be written back; nothing is lost then.
    public func close() throws {
        defer { lock?.release() }
        try HistoryError.translating(file: file) { try database.close() }
    }

    /// The clock that `at` parameters default to.
    ///
    /// - Returns: Unix seconds.
    public static func now() -> Double {
        Date().timeIntervalSince1970
    }

    // MARK: - Transactions

    /// Runs the body in one transaction that takes the write lock at once.
    ///
    /// A transaction that began by reading could not wait for the lock later (SQLITE_BUSY_SNAPSHOT), hence IMMEDIATE.
    func write<T>(_ body: (Database) throws -> T) throws -> T {
        guard isWritable else {
            throw HistoryError.notWritable(file: file, reason: "it was opened for reading only")
        }
        return try HistoryError.translating(file: file) {
            guard let db = group.current else { return try database.write(body) }
            var result: T?
            try db.inSavepoint {
                result = try body(db)
                return .commit
            }
            guard let result else { throw DatabaseError(resultCode: .SQLITE_INTERNAL) }
            return result
        }
    }

    /// Runs the body on one consistent state of the database.
    func read<T>(_ body: (Database) throws -> T) throws -> T {
        try HistoryError.translating(file: file) {
            try group.current.map(body) ?? database.read(body)
        }
    }

    /// Makes one transaction of everything that the body writes: one wait for the disk instead of many.
    ///
    /// When the call returns all of it is on disk; when it throws, nothing of it has happened, and the caller's own
    /// picture of the run is ahead of the history. Within the body a single call that throws is undone alone.
    ///
    /// - Parameter body: Calls the methods of this history, on this thread alone.
    /// - Returns: What the body returns.
    /// - Throws: What the body throws, or `HistoryError`.
    public func grouped<T>(_ body: () throws -> T) throws -> T {
        guard isWritable else { throw HistoryError.notWritable(file: file, reason: "it was opened for reading only") }
        guard group.current == nil else { return try body() }
        return try HistoryError.translating(file: file) {
            try database.write { db in
                group.enter(db)
                defer { group.leave() }
                return try body()
            }
        }
    }

    // MARK: - Opening

    /// Creates a run folder if need be, and refuses one that no coordinator may write to.
    static func prepareFolder(of file: DatabaseFile) throws {
        do {
            try FileManager.default.createDirectory(atPath: file.folder, withIntermediateDirectories: true)
        } catch {
            throw HistoryError.notWritable(file: file.folder, reason: "the folder cannot be created")
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
        if version < Schema.version {
            throw HistoryError.olderSchema(file: file.path, found: version, supported: Schema.version)
        }
    }
}
