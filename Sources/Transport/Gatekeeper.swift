import CZeroMQ
import Glibc
import Synchronization

/// Decides who gets past the handshake of a coordinator's socket, and counts who does not.
///
/// A thread of its own answers libzmq's questions (ZAP, https://rfc.zeromq.org/spec/27) and reads the socket's events.
/// It is there before the socket is bound, since libzmq lets everybody in whom nobody speaks against
/// (`ZMQ_ZAP_ENFORCE_DOMAIN` is missing from stable builds). Should the thread end, a stranger's connection would bear
/// no key that the gatekeeper vouched for, and ``CoordinatorSocket`` drops what comes without one.
final class Gatekeeper: Sendable {
    /// The name of the socket's domain; only its presence matters.
    static let domain = "ecad"

    /// What the thread works with; it alone uses the sockets once it runs.
    private final class Post: @unchecked Sendable {
        let questions: UnsafeMutableRawPointer?
        let events: UnsafeMutableRawPointer
        let register: KeyRegister?
        let wakeup: Wakeup
        let counts = Mutex<[TransportRefusal: Int]>([:])
        let isClosing = Atomic<Bool>(false)

        init(
            questions: UnsafeMutableRawPointer?, events: UnsafeMutableRawPointer, register: KeyRegister?, wakeup: Wakeup
        ) {
            self.questions = questions
            self.events = events
            self.register = register
            self.wakeup = wakeup
        }
    }

    private let post: Post
    private let thread: pthread_t
    // Keeps the context from ending before the thread's sockets.
    private let context: SocketContext

    /// Starts to answer for a socket.
    ///
    /// - Parameters:
    ///   - socket: The coordinator's socket, not bound yet.
    ///   - register: Who may join; nil if nobody is asked for a key.
    ///   - context: Where the socket lives; it may have one gatekeeper with a register.
    /// - Throws: `system`.
    init(
        of socket: borrowing Socket, register: KeyRegister?, in context: SocketContext
    ) throws(TransportError) {
        var questions: UnsafeMutableRawPointer?
        if register != nil {
            questions = try Self.open(ZMQ_REP, in: context)
            guard zmq_bind(questions, "inproc://zeromq.zap.01") == 0 else {
                let error = TransportError.lastZeroMQ("zmq_bind inproc://zeromq.zap.01")
                zmq_close(questions)
                throw error
            }
        }
        let events: UnsafeMutableRawPointer
        do {
            events = try socket.openMonitor(
                ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
        } catch {
            if let questions { zmq_close(questions) }
            throw error
        }
        let post = Post(questions: questions, events: events, register: register, wakeup: try Wakeup())
        self.post = post
        self.context = context
        var thread = pthread_t()
        let status = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Gatekeeper.serve(Unmanaged<Post>.fromOpaque(argument).takeRetainedValue())
                return nil
            }, Unmanaged.passRetained(post).toOpaque())
        guard status == 0 else { throw .system(call: "pthread_create", detail: String(cString: strerror(status))) }
        self.thread = thread
    }

    deinit {
        post.isClosing.store(true, ordering: .releasing)
        post.wakeup.signal()
        pthread_join(thread, nil)
    }

    /// Notes a refusal that happened elsewhere.
    func count(_ refusal: TransportRefusal) {
        post.counts.withLock { $0[refusal, default: 0] += 1 }
    }

    /// Takes the numbers of refusals since the last call.
    func takeCounts() -> [TransportRefusal: Int] {
        post.counts.withLock { counts in
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

    // MARK: - On the thread

    private static func serve(_ post: Post) {
        defer {
            if let questions = post.questions { zmq_close(questions) }
            zmq_close(post.events)
        }
        while !post.isClosing.load(ordering: .acquiring) {
            var items = [
                zmq_pollitem_t(socket: nil, fd: post.wakeup.readDescriptor, events: Int16(ZMQ_POLLIN), revents: 0),
                zmq_pollitem_t(socket: post.events, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0),
            ]
            if let questions = post.questions {
                items.append(zmq_pollitem_t(socket: questions, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0))
            }
            guard zmq_poll(&items, Int32(items.count), -1) >= 0 || zmq_errno() == EINTR else { return }
            post.wakeup.clear()
            while let event = SocketEvent.next(from: post.events) {
                // An unknown key has been counted when it was asked about; its failure has another number.
                if event.isHandshakeFailure { post.counts.withLock { $0[.handshake, default: 0] += 1 } }
            }
            while let questions = post.questions, let question = receive(from: questions) {
                answer(question, from: questions, post)
            }
        }
    }

    private static func answer(_ question: [[UInt8]], from socket: UnsafeMutableRawPointer, _ post: Post) {
        let requestID = question.count > 1 ? question[1] : []
        var key: PublicKey?
        if question.count == 7, question[0] == Array("1.0".utf8), question[5] == Array("CURVE".utf8),
            question[6].count == KeyPair.byteCount
        {
            key = PublicKey(bytes: question[6])
        }
        let isAdmitted = key.map { post.register?.admits($0) ?? false } ?? false
        if !isAdmitted {
            var refusal = TransportRefusal.unknownKey
            if let key, case .revoked = post.register?.standing(of: key) { refusal = .revokedKey }
            post.counts.withLock { $0[refusal, default: 0] += 1 }
        }
        let user = isAdmitted ? key?.description ?? "" : ""
        let frames: [[UInt8]] = [
            Array("1.0".utf8), requestID, Array((isAdmitted ? "200" : "400").utf8),
            Array((isAdmitted ? "OK" : "not authorized").utf8), Array(user.utf8), [],
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
