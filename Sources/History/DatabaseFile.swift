import Foundation
import GRDB

/// The database file of a run directory: its path, its content and the settings of connections to it.
struct DatabaseFile {
    enum Content: Equatable {
        /// The file does not exist.
        case missing
        /// A database without a schema, left by an interrupted creation.
        case empty
        /// A run history of this schema version.
        case history(version: Int)
    }

    /// "ECAD" in ASCII, stored in the file header as `application_id` (https://www.sqlite.org/fileformat.html).
    static let applicationID = 0x4543_4144
    static let fileName = "history.sqlite"
    static let emptyDescription = "empty database, its creation was interrupted"

    let folder: String
    var path: String { folder + "/" + Self.fileName }

    /// A relative path is resolved against the current directory.
    init(folder: String) {
        self.folder = URL(fileURLWithPath: folder).standardizedFileURL.path
    }

    /// Whether the file has a write-ahead log that is not empty.
    var hasLog: Bool { walBytes > 0 }

    /// Size of the write-ahead log in bytes, 0 if there is none.
    var walBytes: Int {
        var status = stat()
        return stat(path + "-wal", &status) == 0 ? Int(status.st_size) : 0
    }

    /// Identifies the content without changing the file.
    ///
    /// Throws `HistoryError.notAHistory`, `.notReadable` or `.corrupt`.
    func inspect() throws -> Content {
        switch access(path, F_OK) == 0 ? 0 : errno {
        case 0: break
        case ENOENT: return .missing
        case let code: throw HistoryError.notReadable(file: path, reason: String(cString: strerror(code)))
        }
        // Closing a plain descriptor releases the locks that SQLite holds in this process
        // (https://www.sqlite.org/howtocorrupt.html, 2.2), so the header is read directly only if no connection is open.
        // It is then complete, and SQLite would leave a log and its index behind.
        let isInUse = access(path + "-shm", F_OK) == 0 || hasLog
        return isInUse ? try inspectThroughSQLite() : try inspectHeader()
    }

    private func inspectThroughSQLite() throws -> Content {
        try HistoryError.translating(file: path) {
            let database = try DatabaseQueue(path: path, configuration: Self.readOnly())
            defer { try? database.close() }
            return try database.read { db in
                try content(
                    application: try Int.fetchOne(db, sql: "PRAGMA application_id") ?? 0,
                    version: try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0,
                    pages: try Int.fetchOne(db, sql: "PRAGMA page_count") ?? 0)
            }
        }
    }

    /// Reads the fields at offsets 28, 60 and 68 (https://www.sqlite.org/fileformat.html#the_database_header).
    private func inspectHeader() throws -> Content {
        let header = try readHeader()
        guard !header.isEmpty else { return .empty }
        guard header.starts(with: Array("SQLite format 3\0".utf8)), header.count == 100 else {
            throw HistoryError.notAHistory(file: path, found: "not a SQLite database")
        }
        return try content(
            application: Self.bigEndian(header[68..<72]), version: Self.bigEndian(header[60..<64]),
            pages: Self.bigEndian(header[28..<32]))
    }

    private func content(application: Int, version: Int, pages: Int) throws -> Content {
        if application == Self.applicationID { return .history(version: version) }
        if application == 0, version == 0, pages <= 1 { return .empty }
        throw HistoryError.notAHistory(
            file: path, found: "application_id \(application), expected \(Self.applicationID)")
    }

    /// Removes an empty write-ahead log and its index, unless a connection of this or another process is open.
    ///
    /// SQLite removes them when the last connection is closed, but not if that one is read-only
    /// (https://www.sqlite.org/walformat.html#file_lifecycles): a writable one is opened and closed. Does nothing if
    /// that fails, since the files do no harm.
    func removeUnusedLog() {
        guard !hasLog, ["-shm", "-wal"].contains(where: { access(path + $0, F_OK) == 0 }),
            access(path, W_OK) == 0, access(folder, W_OK) == 0, NetworkFileSystem.kind(at: folder) == nil,
            let database = try? DatabaseQueue(path: path)
        else { return }
        // The log is opened with the first statement that reads.
        _ = try? database.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM sqlite_schema") }
        try? database.close()
    }

    /// The path, or a URI with parameters, under which SQLite opens the file.
    ///
    /// `isImmutable` asserts that no process writes to the file. SQLite then needs neither locks nor the log's index,
    /// which it cannot create in a folder without write permission (https://www.sqlite.org/uri.html#uriimmutable).
    func location(isImmutable: Bool) -> String {
        guard isImmutable else { return path }
        let escaped = path.addingPercentEncoding(withAllowedCharacters: .urlPathAllowed) ?? path
        return "file:\(escaped)?immutable=1"
    }

    /// `version` is the file's schema version; what the current schema has beyond it is added for this connection only.
    static func readOnly(version: Int = Schema.version) -> Configuration {
        var configuration = Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(busySeconds)
        configuration.prepareDatabase { db in
            try checkVersion(db)
            if version < Schema.version { try Schema.addTemporaryViews(to: db, of: version) }
        }
        return configuration
    }

    /// Write-ahead log; with `isDurable`, every commit is on disk when it returns.
    static func writer(isDurable: Bool = true) -> Configuration {
        var configuration = Configuration()
        configuration.busyMode = .timeout(busySeconds)
        // GRDB's own WAL setup uses synchronous = NORMAL, which loses acknowledged results in a power failure.
        configuration.prepareDatabase { db in
            try checkVersion(db)
            let mode = try String.fetchOne(db, sql: "PRAGMA journal_mode = WAL")
            guard mode == "wal" else {
                throw DatabaseError(
                    resultCode: .SQLITE_CANTOPEN, message: "the file system does not support the write-ahead log")
            }
            try db.execute(sql: "PRAGMA synchronous = \(isDurable ? "FULL" : "OFF")")
            // Without a limit, a log that has grown while a reader blocked checkpoints never shrinks.
            _ = try Int.fetchOne(db, sql: "PRAGMA journal_size_limit = 67108864")
        }
        return configuration
    }

    /// Seconds a connection waits for a lock.
    static let busySeconds = 5.0

    private static func checkVersion(_ db: Database) throws {
        try Schema.checkSQLite(version: try String.fetchOne(db, sql: "SELECT sqlite_version()") ?? "")
    }

    private func readHeader() throws -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw HistoryError.notReadable(file: path, reason: String(cString: strerror(errno))) }
        defer { close(file) }
        var header = [UInt8](repeating: 0, count: 100)
        let count = read(file, &header, header.count)
        guard count >= 0 else { throw HistoryError.notReadable(file: path, reason: String(cString: strerror(errno))) }
        return Array(header.prefix(count))
    }

    /// Waits until a file or folder is on disk.
    static func synchronize(_ path: String) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0, fsync(descriptor) == 0 else {
            let reason = String(cString: strerror(errno))
            if descriptor >= 0 { close(descriptor) }
            throw HistoryError.notWritable(file: path, reason: reason)
        }
        close(descriptor)
    }

    private static func bigEndian(_ bytes: ArraySlice<UInt8>) -> Int {
        bytes.reduce(0) { $0 << 8 | Int($1) }
    }
}
