/// What a worker is called on the wire: its ZeroMQ routing id.
///
/// Not a proof of who it is: any peer can claim any id.
public struct PeerID: Hashable, Sendable, CustomStringConvertible {
    /// 1 to 255 bytes.
    public let bytes: [UInt8]

    /// The id that arrived with a message.
    public init(bytes: [UInt8]) { self.bytes = bytes }

    /// Draws the id of a new worker session: 16 random bytes.
    public static func random() -> PeerID {
        var generator = SystemRandomNumberGenerator()
        // libzmq keeps ids that begin with a zero byte for itself.
        let first = UInt8.random(in: 1...255, using: &generator)
        return PeerID(bytes: [first] + (0..<15).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }

    /// Hexadecimal digits of the first eight bytes: enough to tell workers of a run apart.
    public var description: String {
        bytes.prefix(8).map { byte in
            let digits = String(byte, radix: 16)
            return digits.count == 1 ? "0" + digits : digits
        }.joined()
    }
}
