import Basics

/// A worker's credentials in one file: its own key pair and the coordinator's public key.
///
/// ```
/// name = node-7
/// public = 64 hexadecimal digits
/// secret = 64 hexadecimal digits
/// coordinator = 64 hexadecimal digits
/// ```
public struct WorkerKeyFile: Sendable {
    /// The name under which the coordinator lists the key.
    public let name: String
    /// The worker's own keys.
    public let keys: KeyPair
    /// The coordinator's public key.
    public let coordinator: PublicKey

    /// Creates credentials in memory.
    ///
    /// - Parameters:
    ///   - name: The name under which the coordinator lists the key.
    ///   - keys: The worker's own keys.
    ///   - coordinator: The coordinator's public key.
    public init(name: String, keys: KeyPair, coordinator: PublicKey) {
        self.name = name
        self.keys = keys
        self.coordinator = coordinator
    }

    /// Reads a key file.
    ///
    /// - Parameter path: The file, readable only by its owner.
    /// - Throws: `keyFile`.
    public init(path: String) throws(TransportError) {
        let fields = try PrivateFile.fields(of: try PrivateFile.read(path), path: path)
        func key(_ name: String) throws(TransportError) -> PublicKey {
            guard let key = fields[name].flatMap({ PublicKey(hexadecimal: $0) }) else {
                throw .keyFile(
                    path: path,
                    reason: "not a worker's key file; expected a line \"\(name) = 64 hexadecimal digits\"")
            }
            return key
        }
        keys = try KeyPair(secret: try key("secret").bytes)
        guard try key("public") == keys.publicKey else {
            throw .keyFile(path: path, reason: "the public key does not match the secret key")
        }
        coordinator = try key("coordinator")
        name = fields["name"] ?? ""
    }

    /// Writes the file with mode 600.
    ///
    /// - Parameters:
    ///   - path: The file.
    ///   - replacing: Whether to replace an existing file; otherwise it is an error.
    /// - Throws: `keyFile`.
    public func write(to path: String, replacing: Bool = false) throws(TransportError) {
        try PrivateFile.write(
            """
            # ECAD worker key. Anyone with this file can join as "\(name)".
            name = \(name)
            public = \(keys.publicKey)
            secret = \(keys.secret.hexadecimal)
            coordinator = \(coordinator)

            """, to: path, replacing: replacing)
    }
}
