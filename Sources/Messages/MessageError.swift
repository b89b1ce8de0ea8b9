/// The program that sent a message.
package enum Speaker: String, Sendable {
    case worker
    case coordinator

    fileprivate var receiver: Speaker { self == .worker ? .coordinator : .worker }
}

/// The reason bytes from a peer are not a valid message.
///
/// Each description is one line for the log and for the `reason` of a `Refusal`.
package enum MessageError: Error, Equatable, CustomStringConvertible {
    /// The message exceeds the size limit.
    case tooLarge(speaker: Speaker, bytes: Int, limit: Int)
    /// The bytes do not match the protocol buffer schema.
    case malformed(speaker: Speaker, detail: String)
    /// The protocol version is missing: the message belongs to another protocol.
    case noProtocolVersion(speaker: Speaker)
    /// The peer uses another protocol version.
    case protocolVersion(speaker: Speaker, found: UInt32, expected: UInt32)
    /// The envelope is empty or contains an unknown message kind.
    case missingBody(speaker: Speaker)
    /// A field, named as in the `.proto` file, violates a limit.
    case field(name: String, expected: String, found: String)
    /// A result was altered after it had been sealed.
    case checksum(taskID: Int64, expected: UInt32, found: UInt32)

    /// One line.
    package var description: String {
        switch self {
        case .tooLarge(let speaker, let bytes, let limit):
            "message to the \(speaker.receiver.rawValue) has \(bytes) bytes; expected at most \(limit)"
        case .malformed(let speaker, let detail):
            "message from the \(speaker.rawValue) cannot be read: \(detail)"
        case .noProtocolVersion(let speaker):
            "message has no protocol version: the peer is not an ECAD \(speaker.rawValue)"
        case .protocolVersion(let speaker, let found, let expected):
            "\(speaker.rawValue) uses protocol version \(found), this \(speaker.receiver.rawValue) uses \(expected): "
                + "run the same release on both"
        case .missingBody(let speaker):
            "message from the \(speaker.rawValue) is empty or of unknown kind"
        case .field(let name, let expected, let found):
            "message field \(name): expected \(expected), found \(found)"
        case .checksum(let taskID, let expected, let found):
            "result of task \(taskID) was corrupted: its checksum is \(found); expected \(expected)"
        }
    }
}
