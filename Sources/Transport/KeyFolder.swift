import Basics
import Glibc

/// The coordinator's keys on disk: its own pair, and which workers may join.
///
/// A folder of mode 700 with two files of mode 600:
///
/// - `coordinator.key`: the coordinator's key pair, made once; its public half is part of every worker's key file.
/// - `workers`: a line `NAME PUBLIC-KEY authorized|revoked SINCE` for every worker, SINCE in Unix seconds.
///
/// A running coordinator notices changes of `workers` within a second.
public struct KeyFolder: Sendable {
    /// A worker's line.
    public struct Entry: Hashable, Sendable {
        /// What the worker is called in reports.
        public let name: String
        /// The key it proves to have.
        public let key: PublicKey
        /// True if it may not join (any more).
        public let isRevoked: Bool
        /// Unix seconds of the last change.
        public let since: Int
    }

    /// The folder.
    public let path: String

    var workersPath: String { path + "/workers" }
    private var coordinatorPath: String { path + "/coordinator.key" }

    /// Opens the folder, creating it and the coordinator's key if need be.
    ///
    /// - Parameter path: The folder; its parent exists.
    /// - Returns: The folder.
    /// - Throws: `keyFile`.
    public static func create(_ path: String) throws(TransportError) -> KeyFolder {
        try PrivateFile.makeFolder(path)
        let folder = KeyFolder(path: path)
        if access(folder.coordinatorPath, F_OK) != 0 {
            let keys = try KeyPair.generate()
            do {
                try PrivateFile.write(
                    """
                    # ECAD coordinator key. Workers know its public half and trust whoever has the secret one.
                    public = \(keys.publicKey)
                    secret = \(keys.secret.hexadecimal)

                    """, to: folder.coordinatorPath, replacing: false)
            } catch {
                // Another process may have been first.
                guard access(folder.coordinatorPath, F_OK) == 0 else { throw error }
            }
        }
        return folder
    }

    /// Opens an existing folder.
    ///
    /// - Parameter path: The folder.
    /// - Returns: The folder.
    /// - Throws: `keyFile`.
    public static func open(_ path: String) throws(TransportError) -> KeyFolder {
        try PrivateFile.checkFolder(path)
        return KeyFolder(path: path)
    }

    private init(path: String) { self.path = path }

    /// The coordinator's own keys.
    ///
    /// - Returns: The pair.
    /// - Throws: `keyFile`.
    public func coordinatorKeys() throws(TransportError) -> KeyPair {
        let fields = try PrivateFile.fields(of: try PrivateFile.read(coordinatorPath), path: coordinatorPath)
        guard let secret = fields["secret"].flatMap({ PublicKey(hexadecimal: $0) }) else {
            throw .keyFile(path: coordinatorPath, reason: "has no \"secret = 64 hexadecimal digits\"")
        }
        return try KeyPair(secret: secret.bytes)
    }

    /// The workers ever authorized.
    ///
    /// - Returns: In the order in which they were added.
    /// - Throws: `keyFile`.
    public func entries() throws(TransportError) -> [Entry] {
        guard access(workersPath, F_OK) == 0 else { return [] }
        let text = try PrivateFile.read(workersPath, isSecret: false)
        var entries: [Entry] = []
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if line.isEmpty || line.hasPrefix("#") { continue }
            let fields = line.split(separator: " ")
            guard fields.count == 4, let key = PublicKey(hexadecimal: fields[1]), let since = Int(fields[3]),
                fields[2] == "authorized" || fields[2] == "revoked"
            else {
                throw .keyFile(
                    path: workersPath, reason: "line \(number + 1): expected NAME KEY authorized|revoked SECONDS")
            }
            entries.append(
                Entry(name: String(fields[0]), key: key, isRevoked: fields[2] == "revoked", since: since))
        }
        return entries
    }

    /// Lets a worker join: a new one with its key, or one that was revoked before.
    ///
    /// - Parameters:
    ///   - name: Letters, digits, `.`, `_` and `-`.
    ///   - key: Its public key; nil for the one it had.
    /// - Throws: `keyName` for a bad name, one that is taken by another key or, without a key, unknown; `keyFile`.
    public func authorize(_ name: String, key: PublicKey?) throws(TransportError) {
        try Self.check(name)
        try change { (entries: inout [Entry]) throws(TransportError) in
            let index = entries.firstIndex { $0.name == name }
            guard let key = key ?? index.map({ entries[$0].key }) else {
                throw .keyName(name: name, reason: "is unknown: give its public key too, or make a new key")
            }
            if let other = entries.first(where: { $0.key == key && $0.name != name }) {
                throw .keyName(name: name, reason: "has the key of \(other.name): every worker needs its own")
            }
            let entry = Entry(name: name, key: key, isRevoked: false, since: time(nil))
            if let index {
                guard entries[index].key == key || entries[index].isRevoked else {
                    throw .keyName(name: name, reason: "is authorized with another key: revoke it first")
                }
                entries[index] = entry
            } else {
                entries.append(entry)
            }
        }
    }

    /// Keeps a worker out from now on; a running coordinator breaks with it within a second.
    ///
    /// - Parameter name: The worker.
    /// - Throws: `keyName` for an unknown name; `keyFile`.
    public func revoke(_ name: String) throws(TransportError) {
        try change { (entries: inout [Entry]) throws(TransportError) in
            guard let index = entries.firstIndex(where: { $0.name == name }) else {
                throw .keyName(name: name, reason: "is unknown; see: ecad-coordinator keys list")
            }
            guard !entries[index].isRevoked else { return }
            entries[index] = Entry(name: name, key: entries[index].key, isRevoked: true, since: time(nil))
        }
    }

    /// Refuses a name that would not survive the file or a file's name.
    static func check(_ name: String) throws(TransportError) {
        let isFit = name.utf8.allSatisfy { byte in
            byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
        }
        guard isFit, (1...64).contains(name.utf8.count), name.first != ".", name.first != "-" else {
            throw .keyName(name: name, reason: "is no name: expected up to 64 letters, digits, '.', '_' and '-'")
        }
    }

    /// Reads, changes and replaces the list under a lock, so that two commands at once lose nothing.
    private func change(_ body: (inout [Entry]) throws(TransportError) -> Void) throws(TransportError) {
        let lock = Glibc.open(path + "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard lock >= 0 else {
            throw .keyFile(path: path, reason: "cannot be written: \(String(cString: strerror(errno)))")
        }
        defer { close(lock) }
        guard flock(lock, LOCK_EX) == 0 else { throw .lastSystem("flock \(path)/lock") }
        var entries = try entries()
        try body(&entries)
        let lines = entries.map { "\($0.name) \($0.key) \($0.isRevoked ? "revoked" : "authorized") \($0.since)\n" }
        try PrivateFile.write(lines.joined(), to: workersPath, replacing: true)
    }
}
