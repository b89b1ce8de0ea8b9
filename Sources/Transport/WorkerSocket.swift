import CZeroMQ

/// The worker's end of the line: connects to the coordinator, and again whenever the connection is lost.
///
/// To be used by one thread at a time.
public struct WorkerSocket: ~Copyable {
    /// Messages dropped because they had another shape than the coordinator's.
    public private(set) var misshapenMessageCount = 0

    private let socket: Socket

    /// Starts to connect, in the background.
    ///
    /// - Parameters:
    ///   - endpoint: Where the coordinator listens. It need not be there yet.
    ///   - id: What the coordinator will call this worker; must differ from every other worker's.
    ///   - context: Where the socket lives.
    ///   - options: Behaviour towards the network.
    ///   - wakeup: Ends the waiting calls early.
    /// - Throws: `hostNotFound`, or `endpointSyntax` when the endpoint has no definite host and port.
    public init(
        connectingTo endpoint: Endpoint, as id: PeerID, in context: SocketContext,
        options: SocketOptions = SocketOptions(), wakeup: Wakeup
    ) throws(TransportError) {
        let socket = try Socket.open(.worker(id), in: context, options, wakeup: wakeup)
        try socket.connect(endpoint)
        self.socket = socket
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
            case .message(let frames):
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
