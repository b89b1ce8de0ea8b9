import CZeroMQ

/// Something that happened to a connection of a socket, as its monitor tells (zmq_socket_monitor(3)).
struct SocketEvent {
    let event: Int32
    let value: Int32

    /// Takes the next event without waiting.
    static func next(from monitor: UnsafeMutableRawPointer) -> SocketEvent? {
        // Two frames: number and value; then the address, which matters to nobody here.
        guard let first = MessageFrame.next(from: monitor, isCopied: true) else { return nil }
        var hasMore = first.hasMore
        while hasMore, let frame = MessageFrame.next(from: monitor, isCopied: false) { hasMore = frame.hasMore }
        guard first.bytes.count >= 6 else { return SocketEvent(event: 0, value: 0) }
        let event = Int32(first.bytes[0]) | Int32(first.bytes[1]) << 8
        let value = (0..<4).reduce(UInt32(0)) { $0 | UInt32(first.bytes[2 + $1]) << UInt32(8 * $1) }
        return SocketEvent(event: event, value: Int32(bitPattern: value))
    }

    /// A handshake that failed, not counting keys that were turned down.
    var isHandshakeFailure: Bool {
        event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL || event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
    }
}

/// How a worker's connection stands.
public enum LinkState: Equatable, Sendable {
    /// Nobody has answered yet.
    case connecting
    /// The handshake succeeded.
    case connected
    /// The host answered, the coordinator does not listen there, or the host cannot be reached.
    case unreachable
    /// The coordinator does not know the worker's key, or has revoked it.
    case notAuthorized
    /// The peer encrypts and this worker does not, or the other way round.
    case securityMismatch
    /// The peer hung up during the handshake: the key file is for another coordinator, or it is none.
    case handshakeFailed

    /// What the event says, nil if nothing.
    init?(_ event: SocketEvent) {
        switch event.event {
        case ZMQ_EVENT_HANDSHAKE_SUCCEEDED: self = .connected
        case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: self = .notAuthorized
        case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
            self = event.value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH ? .securityMismatch : .handshakeFailed
        case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL: self = .handshakeFailed
        case ZMQ_EVENT_CLOSED, ZMQ_EVENT_CONNECT_RETRIED: self = .unreachable
        case ZMQ_EVENT_DISCONNECTED: self = .connecting
        default: return nil
        }
    }

    /// One line for the log, what to do included; nil where there is nothing to do.
    public var problem: String? {
        switch self {
        case .connecting, .connected: nil
        case .unreachable: "nobody listens there, or the host cannot be reached"
        case .notAuthorized:
            "the coordinator does not know this worker's key, or has revoked it: ecad-coordinator keys list"
        case .securityMismatch:
            "one side encrypts and the other does not: give this worker --key FILE, or the coordinator its keys"
        case .handshakeFailed:
            "the peer hung up during the handshake: the key file is for another coordinator, or it is no coordinator"
        }
    }
}
