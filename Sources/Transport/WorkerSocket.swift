import CZeroMQ

/// The worker's DEALER socket: connects to the coordinator and reconnects whenever the connection is lost.
///
/// Not thread-safe.
public struct WorkerSocket: ~Copyable {
    /// Messages dropped because their frame count is not the coordinator's.
    public private(set) var malformedMessageCount = 0
    /// The state of the connection as of the last call of ``processEvents()``.
    public private(set) var connectionState = ConnectionState.connecting

    private let socket: Socket
    private let monitor: Monitor

    /// The receiving end of the socket monitor.
    private struct Monitor: ~Copyable {
        let handle: UnsafeMutableRawPointer
        // Terminating a context blocks until all its sockets are closed, including this one.
        let context: SocketContext
        deinit { zmq_close(handle) }
    }

    /// Starts to connect in the background.
    ///
    /// - Parameters:
    ///   - endpoint: The coordinator's endpoint; nothing has to listen there yet.
    ///   - id: The routing id of this worker, unique among all workers.
    ///   - context: The context to create the socket in.
    ///   - options: Timeouts and limits.
    ///   - security: The keys to connect with, if any.
    ///   - wakeup: Ends the blocking calls early.
    /// - Throws: `hostNotFound`; `endpointSyntax` for a wildcard host or port; `curveMissing`.
    public init(
        connectingTo endpoint: Endpoint, as id: PeerID, in context: SocketContext,
        options: SocketOptions = SocketOptions(), security: WorkerSecurity = .plaintext, wakeup: Wakeup
    ) throws(TransportError) {
        let socket = try Socket.open(.worker(id, security), in: context, options, wakeup: wakeup)
        let monitor = Monitor(
            handle: try socket.openMonitor(
                ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
                    | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_CLOSED | ZMQ_EVENT_CONNECT_RETRIED
                    | ZMQ_EVENT_DISCONNECTED),
            context: context)
        try socket.connect(endpoint)
        self.monitor = monitor
        self.socket = socket
    }

    deinit { socket.stopMonitor() }

    /// Processes pending monitor events and updates ``connectionState``.
    public mutating func processEvents() {
        while let event = SocketEvent.next(from: monitor.handle) {
            guard let state = ConnectionState(event) else { continue }
            // The closed connection after a failed handshake is its consequence: keep the cause.
            if state == .unreachable || state == .connecting, connectionState.problem != nil,
                connectionState != .unreachable
            {
                continue
            }
            connectionState = state
        }
    }

    /// Whether the handshake failed: libzmq does not retry such a connection, so a new socket is needed.
    public var needsReplacement: Bool {
        connectionState == .notAuthorized || connectionState == .securityMismatch
            || connectionState == .handshakeFailed
    }

    /// Receives the next message from the coordinator.
    ///
    /// Check what the wake-up announces after every return, not only after nil: a message may arrive first.
    ///
    /// - Parameter timeout: The longest wait; zero polls.
    /// - Returns: Nil on timeout or when the wake-up was signalled.
    /// - Throws: `system` if the socket is no longer usable.
    public mutating func receive(timeout: Duration) throws(TransportError) -> [UInt8]? {
        let deadline = Deadline(after: timeout)
        while true {
            switch try socket.receive(frameCount: 1) {
            case .message(let frames, _):
                return frames[0]
            case .malformed:
                malformedMessageCount += 1
                if deadline.hasPassed { return nil }
            case .nothing:
                guard try socket.wait(for: ZMQ_POLLIN, until: deadline) == .ready else { return nil }
            }
        }
    }

    /// Sends a message to the coordinator without blocking.
    ///
    /// - Parameter bytes: The message.
    /// - Returns: False without a connection; retry later. True does not mean that the message arrived; only a reply
    ///   does.
    /// - Throws: `messageTooLarge`; `system` if the socket is no longer usable.
    public func send(_ bytes: [UInt8]) throws(TransportError) -> Bool {
        try socket.send([bytes])
    }

    /// Waits until a message can be sent.
    ///
    /// - Parameter timeout: The longest wait; zero polls.
    /// - Returns: False on timeout or when the wake-up was signalled.
    /// - Throws: `system` if the socket is no longer usable.
    public func waitForConnection(timeout: Duration) throws(TransportError) -> Bool {
        try socket.wait(for: ZMQ_POLLOUT, until: Deadline(after: timeout)) == .ready
    }
}

/// The state of a worker's connection.
public enum ConnectionState: Equatable, Sendable {
    /// No reply yet.
    case connecting
    /// The handshake succeeded.
    case connected
    /// The connection was refused, or the host cannot be reached.
    case unreachable
    /// The worker's key is not on the coordinator's list, or has been revoked.
    case notAuthorized
    /// Only one side uses encryption.
    case securityMismatch
    /// The peer closed the connection during the handshake: it is another coordinator, or no coordinator.
    case handshakeFailed

    /// Nil for an event that does not change the state.
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

    /// One line for the log with the cause and the remedy; nil while connecting or connected.
    public var problem: String? {
        switch self {
        case .connecting, .connected: nil
        case .unreachable: "connection refused, or host unreachable"
        case .notAuthorized:
            "this worker's key is not authorized, or has been revoked; see: ecad-coordinator keys list"
        case .securityMismatch:
            "only one side uses encryption; start this worker with --key FILE, or the coordinator with keys"
        case .handshakeFailed:
            "the peer closed the connection during the handshake; the key file belongs to another coordinator, or the "
                + "peer is not a coordinator"
        }
    }
}
