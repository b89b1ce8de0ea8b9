import CZeroMQ

/// How sockets behave towards the network; the same on both ends unless said otherwise.
///
/// The defaults suit a cluster. Tests shorten the times.
public struct SocketOptions: Sendable {
    /// Largest message received or sent, in bytes; a peer that sends a larger one is disconnected.
    public var maximumMessageBytes = 64 << 20
    /// Messages kept for one peer before sending to it fails.
    ///
    /// Small, because a worker has one task at a time: a longer queue means the peer has stopped reading.
    public var queueLength = 64
    /// Pause between the transport's own heartbeats.
    ///
    /// They prove the connection, not that the peer's program makes progress.
    public var heartbeatInterval = Duration.seconds(3)
    /// Silence after which either end takes a connection for dead.
    public var heartbeatTimeout = Duration.seconds(15)
    /// Time a new connection has to complete the ZeroMQ handshake.
    public var handshakeTimeout = Duration.seconds(10)
    /// Time a worker gives one attempt to reach the coordinator's host.
    public var connectTimeout = Duration.seconds(10)
    /// Pause before a worker first tries to connect again; doubled, with some chance added, after each failure.
    public var reconnectInterval = Duration.seconds(1)
    /// Longest pause between attempts to connect.
    public var reconnectIntervalMaximum = Duration.seconds(32)
    /// How long closing waits for messages still to be sent.
    public var linger = Duration.seconds(2)

    /// The defaults.
    public init() {}
}

extension SocketOptions {
    /// Sets up a socket before it binds or connects: the one place where options are set.
    func apply(to socket: borrowing Socket) throws(TransportError) {
        try socket.set(ZMQ_MAXMSGSIZE, bytes: withUnsafeBytes(of: Int64(maximumMessageBytes)) { Array($0) })
        try socket.set(ZMQ_SNDHWM, Int32(clamping: queueLength))
        try socket.set(ZMQ_RCVHWM, Int32(clamping: queueLength))
        try socket.set(ZMQ_LINGER, linger.milliseconds)
        // Without heartbeats the connection of a host that lost power stays open for ever.
        try socket.set(ZMQ_HEARTBEAT_IVL, heartbeatInterval.milliseconds)
        try socket.set(ZMQ_HEARTBEAT_TIMEOUT, heartbeatTimeout.milliseconds)
        try socket.set(ZMQ_HEARTBEAT_TTL, heartbeatTimeout.milliseconds)
        try socket.set(ZMQ_HANDSHAKE_IVL, handshakeTimeout.milliseconds)
        // Keeps the entry of an idle connection alive in firewalls and address translators.
        try socket.set(ZMQ_TCP_KEEPALIVE, 1)
        try socket.set(ZMQ_TCP_KEEPALIVE_IDLE, 30)
        try socket.set(ZMQ_TCP_KEEPALIVE_INTVL, 10)
        try socket.set(ZMQ_TCP_KEEPALIVE_CNT, 3)
        switch socket.role {
        case .coordinator(let security):
            // Otherwise a message to a worker that left is dropped without a word.
            try socket.set(ZMQ_ROUTER_MANDATORY, 1)
            // Otherwise a worker that comes back is turned away until its old connection times out.
            try socket.set(ZMQ_ROUTER_HANDOVER, 1)
            if case .curve(let keys, _) = security {
                try KeyPair.requireCurve()
                try socket.set(ZMQ_CURVE_SERVER, 1)
                try socket.set(ZMQ_CURVE_SECRETKEY, bytes: keys.secret)
                try socket.set(ZMQ_ZAP_DOMAIN, bytes: Array(Gatekeeper.domain.utf8))
            }
        case .worker(let id, let security):
            try socket.set(ZMQ_ROUTING_ID, bytes: id.bytes)
            // Otherwise messages queue up for a coordinator that is not there.
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
    /// Whole milliseconds, as libzmq counts times.
    fileprivate var milliseconds: Int32 {
        let (seconds, attoseconds) = components
        let (product, overflow) = seconds.multipliedReportingOverflow(by: 1_000)
        guard !overflow else { return .max }
        return Int32(clamping: product + attoseconds / 1_000_000_000_000_000)
    }
}
