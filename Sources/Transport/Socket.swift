import CZeroMQ
import Glibc

/// A ZeroMQ socket, closed when it goes out of scope: what both ends have in common.
///
/// Not `Sendable`: libzmq allows one thread at a time.
struct Socket: ~Copyable {
    enum Role {
        case coordinator(CoordinatorSecurity)
        case worker(PeerID, WorkerSecurity)
    }

    /// What one look at the queue of arrived messages found.
    enum Received {
        case nothing
        case message([[UInt8]], key: PublicKey?)
        /// A message with another number of frames than the protocol's.
        case misshapen
    }

    enum Waited {
        case ready
        case woken
        case timedOut
    }

    let role: Role
    private let handle: UnsafeMutableRawPointer
    // Keeps the context from ending before its socket.
    private let context: SocketContext
    private let wakeup: Wakeup
    private let maximumMessageBytes: Int

    /// Makes a socket that is ready to bind or connect.
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

    // MARK: Options and addresses

    func set(_ option: Int32, _ value: Int32) throws(TransportError) {
        try set(option, bytes: withUnsafeBytes(of: value) { Array($0) })
    }

    func set(_ option: Int32, bytes: [UInt8]) throws(TransportError) {
        guard zmq_setsockopt(handle, option, bytes, bytes.count) == 0 else {
            throw .lastZeroMQ("zmq_setsockopt \(option)")
        }
    }

    /// Listens, and tells where: with the port chosen when any was asked for.
    func bind(_ endpoint: Endpoint) throws(TransportError) -> Endpoint {
        if endpoint.host.contains(":") { try set(ZMQ_IPV6, 1) }
        guard zmq_bind(handle, endpoint.description) == 0 else { throw .bind(zmq_errno(), endpoint) }
        var text = [CChar](repeating: 0, count: 256)
        var length = text.count
        guard zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, &text, &length) == 0 else {
            throw .lastZeroMQ("zmq_getsockopt ZMQ_LAST_ENDPOINT")
        }
        return try Endpoint(String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self))
    }

    func connect(_ endpoint: Endpoint) throws(TransportError) {
        if try endpoint.needsIPv6ToConnect() { try set(ZMQ_IPV6, 1) }
        guard zmq_connect(handle, endpoint.description) == 0 else {
            throw .system(call: "connecting to \(endpoint)", detail: String(cString: zmq_strerror(zmq_errno())))
        }
    }

    // MARK: Messages

    /// Queues a message without waiting; false when there is nobody to queue it for.
    func send(_ frames: [[UInt8]]) throws(TransportError) -> Bool {
        for frame in frames where frame.count > maximumMessageBytes {
            throw .messageTooLarge(bytes: frame.count, limit: maximumMessageBytes)
        }
        for (index, frame) in frames.enumerated() {
            let more = index < frames.count - 1 ? ZMQ_SNDMORE : 0
            while zmq_send(handle, frame, frame.count, ZMQ_DONTWAIT | more) < 0 {
                switch zmq_errno() {
                case EINTR: continue
                // No such peer (EHOSTUNREACH), or it does not take what was sent before (EAGAIN).
                case EHOSTUNREACH, EAGAIN: return false
                default: throw .lastZeroMQ("zmq_send")
                }
            }
        }
        return true
    }

    /// Takes one message from the queue without waiting.
    func receive(frameCount: Int) throws(TransportError) -> Received {
        var frames: [[UInt8]] = []
        var key: PublicKey?
        var hasMore = true
        var surplus = 0
        while hasMore {
            let isWanted = frames.count < frameCount
            let isLast = frames.count == frameCount - 1
            guard let frame = MessageFrame.next(from: handle, isCopied: isWanted, withKey: isLast) else {
                guard zmq_errno() == EAGAIN else { throw .lastZeroMQ("zmq_msg_recv") }
                return .nothing
            }
            if isWanted { frames.append(frame.bytes) } else { surplus += 1 }
            if isLast { key = frame.key }
            hasMore = frame.hasMore
        }
        return frames.count == frameCount && surplus == 0 ? .message(frames, key: key) : .misshapen
    }

    // MARK: Events

    /// Ends what `openMonitor(_:)` began, before its reader closes: libzmq would wait for one for ever.
    func stopMonitor() { zmq_socket_monitor(handle, nil, 0) }

    /// Opens a socket that tells what happens to this one's connections; whoever opened it closes it.
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

    /// Waits until the socket can be read (`ZMQ_POLLIN`) or written (`ZMQ_POLLOUT`), or the wake-up is signalled.
    func wait(for events: Int32, until deadline: Deadline) throws(TransportError) -> Waited {
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
