import CZeroMQ

/// The worker's DEALER socket: connects to the coordinator and reconnects whenever the connection is lost.
///
/// Not thread-safe.
public struct WorkerSocket: ~Copyable {
    /// Messages dropped because their frame count is not the coordinator's.
    public private(set) var malformedMessageCount = 0
    /// The state of the connection as of the last call of ``processEvents()``.
    public private(set) var connectionState: ConnectionState

    /// Whether a new socket is needed: libzmq does not retry after a failed handshake, and after a name has become
    /// resolvable only once the pause between two attempts has passed.
    public var needsReplacement: Bool {
        switch connectionState {
        case .notAuthorized, .securityMismatch, .handshakeFailed: true
        case .connecting, .unreachable, .unresolved: hasOutdatedAddress
        case .connected: false
        }
    }

    /// Pause between two lookups of a name while there is no connection.
    private static let lookupPause = Duration.seconds(5)

    private let socket: Socket
    private let monitor: Monitor
    private let lookup: NameLookup
    private let isIPv6: Bool
    private var hasOutdatedAddress = false

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
    ///   - endpoint: The coordinator's endpoint. Its name may not be resolvable yet, and nothing has to listen there.
    ///   - id: The routing id of this worker, unique among all workers.
    ///   - context: The context to create the socket in.
    ///   - options: Timeouts and limits.
    ///   - security: The keys to connect with, if any.
    ///   - attempt: The number of sockets before this one: of a name's addresses, each socket tries the next.
    ///   - wakeup: Ends the blocking calls early.
    /// - Throws: `endpointSyntax` for a wildcard host or port; `curveMissing`.
    public init(
        connectingTo endpoint: Endpoint, as id: PeerID, in context: SocketContext,
        options: SocketOptions = SocketOptions(), security: WorkerSecurity = .plaintext, attempt: Int = 0,
        wakeup: Wakeup
    ) throws(TransportError) {
        try endpoint.requireConnectable()
        let socket = try Socket.open(.worker(id, security), in: context, options, wakeup: wakeup)
        let monitor = Monitor(
            handle: try socket.openMonitor(
                ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
                    | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_CLOSED | ZMQ_EVENT_CONNECT_RETRIED
                    | ZMQ_EVENT_DISCONNECTED),
            context: context)
        var (target, isIPv6, state) = (endpoint, false, ConnectionState.connecting)
        switch HostAddress.lookUp(endpoint.host) {
        case .success(let addresses): (target, isIPv6) = Self.target(of: endpoint, addresses, attempt: attempt)
        case .failure(let failure): state = .unresolved(reason: failure.reason)
        }
        try socket.connect(target, withIPv6: isIPv6)
        self.isIPv6 = isIPv6
        connectionState = state
        lookup = NameLookup(endpoint.host)
        self.monitor = monitor
        self.socket = socket
    }

    deinit { socket.stopMonitor() }

    /// What to connect to: libzmq itself tries only the first address of a name.
    ///
    /// - Parameters:
    ///   - endpoint: The coordinator's endpoint.
    ///   - addresses: Those of its host, at least one.
    ///   - attempt: The number of attempts so far.
    /// - Returns: One of several addresses, or the name of a single one, which libzmq resolves at every attempt.
    static func target(
        of endpoint: Endpoint, _ addresses: [HostAddress], attempt: Int
    ) -> (endpoint: Endpoint, isIPv6: Bool) {
        let address = addresses[attempt % addresses.count]
        return (addresses.count == 1 ? endpoint : endpoint.at(address), address.isIPv6)
    }

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
        checkName()
    }

    /// Looks the name up while the coordinator is unreachable: libzmq reports no reason.
    private mutating func checkName() {
        var wasResolved = true
        switch connectionState {
        case .unreachable: break
        case .unresolved: wasResolved = false
        case .connecting, .connected, .notAuthorized, .securityMismatch, .handshakeFailed: return
        }
        switch lookup.takeResult() {
        case .failure(let failure): connectionState = .unresolved(reason: failure.reason)
        case .success(let addresses):
            connectionState = .unreachable
            if !wasResolved || addresses.count > 1 || addresses.allSatisfy(\.isIPv6) != isIPv6 {
                hasOutdatedAddress = true
            }
        case nil: lookup.start(pause: Self.lookupPause)
        }
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
    /// The host's name has no address at present.
    case unresolved(reason: String)
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
        case .unresolved(let reason): "the name of its host cannot be resolved (\(reason))"
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
