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
    private let gatekeeper: Gatekeeper
    private let register: KeyRegister?

    /// Starts to listen.
    ///
    /// - Parameters:
    ///   - endpoint: An address or interface of this machine, `0.0.0.0` or `*` for all, and a port, 0 for any.
    ///   - context: Where the socket lives.
    ///   - options: Behaviour towards the network.
    ///   - security: Who may connect, and whether anything is encrypted; a context has one encrypted coordinator.
    ///   - wakeup: Ends `receive(timeout:)` early.
    /// - Throws: `addressInUse`, `addressNotLocal` or `permissionDenied`, which name the endpoint; `curveMissing`.
    public init(
        listeningOn endpoint: Endpoint, in context: SocketContext, options: SocketOptions = SocketOptions(),
        security: CoordinatorSecurity = .plaintext, wakeup: Wakeup
    ) throws(TransportError) {
        let socket = try Socket.open(.coordinator(security), in: context, options, wakeup: wakeup)
        let gatekeeper = try Gatekeeper(of: socket, register: security.register, in: context)
        self.endpoint = try socket.bind(endpoint)
        self.gatekeeper = gatekeeper
        register = security.register
        self.socket = socket
    }

    deinit { socket.stopMonitor() }

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
            case .message(let frames, let key):
                // Whoever was let in and has been revoked since is not heard.
                if let register, !Self.isAuthorized(key, by: register) {
                    gatekeeper.count(.revokedKey)
                    if deadline.hasPassed { return nil }
                    continue
                }
                return (PeerID(bytes: frames[0], key: key), frames[1])
            case .misshapen:
                misshapenMessageCount += 1
                gatekeeper.count(.misshapen)
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

    /// Takes the numbers of peers and messages refused since the last call.
    ///
    /// - Returns: A count for each kind of refusal that happened.
    public func takeRefusals() -> [TransportRefusal: Int] { gatekeeper.takeCounts() }

    private static func isAuthorized(_ key: PublicKey?, by register: KeyRegister) -> Bool {
        guard let key, case .authorized = register.standing(of: key) else { return false }
        return true
    }
}
