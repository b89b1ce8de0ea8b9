import Basics

/// What a worker is called on the wire: its ZeroMQ routing id, and the key that its connection proved to have.
///
/// Any peer can claim any routing id; with another key it is another peer.
public struct PeerID: Hashable, Sendable, CustomStringConvertible {
    /// 1 to 255 bytes.
    public let bytes: [UInt8]

    /// The key proved in the handshake; nil without encryption.
    public let key: PublicKey?

    /// The id that arrived with a message.
    public init(bytes: [UInt8], key: PublicKey? = nil) {
        self.bytes = bytes
        self.key = key
    }

    /// Draws the id of a new worker session: 16 random bytes.
    public static func random() -> PeerID {
        var generator = SystemRandomNumberGenerator()
        // libzmq keeps ids that begin with a zero byte for itself.
        let first = UInt8.random(in: 1...255, using: &generator)
        return PeerID(bytes: [first] + (0..<15).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }

    /// Hexadecimal digits of the first eight bytes: enough to tell workers of a run apart.
    public var description: String {
        bytes.prefix(8).hexadecimal
    }
}
