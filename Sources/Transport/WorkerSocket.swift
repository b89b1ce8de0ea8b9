import CZeroMQ

/// The worker's end of the line: connects to the coordinator, and again whenever the connection is lost.
///
/// To be used by one thread at a time.
public struct WorkerSocket: ~Copyable {
    /// Messages dropped because they had another shape than the coordinator's.
    public private(set) var misshapenMessageCount = 0
    /// How the connection stands, as far as the calls so far have seen.
    public private(set) var link = LinkState.connecting

    private let socket: Socket
    private let monitor: Monitor

    /// The monitor's end, closed with the socket.
    private struct Monitor: ~Copyable {
        let handle: UnsafeMutableRawPointer
        // Ending a context waits for all of its sockets, this one included.
        let context: SocketContext
        deinit { zmq_close(handle) }
    }

    /// Starts to connect, in the background.
    ///
    /// - Parameters:
    ///   - endpoint: Where the coordinator listens. It need not be there yet.
    ///   - id: What the coordinator will call this worker; must differ from every other worker's.
    ///   - context: Where the socket lives.
    ///   - options: Behaviour towards the network.
    ///   - security: The keys to connect with, if any.
    ///   - wakeup: Ends the waiting calls early.
    /// - Throws: `hostNotFound`, or `endpointSyntax` when the endpoint has no definite host and port; `curveMissing`.
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

    /// Looks at what has happened to the connection; ``link`` says.
    public mutating func noteEvents() {
        while let event = SocketEvent.next(from: monitor.handle) {
            guard let state = LinkState(event) else { continue }
            // What closes a connection after a refusal is the refusal's consequence.
            if state == .unreachable || state == .connecting, link.problem != nil, link != .unreachable { continue }
            link = state
        }
    }

    /// True when libzmq will not try again by itself: it gives a connection up that failed its handshake.
    public var needsReplacement: Bool {
        link == .notAuthorized || link == .securityMismatch || link == .handshakeFailed
    }

    /// Takes the next message of the coordinator.
    ///
    /// Look at whatever the wake-up announces after every return, not only after nil: a message may come first.
    ///
    /// - Parameter timeout: The longest wait; zero to take only what is here.
    /// - Returns: Nil when the time is over or the wake-up was signalled.
    /// - Throws: `system`, when the socket is of no more use.
    public mutating func receive(timeout: Duration) throws(TransportError) -> [UInt8]? {
        let deadline = Deadline(after: timeout)
        while true {
            switch try socket.receive(frameCount: 1) {
            case .message(let frames, _):
                return frames[0]
            case .misshapen:
                misshapenMessageCount += 1
                if deadline.hasPassed { return nil }
            case .nothing:
                guard try socket.wait(for: ZMQ_POLLIN, until: deadline) == .ready else { return nil }
            }
        }
    }

    /// Sends a message to the coordinator without waiting.
    ///
    /// - Parameter bytes: The message.
    /// - Returns: False when there is no connection: keep it and try again. True does not mean that it arrived: only
    ///   an answer does.
    /// - Throws: `messageTooLarge`; or `system`, when the socket is of no more use.
    public func send(_ bytes: [UInt8]) throws(TransportError) -> Bool {
        try socket.send([bytes])
    }

    /// Waits until a message can be sent.
    ///
    /// - Parameter timeout: The longest wait; zero to ask only.
    /// - Returns: False when the time is over or the wake-up was signalled.
    /// - Throws: `system`, when the socket is of no more use.
    public func waitForConnection(timeout: Duration) throws(TransportError) -> Bool {
        try socket.wait(for: ZMQ_POLLOUT, until: Deadline(after: timeout)) == .ready
    }
}
