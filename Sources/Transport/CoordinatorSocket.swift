import CZeroMQ

/// The coordinator's end of the line: listens, and talks to every worker that comes.
///
/// To be used by one thread at a time. Nothing a peer sends, or fails to send, blocks it or makes it fail.
public struct CoordinatorSocket: ~Copyable {
    /// Where it listens, with the actual port.
    public let endpoint: Endpoint
    /// Messages dropped because they had another shape than a worker's.
    public private(set) var misshapenMessageCount = 0

    private let socket: Socket

    /// Starts to listen.
    ///
    /// - Parameters:
    ///   - endpoint: An address or interface of this machine, `0.0.0.0` or `*` for all, and a port, 0 for any.
    ///   - context: Where the socket lives.
    ///   - options: Behaviour towards the network.
    ///   - wakeup: Ends `receive(timeout:)` early.
    /// - Throws: `addressInUse`, `addressNotLocal` or `permissionDenied`, which name the endpoint.
    public init(
        listeningOn endpoint: Endpoint, in context: SocketContext, options: SocketOptions = SocketOptions(),
        wakeup: Wakeup
    ) throws(TransportError) {
        let socket = try Socket.open(.coordinator, in: context, options, wakeup: wakeup)
        self.endpoint = try socket.bind(endpoint)
        self.socket = socket
    }

    /// Takes the next message of any worker.
    ///
    /// Look at whatever the wake-up announces after every return, not only after nil: a message may come first.
    ///
    /// - Parameter timeout: The longest wait; zero to take only what is here.
    /// - Returns: Nil when the time is over or the wake-up was signalled.
    /// - Throws: `system`, when the socket is of no more use.
    public mutating func receive(timeout: Duration) throws(TransportError) -> (peer: PeerID, bytes: [UInt8])? {
        let deadline = Deadline(after: timeout)
        while true {
            switch try socket.receive(frameCount: 2) {
            case .message(let frames):
                return (PeerID(bytes: frames[0]), frames[1])
            case .misshapen:
                misshapenMessageCount += 1
                // A flood of them must not hold the caller beyond its time.
                if deadline.hasPassed { return nil }
            case .nothing:
                guard try socket.wait(for: ZMQ_POLLIN, until: deadline) == .ready else { return nil }
            }
        }
    }

    /// Sends a message to one worker without waiting.
    ///
    /// - Parameters:
    ///   - bytes: The message.
    ///   - peer: The worker, as `receive(timeout:)` named it.
    /// - Returns: False when the worker is gone, or has not read `SocketOptions.queueLength` earlier messages. True
    ///   does not mean that it arrived: only an answer does.
    /// - Throws: `messageTooLarge`; or `system`, when the socket is of no more use.
    public func send(_ bytes: [UInt8], to peer: PeerID) throws(TransportError) -> Bool {
        try socket.send([peer.bytes, bytes])
    }
}
