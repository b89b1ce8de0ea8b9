import CZeroMQ

/// Limits and timeouts of a socket, for both ends unless stated otherwise.
public struct SocketOptions: Sendable {
    /// Size limit of a message in bytes; a peer that exceeds it is disconnected.
    public var maximumMessageBytes = 64 << 20
    /// Messages queued for one peer before sending to it fails.
    ///
    /// Small, because a worker has one task at a time: a longer queue means that the peer has stopped reading.
    public var queueLength = 64
    /// Interval of ZMTP heartbeats.
    ///
    /// They prove that the connection is alive, not that the peer's program makes progress.
    public var heartbeatInterval = Duration.seconds(3)
    /// Time without traffic after which either end closes the connection.
    public var heartbeatTimeout = Duration.seconds(15)
    /// Time limit of the ZeroMQ handshake.
    public var handshakeTimeout = Duration.seconds(10)
    /// Time limit of a worker's connection attempt.
    public var connectTimeout = Duration.seconds(10)
    /// Pause before a worker first reconnects; doubled after each failure, with random jitter.
    public var reconnectInterval = Duration.seconds(1)
    /// Longest pause between connection attempts.
    public var reconnectIntervalMaximum = Duration.seconds(32)
    /// How long closing a socket waits for unsent messages.
    public var linger = Duration.seconds(5)

    /// The defaults, suitable for a cluster.
    public init() {}
}

/// Encryption and authentication of the coordinator's socket.
public enum CoordinatorSecurity: Sendable {
    /// No encryption; any peer can connect.
    case plaintext
    /// CURVE encryption; only keys of the register are accepted.
    case curve(KeyPair, KeyRegister)

    /// Nil without encryption.
    var register: KeyRegister? {
        if case .curve(_, let register) = self { register } else { nil }
    }
}

/// Encryption of a worker's connection.
public enum WorkerSecurity: Sendable {
    /// No encryption.
    case plaintext
    /// CURVE encryption; only the coordinator with this public key is accepted.
    case curve(KeyPair, coordinator: PublicKey)

    /// Encryption with the keys of a key file.
    public init(_ file: WorkerKeyFile) { self = .curve(file.keys, coordinator: file.coordinator) }

    /// Whether the connection is encrypted.
    public var isEncrypted: Bool {
        if case .curve = self { true } else { false }
    }
}

extension SocketOptions {
    /// Sets all options of a socket; must precede bind and connect.
    func apply(to socket: borrowing Socket) throws(TransportError) {
        try socket.set(ZMQ_MAXMSGSIZE, bytes: withUnsafeBytes(of: Int64(maximumMessageBytes)) { Array($0) })
        try socket.set(ZMQ_SNDHWM, Int32(clamping: queueLength))
        try socket.set(ZMQ_RCVHWM, Int32(clamping: queueLength))
        try socket.set(ZMQ_LINGER, linger.milliseconds)
        // Without heartbeats, the connection of a host that lost power stays open forever.
        try socket.set(ZMQ_HEARTBEAT_IVL, heartbeatInterval.milliseconds)
        try socket.set(ZMQ_HEARTBEAT_TIMEOUT, heartbeatTimeout.milliseconds)
        try socket.set(ZMQ_HEARTBEAT_TTL, heartbeatTimeout.milliseconds)
        try socket.set(ZMQ_HANDSHAKE_IVL, handshakeTimeout.milliseconds)
        // Keeps the state of an idle connection alive in firewalls and NAT.
        try socket.set(ZMQ_TCP_KEEPALIVE, 1)
        try socket.set(ZMQ_TCP_KEEPALIVE_IDLE, 30)
        try socket.set(ZMQ_TCP_KEEPALIVE_INTVL, 10)
        try socket.set(ZMQ_TCP_KEEPALIVE_CNT, 3)
        switch socket.role {
        case .coordinator(let security):
            // Otherwise messages to a disconnected worker are dropped silently.
            try socket.set(ZMQ_ROUTER_MANDATORY, 1)
            // Otherwise a reconnecting worker is rejected until its old connection times out.
            try socket.set(ZMQ_ROUTER_HANDOVER, 1)
            if case .curve(let keys, _) = security {
                try KeyPair.requireCurve()
                try socket.set(ZMQ_CURVE_SERVER, 1)
                try socket.set(ZMQ_CURVE_SECRETKEY, bytes: keys.secret)
                try socket.set(ZMQ_ZAP_DOMAIN, bytes: Array(Authenticator.domain.utf8))
            }
        case .worker(let id, let security):
            try socket.set(ZMQ_ROUTING_ID, bytes: id.bytes)
            // Otherwise messages are queued while the coordinator is unreachable.
            try socket.set(ZMQ_IMMEDIATE, 1)
            try socket.set(ZMQ_CONNECT_TIMEOUT, connectTimeout.milliseconds)
            try socket.set(ZMQ_RECONNECT_IVL, reconnectInterval.milliseconds)
            try socket.set(ZMQ_RECONNECT_IVL_MAX, reconnectIntervalMaximum.milliseconds)
            if case .curve(let keys, let coordinator) = security {
                try KeyPair.requireCurve()
                try socket.set(ZMQ_CURVE_SERVERKEY, bytes: coordinator.bytes)
                try socket.set(ZMQ_CURVE_PUBLICKEY, bytes: keys.publicKey.bytes)
                try socket.set(ZMQ_CURVE_SECRETKEY, bytes: keys.secret)
            }
        }
    }
}

extension Duration {
    /// Whole milliseconds, saturated.
    fileprivate var milliseconds: Int32 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000)
        guard !overflow else { return .max }
        return Int32(clamping: product + attoseconds / 1_000_000_000_000_000)
    }
}
