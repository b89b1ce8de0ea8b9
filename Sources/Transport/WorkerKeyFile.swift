import Basics

/// What a worker needs to join: its own key pair and the coordinator's public key, in one file.
///
/// ```
/// name = node-7
/// public = 64 hexadecimal digits
/// secret = 64 hexadecimal digits
/// coordinator = 64 hexadecimal digits
/// ```
public struct WorkerKeyFile: Sendable {
    /// What the coordinator calls the owner of the key.
    public let name: String
    /// The worker's own keys.
    public let keys: KeyPair
    /// The coordinator's public key.
    public let coordinator: PublicKey

    /// A worker's credentials.
    ///
    /// - Parameters:
    ///   - name: What the coordinator calls the owner of the key.
    ///   - keys: The worker's own keys.
    ///   - coordinator: The coordinator's public key.
    public init(name: String, keys: KeyPair, coordinator: PublicKey) {
        self.name = name
        self.keys = keys
        self.coordinator = coordinator
    }

    /// Reads a key file.
    ///
    /// - Parameter path: The file, which nobody but its owner may read.
    /// - Throws: `keyFile` that names the file and what is wrong with it.
    public init(path: String) throws(TransportError) {
        let fields = try PrivateFile.fields(of: try PrivateFile.read(path), path: path)
        func key(_ name: String) throws(TransportError) -> PublicKey {
            guard let key = fields[name].flatMap({ PublicKey(hexadecimal: $0) }) else {
                throw .keyFile(
                    path: path, reason: "has no \"\(name) = 64 hexadecimal digits\": is it a worker's key file?")
            }
            return key
        }
        keys = try KeyPair(secret: try key("secret").bytes)
        guard try key("public") == keys.publicKey else {
            throw .keyFile(path: path, reason: "its public key does not belong to its secret key")
        }
        coordinator = try key("coordinator")
        name = fields["name"] ?? ""
    }

    /// Writes the file, which must not exist yet, with mode 600.
    ///
    /// - Parameters:
    ///   - path: Where to.
    ///   - replacing: True to write over an existing file.
    /// - Throws: `keyFile`.
    public func write(to path: String, replacing: Bool = false) throws(TransportError) {
        try PrivateFile.write(
            """
            # ECAD worker key. Whoever has this file can join as "\(name)".
            name = \(name)
            public = \(keys.publicKey)
            secret = \(keys.secret.hexadecimal)
            coordinator = \(coordinator)

            """, to: path, replacing: replacing)
    }
}
