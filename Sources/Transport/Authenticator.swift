import CZeroMQ
import Glibc
import Synchronization

/// The reason a connection or message was refused before it was decoded.
///
/// The raw values are stored in the history.
public enum TransportRefusal: String, CaseIterable, Sendable {
    /// The key is not on the list.
    case unknownKey = "unknown-key"
    /// The key has been revoked; counted for each connection attempt and each message.
    case revokedKey = "revoked-key"
    /// No encryption, another coordinator's key, another protocol, or random bytes.
    case handshake = "failed-handshake"
    /// A message whose frame count is not a worker's.
    case malformed = "malformed-message"
}

/// Authenticates the peers of a coordinator's socket and counts the refused ones.
///
/// A dedicated thread answers libzmq's authentication requests (ZAP, https://rfc.zeromq.org/spec/27) and reads the
/// socket's events. It starts before the socket is bound, because libzmq accepts every peer while no ZAP handler runs
/// (`ZMQ_ZAP_ENFORCE_DOMAIN` is missing from stable builds). If the thread should end, new connections carry no
/// authenticated key and ``CoordinatorSocket`` drops their messages.
final class Authenticator: Sendable {
    /// The ZAP domain of the socket; any non-empty name enables authentication.
    static let domain = "ecad"

    /// The thread's state; only the thread uses the sockets once it runs.
    private final class Handler: @unchecked Sendable {
        let requests: UnsafeMutableRawPointer?
        let events: UnsafeMutableRawPointer
        let register: KeyRegister?
        let wakeup: Wakeup
        let counts = Mutex<[TransportRefusal: Int]>([:])
        let isClosing = Atomic<Bool>(false)

        init(
            requests: UnsafeMutableRawPointer?, events: UnsafeMutableRawPointer, register: KeyRegister?, wakeup: Wakeup
        ) {
            self.requests = requests
            self.events = events
            self.register = register
            self.wakeup = wakeup
        }
    }

    private let handler: Handler
    private let thread: pthread_t
    // Keeps the context alive until the thread's sockets are closed.
    private let context: SocketContext

    /// Starts the thread.
    ///
    /// - Parameters:
    ///   - socket: The coordinator's socket, not bound yet.
    ///   - register: The authorized keys; nil without encryption.
    ///   - context: The socket's context; it can hold one authenticator with a register.
    /// - Throws: `system`.
    init(
        for socket: borrowing Socket, register: KeyRegister?, in context: SocketContext
    ) throws(TransportError) {
        var requests: UnsafeMutableRawPointer?
        if register != nil {
            requests = try Self.open(ZMQ_REP, in: context)
            guard zmq_bind(requests, "inproc://zeromq.zap.01") == 0 else {
                let error = TransportError.lastZeroMQ("zmq_bind inproc://zeromq.zap.01")
                zmq_close(requests)
                throw error
            }
        }
        let events: UnsafeMutableRawPointer
        do {
            events = try socket.openMonitor(
                ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
        } catch {
            if let requests { zmq_close(requests) }
            throw error
        }
        let handler = Handler(requests: requests, events: events, register: register, wakeup: try Wakeup())
        self.handler = handler
        self.context = context
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Authenticator.run(Unmanaged<Handler>.fromOpaque(argument).takeRetainedValue())
                return nil
            }, Unmanaged.passRetained(handler).toOpaque())
        guard status == 0 else { throw .system(call: "pthread_create", detail: String(cString: strerror(status))) }
        self.thread = thread
    }

    deinit {
        handler.isClosing.store(true, ordering: .releasing)
        handler.wakeup.signal()
        pthread_join(thread, nil)
    }

    /// Counts a refusal that was decided outside the handshake.
    func count(_ refusal: TransportRefusal) {
        handler.counts.withLock { $0[refusal, default: 0] += 1 }
    }

    /// Returns the refusals since the last call and resets the counts.
    func takeCounts() -> [TransportRefusal: Int] {
        handler.counts.withLock { counts in
            defer { counts = [:] }
            return counts
        }
    }

    private static func open(_ type: Int32, in context: SocketContext) throws(TransportError) -> UnsafeMutableRawPointer
    {
        guard let handle = zmq_socket(context.handle, type) else { throw .lastZeroMQ("zmq_socket") }
        var zero: Int32 = 0
        zmq_setsockopt(handle, ZMQ_LINGER, &zero, MemoryLayout<Int32>.size)
        return handle
    }

    // MARK: - Thread

    private static func run(_ handler: Handler) {
        defer {
            if let requests = handler.requests { zmq_close(requests) }
            zmq_close(handler.events)
        }
        while !handler.isClosing.load(ordering: .acquiring) {
            var items = [
                zmq_pollitem_t(socket: nil, fd: handler.wakeup.readDescriptor, events: Int16(ZMQ_POLLIN), revents: 0),
                zmq_pollitem_t(socket: handler.events, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0),
            ]
            if let requests = handler.requests {
                items.append(zmq_pollitem_t(socket: requests, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0))
            }
            guard zmq_poll(&items, Int32(items.count), -1) >= 0 || zmq_errno() == EINTR else { return }
            handler.wakeup.clear()
            while let event = SocketEvent.next(from: handler.events) {
                // A rejected key raises another event and is counted with its request.
                if event.isHandshakeFailure { handler.counts.withLock { $0[.handshake, default: 0] += 1 } }
            }
            while let requests = handler.requests, let request = receive(from: requests) {
                reply(to: request, on: requests, handler)
            }
        }
    }

    private static func reply(to request: [[UInt8]], on socket: UnsafeMutableRawPointer, _ handler: Handler) {
        let requestID = request.count > 1 ? request[1] : []
        var key: PublicKey?
        if request.count == 7, request[0] == Array("1.0".utf8), request[5] == Array("CURVE".utf8),
            request[6].count == KeyPair.byteCount
        {
            key = PublicKey(bytes: request[6])
        }
        let isAccepted = key.map { handler.register?.acceptsConnection(from: $0) ?? false } ?? false
        if !isAccepted {
            var refusal = TransportRefusal.unknownKey
            if let key, case .revoked = handler.register?.status(of: key) { refusal = .revokedKey }
            handler.counts.withLock { $0[refusal, default: 0] += 1 }
        }
        let user = isAccepted ? key?.description ?? "" : ""
        let frames: [[UInt8]] = [
            Array("1.0".utf8), requestID, Array((isAccepted ? "200" : "400").utf8),
            Array((isAccepted ? "OK" : "not authorized").utf8), Array(user.utf8), [],
        ]
        for (index, frame) in frames.enumerated() {
            let more = index < frames.count - 1 ? ZMQ_SNDMORE : 0
            while zmq_send(socket, frame, frame.count, more) < 0 {
                guard zmq_errno() == EINTR else { return }
            }
        }
    }

    private static func receive(from socket: UnsafeMutableRawPointer) -> [[UInt8]]? {
        var frames: [[UInt8]] = []
        var hasMore = true
        while hasMore {
            guard let frame = MessageFrame.next(from: socket, isCopied: true) else { return nil }
            frames.append(frame.bytes)
            hasMore = frame.hasMore
        }
        return frames
    }
}
