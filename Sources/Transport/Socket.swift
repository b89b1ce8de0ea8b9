import CZeroMQ
import Glibc

/// A ZeroMQ socket, closed at the end of its scope: the common part of both ends.
///
/// Not `Sendable`: libzmq sockets must not be used from several threads.
struct Socket: ~Copyable {
    enum Role {
        case coordinator(CoordinatorSecurity)
        case worker(PeerID, WorkerSecurity)
    }

    enum Received {
        case nothing
        case message([[UInt8]], key: PublicKey?)
        /// A message whose frame count does not match the protocol's.
        case malformed
    }

    enum WaitResult {
        case ready
        case woken
        case timedOut
    }

    let role: Role
    private let handle: UnsafeMutableRawPointer
    // Keeps the context alive until the socket is closed.
    private let context: SocketContext
    private let wakeup: Wakeup
    private let maximumMessageBytes: Int

    /// Creates a socket and sets its options, ready to bind or connect.
    static func open(
        _ role: Role, in context: SocketContext, _ options: SocketOptions, wakeup: Wakeup
    ) throws(TransportError) -> Socket {
        let socket = try Socket(role, in: context, options, wakeup: wakeup)
        try options.apply(to: socket)
        return socket
    }

    private init(
        _ role: Role, in context: SocketContext, _ options: SocketOptions, wakeup: Wakeup
    ) throws(TransportError) {
        let type =
            switch role {
            case .coordinator: ZMQ_ROUTER
            case .worker: ZMQ_DEALER
            }
        guard let handle = zmq_socket(context.handle, type) else { throw .lastZeroMQ("zmq_socket") }
        self.role = role
        self.handle = handle
        self.context = context
        self.wakeup = wakeup
        maximumMessageBytes = options.maximumMessageBytes
    }

    deinit { zmq_close(handle) }

    // MARK: - Options and addresses

    func set(_ option: Int32, _ value: Int32) throws(TransportError) {
        try set(option, bytes: withUnsafeBytes(of: value) { Array($0) })
    }

    func set(_ option: Int32, bytes: [UInt8]) throws(TransportError) {
        guard zmq_setsockopt(handle, option, bytes, bytes.count) == 0 else {
            throw .lastZeroMQ("zmq_setsockopt \(option)")
        }
    }

    /// Returns the bound endpoint, with a numeric host, and the actual port in place of a wildcard.
    func bind(_ endpoint: Endpoint) throws(TransportError) -> Endpoint {
        let endpoint = try endpoint.resolvedForListening()
        if endpoint.host.contains(":") { try set(ZMQ_IPV6, 1) }
        guard zmq_bind(handle, endpoint.description) == 0 else { throw .bind(zmq_errno(), endpoint) }
        var text = [CChar](repeating: 0, count: 256)
        var length = text.count
        guard zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, &text, &length) == 0 else {
            throw .lastZeroMQ("zmq_getsockopt ZMQ_LAST_ENDPOINT")
        }
        return try Endpoint(String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))
    }

    /// Connects in the background; libzmq resolves the host's name at every attempt, to one kind of address.
    func connect(_ endpoint: Endpoint, withIPv6 isIPv6: Bool) throws(TransportError) {
        if isIPv6 { try set(ZMQ_IPV6, 1) }
        guard zmq_connect(handle, endpoint.description) == 0 else {
            throw .system(call: "connecting to \(endpoint)", detail: String(cString: zmq_strerror(zmq_errno())))
        }
    }

    // MARK: - Messages

    /// Queues a message without blocking; false if the peer is not connected or its queue is full.
    func send(_ frames: [[UInt8]]) throws(TransportError) -> Bool {
        for frame in frames where frame.count > maximumMessageBytes {
            throw .messageTooLarge(bytes: frame.count, limit: maximumMessageBytes)
        }
        for (index, frame) in frames.enumerated() {
            let more = index < frames.count - 1 ? ZMQ_SNDMORE : 0
            while zmq_send(handle, frame, frame.count, ZMQ_DONTWAIT | more) < 0 {
                switch zmq_errno() {
                case EINTR: continue
                // EHOSTUNREACH: no such peer. EAGAIN: its queue is full.
                case EHOSTUNREACH, EAGAIN: return false
                default: throw .lastZeroMQ("zmq_send")
                }
            }
        }
        return true
    }

    /// Receives one message without blocking.
    func receive(frameCount: Int) throws(TransportError) -> Received {
        var frames: [[UInt8]] = []
        var key: PublicKey?
        var hasMore = true
        var surplus = 0
        while hasMore {
            let isExpected = frames.count < frameCount
            let isLast = frames.count == frameCount - 1
            guard let frame = MessageFrame.next(from: handle, isCopied: isExpected, withKey: isLast) else {
                guard zmq_errno() == EAGAIN else { throw .lastZeroMQ("zmq_msg_recv") }
                return .nothing
            }
            if isExpected { frames.append(frame.bytes) } else { surplus += 1 }
            if isLast { key = frame.key }
            hasMore = frame.hasMore
        }
        return frames.count == frameCount && surplus == 0 ? .message(frames, key: key) : .malformed
    }

    // MARK: - Events

    /// Stops the monitor; must precede closing its reader, otherwise libzmq blocks forever.
    func stopMonitor() { zmq_socket_monitor(handle, nil, 0) }

    /// Opens a socket that receives this socket's connection events; the caller closes it.
    func openMonitor(_ events: Int32) throws(TransportError) -> UnsafeMutableRawPointer {
        let address = "inproc://monitor-\(UInt(bitPattern: handle))"
        guard zmq_socket_monitor(handle, address, events) == 0 else { throw .lastZeroMQ("zmq_socket_monitor") }
        guard let monitor = zmq_socket(context.handle, ZMQ_PAIR) else { throw .lastZeroMQ("zmq_socket") }
        var zero: Int32 = 0
        zmq_setsockopt(monitor, ZMQ_LINGER, &zero, MemoryLayout<Int32>.size)
        guard zmq_connect(monitor, address) == 0 else {
            let error = TransportError.lastZeroMQ("zmq_connect \(address)")
            zmq_close(monitor)
            throw error
        }
        return monitor
    }

    /// Waits until the socket is readable (`ZMQ_POLLIN`) or writable (`ZMQ_POLLOUT`), or the wake-up is signalled.
    func wait(for events: Int32, until deadline: Deadline) throws(TransportError) -> WaitResult {
        var items = [
            zmq_pollitem_t(socket: handle, fd: 0, events: Int16(events), revents: 0),
            zmq_pollitem_t(socket: nil, fd: wakeup.readDescriptor, events: Int16(ZMQ_POLLIN), revents: 0),
        ]
        while true {
            let count = zmq_poll(&items, Int32(items.count), deadline.millisecondsLeft)
            if count < 0 {
                guard zmq_errno() == EINTR else { throw .lastZeroMQ("zmq_poll") }
                continue
            }
            if items[1].revents != 0 { wakeup.clear() }
            if items[0].revents != 0 { return .ready }
            if items[1].revents != 0 { return .woken }
            if deadline.hasPassed { return .timedOut }
        }
    }
}

/// One received frame of a ZeroMQ message.
struct MessageFrame {
    let bytes: [UInt8]
    let hasMore: Bool
    /// The key that authenticated the sender's connection.
    let key: PublicKey?

    /// Receives a frame without blocking.
    ///
    /// - Returns: Nil on failure; `zmq_errno()` gives the cause, `EAGAIN` if no frame is queued.
    static func next(from socket: UnsafeMutableRawPointer, isCopied: Bool, withKey: Bool = false) -> MessageFrame? {
        // libzmq may keep the address of a message between calls, so it must not be a temporary.
        withUnsafeTemporaryAllocation(of: zmq_msg_t.self, capacity: 1) { buffer in
            let message = buffer.baseAddress
            zmq_msg_init(message)
            defer { zmq_msg_close(message) }
            while zmq_msg_recv(message, socket, ZMQ_DONTWAIT) < 0 {
                guard zmq_errno() == EINTR else { return nil }
            }
            let content = UnsafeRawBufferPointer(start: zmq_msg_data(message), count: zmq_msg_size(message))
            var key: PublicKey?
            if withKey, let user = zmq_msg_gets(message, "User-Id") {
                key = PublicKey(hexadecimal: String(cString: user))
            }
            return MessageFrame(bytes: isCopied ? Array(content) : [], hasMore: zmq_msg_more(message) != 0, key: key)
        }
    }
}

/// An event of a socket's monitor (zmq_socket_monitor(3)).
struct SocketEvent {
    let event: Int32
    let value: Int32

    /// Receives the next event without blocking.
    static func next(from monitor: UnsafeMutableRawPointer) -> SocketEvent? {
        // Two frames: event number and value; then the peer's address, which is ignored.
        guard let first = MessageFrame.next(from: monitor, isCopied: true) else { return nil }
        var hasMore = first.hasMore
        while hasMore, let frame = MessageFrame.next(from: monitor, isCopied: false) { hasMore = frame.hasMore }
        guard first.bytes.count >= 6 else { return SocketEvent(event: 0, value: 0) }
        let event = Int32(first.bytes[0]) | Int32(first.bytes[1]) << 8
        let value = (0..<4).reduce(UInt32(0)) { $0 | UInt32(first.bytes[2 + $1]) << UInt32(8 * $1) }
        return SocketEvent(event: event, value: Int32(bitPattern: value))
    }

    /// A failed handshake, except for keys that authentication rejected.
    var isHandshakeFailure: Bool {
        event == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL || event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
    }
}

/// A ZeroMQ context with its input/output thread; every socket retains the one it was created in.
///
/// Releasing the last reference blocks until pending messages are sent, at most `SocketOptions.linger`.
public final class SocketContext: Sendable {
    // A ZeroMQ context, unlike its sockets, may be used from any thread.
    nonisolated(unsafe) let handle: UnsafeMutableRawPointer

    /// Starts the input/output thread.
    ///
    /// - Throws: `libraryTooOld`; `system` if the process has no resources left.
    public init() throws(TransportError) {
        try LibraryVersion.installed.requireSafe()
        guard let handle = zmq_ctx_new() else { throw .lastZeroMQ("zmq_ctx_new") }
        self.handle = handle
    }

    deinit {
        while zmq_ctx_term(handle) != 0, zmq_errno() == EINTR {}
    }
}

/// A version of libzmq.
public struct LibraryVersion: Comparable, Sendable, CustomStringConvertible {
    /// The numbers of a version `major.minor.patch`.
    public var major: Int, minor: Int, patch: Int

    /// The oldest version that is safe on a network.
    ///
    /// Older ones are vulnerable to CVE-2019-6250, CVE-2019-13132 and CVE-2020-15166: an unauthenticated peer can stall
    /// or take over the process.
    public static let minimum = LibraryVersion(major: 4, minor: 3, patch: 3)

    /// The version of the loaded library.
    public static var installed: LibraryVersion {
        var major: Int32 = 0
        var minor: Int32 = 0
        var patch: Int32 = 0
        zmq_version(&major, &minor, &patch)
        return LibraryVersion(major: Int(major), minor: Int(minor), patch: Int(patch))
    }

    /// Orders by major, minor, then patch number.
    public static func < (lhs: LibraryVersion, rhs: LibraryVersion) -> Bool {
        (lhs.major, lhs.minor, lhs.patch) < (rhs.major, rhs.minor, rhs.patch)
    }

    /// `major.minor.patch`.
    public var description: String { "\(major).\(minor).\(patch)" }

    func requireSafe() throws(TransportError) {
        guard self >= .minimum else { throw .libraryTooOld(found: self, minimum: .minimum) }
    }
}
