import Basics
import CZeroMQ
import Glibc

/// The coordinator's ROUTER socket: listens, receives from all workers and sends to each by its id.
///
/// Not thread-safe. No message, and no missing one, makes it block or fail.
public struct CoordinatorSocket: ~Copyable {
    /// The bound endpoint, with the actual port.
    public let endpoint: Endpoint
    /// Messages dropped because their frame count is not a worker's.
    public private(set) var malformedMessageCount = 0

    private let socket: Socket
    private let authenticator: Authenticator
    private let register: KeyRegister?

    /// Binds the socket and starts to listen.
    ///
    /// - Parameters:
    ///   - endpoint: A local address or interface, `0.0.0.0` or `*` for all; port 0 selects a free port.
    ///   - context: The context to create the socket in.
    ///   - options: Timeouts and limits.
    ///   - security: Encryption and authorized keys; a context can hold one encrypted coordinator socket.
    ///   - wakeup: Ends `receive(timeout:)` early.
    /// - Throws: `addressInUse`, `addressNotLocal` or `permissionDenied` with the endpoint; `curveMissing`.
    public init(
        listeningOn endpoint: Endpoint, in context: SocketContext, options: SocketOptions = SocketOptions(),
        security: CoordinatorSecurity = .plaintext, wakeup: Wakeup
    ) throws(TransportError) {
        let socket = try Socket.open(.coordinator(security), in: context, options, wakeup: wakeup)
        let authenticator = try Authenticator(for: socket, register: security.register, in: context)
        self.endpoint = try socket.bind(endpoint)
        self.authenticator = authenticator
        register = security.register
        self.socket = socket
    }

    deinit { socket.stopMonitor() }

    /// Receives the next message from any worker.
    ///
    /// Check what the wake-up announces after every return, not only after nil: a message may arrive first.
    ///
    /// - Parameter timeout: The longest wait; zero polls.
    /// - Returns: Nil on timeout or when the wake-up was signalled.
    /// - Throws: `system` if the socket is no longer usable.
    public mutating func receive(timeout: Duration) throws(TransportError) -> (peer: PeerID, bytes: [UInt8])? {
        let deadline = Deadline(after: timeout)
        while true {
            switch try socket.receive(frameCount: 2) {
            case .message(let frames, let key):
                // The key may have been revoked since the handshake.
                if let register, !Self.isAuthorized(key, by: register) {
                    authenticator.count(.revokedKey)
                    if deadline.hasPassed { return nil }
                    continue
                }
                return (PeerID(bytes: frames[0], key: key), frames[1])
            case .malformed:
                malformedMessageCount += 1
                authenticator.count(.malformed)
                // A flood of malformed messages must not block the caller past its deadline.
                if deadline.hasPassed { return nil }
            case .nothing:
                guard try socket.wait(for: ZMQ_POLLIN, until: deadline) == .ready else { return nil }
            }
        }
    }

    /// Sends a message to one worker without blocking.
    ///
    /// - Parameters:
    ///   - bytes: The message.
    ///   - peer: The id that `receive(timeout:)` returned.
    /// - Returns: False if the worker is disconnected or `SocketOptions.queueLength` messages are still unread. True
    ///   does not mean that the message arrived; only a reply does.
    /// - Throws: `messageTooLarge`; `system` if the socket is no longer usable.
    public func send(_ bytes: [UInt8], to peer: PeerID) throws(TransportError) -> Bool {
        try socket.send([peer.bytes, bytes])
    }

    /// Returns the refused connections and messages since the last call, and resets the counts.
    ///
    /// - Returns: A count for each kind of refusal that occurred.
    public func takeRefusals() -> [TransportRefusal: Int] { authenticator.takeCounts() }

    private static func isAuthorized(_ key: PublicKey?, by register: KeyRegister) -> Bool {
        guard let key, case .authorized = register.status(of: key) else { return false }
        return true
    }
}

/// A worker's identity: its ZeroMQ routing id, and the public key proved in the handshake.
///
/// Any peer can claim any routing id, so the same id with another key is another peer.
public struct PeerID: Hashable, Sendable, CustomStringConvertible {
    /// The routing id, 1 to 255 bytes.
    public let bytes: [UInt8]

    /// The key proved in the handshake; nil without encryption.
    public let key: PublicKey?

    /// Combines a routing id and a key; neither is checked.
    public init(bytes: [UInt8], key: PublicKey? = nil) {
        self.bytes = bytes
        self.key = key
    }

    /// Generates the id of a new worker session: 16 random bytes.
    public static func random() -> PeerID {
        var generator = SystemRandomNumberGenerator()
        // libzmq reserves ids that begin with a zero byte.
        let first = UInt8.random(in: 1...255, using: &generator)
        return PeerID(bytes: [first] + (0..<15).map { _ in UInt8.random(in: 0...255, using: &generator) })
    }

    /// The first eight bytes in hexadecimal: enough to distinguish the workers of a run.
    public var description: String {
        bytes.prefix(8).hexadecimal
    }
}

/// The process's limit of open files, which bounds the number of connected workers.
public enum FileDescriptorLimit {
    /// Descriptors for everything except workers: libraries, history, logs, dashboard.
    private static let reserve = 128

    /// Raises the soft limit to the hard limit.
    ///
    /// Call it once when the coordinator starts: at the default of 1,024, libzmq silently stops accepting workers and
    /// spins at full processor load.
    ///
    /// - Parameter workerCount: The number of connections required.
    /// - Returns: The number of workers that can connect.
    /// - Throws: `descriptorLimit` if the hard limit is too low.
    @discardableResult
    public static func raise(forWorkers workerCount: Int = 0) throws(TransportError) -> Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
            throw .lastSystem("getrlimit")
        }
        if limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max
            guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else {
                throw .lastSystem("setrlimit")
            }
        }
        let allowed = Int(clamping: limit.rlim_cur)
        guard workerCount <= allowed - reserve else {
            throw .descriptorLimit(needed: workerCount + reserve, allowed: allowed)
        }
        return allowed - reserve
    }
}
