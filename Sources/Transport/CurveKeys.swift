import Basics
import CZeroMQ

/// A CURVE public key (https://rfc.zeromq.org/spec/26): the identity that a peer proves in its handshake.
public struct PublicKey: Hashable, Sendable, CustomStringConvertible {
    /// 32 bytes.
    public let bytes: [UInt8]

    init(bytes: [UInt8]) { self.bytes = bytes }

    /// Parses 64 hexadecimal digits; nil for any other text.
    public init?(hexadecimal text: some StringProtocol) {
        guard let bytes = [UInt8](hexadecimal: text), bytes.count == KeyPair.byteCount else { return nil }
        self.bytes = bytes
    }

    /// 64 hexadecimal digits.
    public var description: String { bytes.hexadecimal }
}

/// A CURVE key pair of a worker or of the coordinator.
public struct KeyPair: Sendable, CustomStringConvertible {
    static let byteCount = 32

    /// The public half.
    public let publicKey: PublicKey
    let secret: [UInt8]

    /// Generates a random pair.
    ///
    /// - Returns: The pair.
    /// - Throws: `curveMissing` if libzmq was built without CURVE.
    public static func generate() throws(TransportError) -> KeyPair {
        try requireCurve()
        var publicText = [CChar](repeating: 0, count: 41)
        var secretText = [CChar](repeating: 0, count: 41)
        guard zmq_curve_keypair(&publicText, &secretText) == 0 else { throw .lastZeroMQ("zmq_curve_keypair") }
        return KeyPair(publicKey: PublicKey(bytes: try decode(publicText)), secret: try decode(secretText))
    }

    /// Derives the public key from a secret key of 32 bytes.
    ///
    /// - Throws: `curveMissing`.
    init(secret: [UInt8]) throws(TransportError) {
        try Self.requireCurve()
        precondition(secret.count == Self.byteCount, "a secret key has 32 bytes")
        var text = [CChar](repeating: 0, count: 41)
        guard zmq_z85_encode(&text, secret, secret.count) != nil else { throw .lastZeroMQ("zmq_z85_encode") }
        var publicText = [CChar](repeating: 0, count: 41)
        guard zmq_curve_public(&publicText, text) == 0 else { throw .lastZeroMQ("zmq_curve_public") }
        self.init(publicKey: PublicKey(bytes: try Self.decode(publicText)), secret: secret)
    }

    private init(publicKey: PublicKey, secret: [UInt8]) {
        self.publicKey = publicKey
        self.secret = secret
    }

    /// The public half only, so that the secret key cannot end up in a log.
    public var description: String { publicKey.description }

    private static func decode(_ text: [CChar]) throws(TransportError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: byteCount)
        guard zmq_z85_decode(&bytes, text) != nil else { throw .lastZeroMQ("zmq_z85_decode") }
        return bytes
    }

    static func requireCurve() throws(TransportError) {
        guard zmq_has("curve") == 1 else { throw .curveMissing }
    }
}

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
