import CZeroMQ
import Foundation
import Transport

/// Sockets on a free port of this machine, with short timeouts.
enum TestSockets {
    static var options: SocketOptions {
        var options = SocketOptions()
        options.maximumMessageBytes = 1 << 20
        options.reconnectInterval = .milliseconds(20)
        options.reconnectIntervalMaximum = .milliseconds(100)
        options.linger = .milliseconds(200)
        return options
    }

    /// The deadline of every wait; generous, because a wait ends as soon as its condition holds.
    static let timeout = Duration.seconds(120)

    static func coordinator(
        at endpoint: String = "tcp://127.0.0.1:*", in context: SocketContext, wakeup: Wakeup? = nil,
        options: SocketOptions = TestSockets.options
    ) throws -> CoordinatorSocket {
        try CoordinatorSocket(
            listeningOn: Endpoint(endpoint), in: context, options: options, wakeup: wakeup ?? Wakeup())
    }

    static func worker(
        to endpoint: Endpoint, as id: PeerID = .random(), in context: SocketContext, wakeup: Wakeup? = nil,
        options: SocketOptions = TestSockets.options
    ) throws -> WorkerSocket {
        try WorkerSocket(
            connectingTo: endpoint, as: id, in: context, options: options, wakeup: wakeup ?? Wakeup())
    }

    /// Repeats `condition` until it is true or the timeout has passed.
    static func eventually(_ condition: () throws -> Bool) rethrows -> Bool {
        let start = ContinuousClock.now
        while ContinuousClock.now - start < timeout {
            if try condition() { return true }
            usleep(5_000)
        }
        return false
    }
}

extension WorkerSocket {
    /// Sends as soon as the socket is connected.
    func sendWhenConnected(_ bytes: [UInt8]) throws -> Bool {
        try TestSockets.eventually { try waitForConnection(timeout: .milliseconds(100)) && send(bytes) }
    }
}

/// Passes one value between threads.
final class Mailbox<Value: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: Value?

    func put(_ value: Value) { lock.withLock { self.value = value } }

    func take() -> Value? {
        lock.withLock {
            defer { value = nil }
            return value
        }
    }
}

/// A reserved port of this machine on which no program can listen.
struct ClosedPort: ~Copyable {
    let endpoint: Endpoint
    private let descriptor: Int32

    init() throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = bind(descriptor, $0, length)
                getsockname(descriptor, $0, &length)
            }
        }
        endpoint = try Endpoint("tcp://127.0.0.1:\(UInt16(bigEndian: address.sin_port))")
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Releases the port; without a call, Swift may release it after the last use of the value.
    consuming func release() {}
}

/// A ZeroMQ DEALER without the limits of `WorkerSocket`: it can send any frames of any size.
struct UnrestrictedDealer: ~Copyable {
    private let context: UnsafeMutableRawPointer
    private let handle: UnsafeMutableRawPointer

    init(to endpoint: Endpoint) throws {
        guard let context = zmq_ctx_new(), let handle = zmq_socket(context, ZMQ_DEALER) else {
            throw TransportError.system(call: "zmq_socket", detail: "no resources")
        }
        self.context = context
        self.handle = handle
        var zero: Int32 = 0
        zmq_setsockopt(handle, ZMQ_LINGER, &zero, MemoryLayout<Int32>.size)
        zmq_connect(handle, endpoint.description)
    }

    deinit {
        zmq_close(handle)
        zmq_ctx_term(context)
    }

    func send(_ frames: [[UInt8]]) {
        for (index, frame) in frames.enumerated() {
            zmq_send(handle, frame, frame.count, ZMQ_DONTWAIT | (index < frames.count - 1 ? ZMQ_SNDMORE : 0))
        }
    }
}
