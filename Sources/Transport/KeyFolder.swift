import Basics
import Glibc

/// The coordinator's keys on disk: its own pair and the list of workers.
///
/// A directory of mode 700 with two files of mode 600:
///
/// - `coordinator.key`: the coordinator's key pair, generated once; every worker's key file contains its public half.
/// - `workers`: a line `NAME PUBLIC-KEY authorized|revoked SINCE` for every worker, SINCE in Unix seconds.
///
/// A running coordinator reloads `workers` within a second of a change.
public struct KeyFolder: Sendable {
    /// A line of the list.
    public struct Entry: Hashable, Sendable {
        /// The worker's name in reports.
        public let name: String
        /// The worker's public key.
        public let key: PublicKey
        /// Whether the key has been revoked.
        public let isRevoked: Bool
        /// The time of the last change in Unix seconds.
        public let since: Int
    }

    /// The workers that a coordinator starts itself are named with this prefix and a number.
    public static let localPrefix = "local-"

    /// The directory.
    public let path: String

    var workersPath: String { path + "/workers" }
    private var coordinatorPath: String { path + "/coordinator.key" }

    /// Opens the directory; creates it and the coordinator's key if missing.
    ///
    /// - Parameter path: The directory; its parent must exist.
    /// - Returns: The opened folder.
    /// - Throws: `keyFile`.
    public static func create(_ path: String) throws(TransportError) -> KeyFolder {
        try PrivateFile.createFolder(path)
        let folder = KeyFolder(path: path)
        if access(folder.coordinatorPath, F_OK) != 0 {
            let keys = try KeyPair.generate()
            do {
                try PrivateFile.write(
                    """
                    # ECAD coordinator key. Workers trust the owner of the secret key.
                    public = \(keys.publicKey)
                    secret = \(keys.secret.hexadecimal)

                    """, to: folder.coordinatorPath, replacing: false)
            } catch {
                // Another process may have created it in the meantime.
                guard access(folder.coordinatorPath, F_OK) == 0 else { throw error }
            }
        }
        return folder
    }

    /// Opens an existing directory.
    ///
    /// - Parameter path: The directory, of mode 700.
    /// - Returns: The opened folder.
    /// - Throws: `keyFile`.
    public static func open(_ path: String) throws(TransportError) -> KeyFolder {
        try PrivateFile.checkFolder(path)
        return KeyFolder(path: path)
    }

    private init(path: String) { self.path = path }

    /// Reads the coordinator's own keys.
    ///
    /// - Returns: The pair.
    /// - Throws: `keyFile`.
    public func coordinatorKeys() throws(TransportError) -> KeyPair {
        let fields = try PrivateFile.fields(of: try PrivateFile.read(coordinatorPath), path: coordinatorPath)
        guard let secret = fields["secret"].flatMap({ PublicKey(hexadecimal: $0) }) else {
            throw .keyFile(path: coordinatorPath, reason: "expected a line \"secret = 64 hexadecimal digits\"")
        }
        return try KeyPair(secret: secret.bytes)
    }

    /// Reads the list of all workers, including revoked ones.
    ///
    /// - Returns: The entries in the order in which they were added.
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

    /// Authorizes a new worker, or one that was revoked before.
    ///
    /// - Parameters:
    ///   - name: Letters, digits, `.`, `_` and `-`.
    ///   - key: The worker's public key; nil to keep its previous key.
    /// - Throws: `keyName` for an invalid name, a name in use with another key, a key in use under another name, or an
    ///   unknown name without a key; `keyFile`.
    public func authorize(_ name: String, key: PublicKey?) throws(TransportError) {
        try Self.check(name)
        try change { (entries: inout [Entry]) throws(TransportError) in
            let index = entries.firstIndex { $0.name == name }
            guard let key = key ?? index.map({ entries[$0].key }) else {
                throw .keyName(name: name, reason: "is not on the list: pass its public key, or create a new key")
            }
            if let other = entries.first(where: { $0.key == key && $0.name != name }) {
                throw .keyName(name: name, reason: "has the same key as \(other.name): every worker needs its own key")
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

    /// Revokes a worker's key; a running coordinator disconnects the worker within seconds.
    ///
    /// - Parameter name: The worker's name.
    /// - Throws: `keyName` for an unknown name; `keyFile`.
    public func revoke(_ name: String) throws(TransportError) {
        try change { (entries: inout [Entry]) throws(TransportError) in
            guard let index = entries.firstIndex(where: { $0.name == name }) else {
                throw .keyName(name: name, reason: "is not on the list; see: ecad-coordinator keys list")
            }
            guard !entries[index].isRevoked else { return }
            entries[index] = Entry(name: name, key: entries[index].key, isRevoked: true, since: time(nil))
        }
    }

    /// Rejects names that could not be a field of the list or part of a file name, and those of local workers.
    ///
    /// - Throws: `keyName`.
    public static func check(_ name: String) throws(TransportError) {
        let isValid = name.utf8.allSatisfy { byte in
            byte == UInt8(ascii: ".") || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "_")
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
        }
        guard isValid, (1...64).contains(name.utf8.count), name.first != ".", name.first != "-" else {
            throw .keyName(
                name: name, reason: "is not a valid name; expected 1 to 64 letters, digits, '.', '_' and '-'")
        }
        guard !name.hasPrefix(localPrefix) || Int(name.dropFirst(localPrefix.count)) == nil else {
            throw .keyName(name: name, reason: "is the name of a worker that the coordinator starts; choose another")
        }
    }

    /// Reads, changes and replaces the list under a lock, so that concurrent commands lose no update.
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
