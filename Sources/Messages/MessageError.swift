/// Which end of the line a message came from.
package enum Speaker: String, Sendable {
    case worker
    case coordinator

    fileprivate var listener: Speaker { self == .worker ? .coordinator : .worker }
}

/// Why bytes from a peer are not a message that can be acted on.
///
/// Each description is one line fit for a log, and for the `reason` of a `Refusal`.
package enum MessageError: Error, Equatable, CustomStringConvertible {
    /// The message is larger than either side ever sends.
    case tooLarge(speaker: Speaker, bytes: Int, limit: Int)
    /// The bytes are not protocol buffers of the schema.
    case malformed(speaker: Speaker, detail: String)
    /// The bytes are protocol buffers, but no message of this protocol in any version.
    case noProtocolVersion(speaker: Speaker)
    /// The peer's release and this one do not understand each other.
    case protocolVersion(speaker: Speaker, found: UInt32, expected: UInt32)
    /// The envelope is empty, or holds a kind of message this release does not know.
    case noBody(speaker: Speaker)
    /// A field, named as in the `.proto` file, has a value outside what the protocol allows.
    case field(name: String, expected: String, found: String)
    /// A result was altered between its measurement and its arrival.
    case checksum(taskID: Int64, expected: UInt32, found: UInt32)

    /// One line for people.
    package var description: String {
        switch self {
        case .tooLarge(let speaker, let bytes, let limit):
            "message for the \(speaker.listener.rawValue) has \(bytes) bytes, at most \(limit) are allowed"
        case .malformed(let speaker, let detail):
            "message from the \(speaker.rawValue) cannot be read: \(detail)"
        case .noProtocolVersion(let speaker):
            "message without a protocol version: the peer is not an ecad \(speaker.rawValue)"
        case .protocolVersion(let speaker, let found, let expected):
            "\(speaker.rawValue) speaks protocol \(found), this \(speaker.listener.rawValue) \(expected): "
                + "run the same release on both"
        case .noBody(let speaker):
            "message from the \(speaker.rawValue) is empty or of an unknown kind"
        case .field(let name, let expected, let found):
            "message field \(name): expected \(expected), found \(found)"
        case .checksum(let taskID, let expected, let found):
            "result of task \(taskID) was damaged on its way: checksum \(expected) sent, \(found) received"
        }
    }
}
