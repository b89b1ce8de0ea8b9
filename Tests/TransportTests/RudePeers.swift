import CZeroMQ
import Glibc
import Transport

/// A peer that speaks TCP but not necessarily ZeroMQ.
struct RawPeer: ~Copyable {
    private let descriptor: Int32

    init(to endpoint: Endpoint) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = endpoint.port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard descriptor >= 0, status == 0 else {
            throw TransportError.system(call: "connect", detail: String(cString: strerror(errno)))
        }
    }

    deinit { close(descriptor) }

    /// Ends the connection; without it, Swift would after the last use of the peer.
    consuming func hangUp() {}

    /// The coordinator may have hung up; that is for the test to find out otherwise.
    func write(_ bytes: [UInt8]) {
        _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// Whether the coordinator hangs up before patience ends.
    func isClosedByPeer() -> Bool {
        var timeout = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        var buffer = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count == 0 { return true }
            if count < 0 { return errno == ECONNRESET }
        }
    }

    /// Speaks ZMTP 3.0 as a DEALER without security until the coordinator knows it, and sends one message.
    func introduce(as id: [UInt8], saying message: [UInt8]) {
        let greeting: [UInt8] =
            [0xFF] + [UInt8](repeating: 0, count: 8) + [0x7F, 3, 0] + Array("NULL".utf8)
            + [UInt8](repeating: 0, count: 48)
        let ready = [5] + Array("READY".utf8) + property("Socket-Type", Array("DEALER".utf8)) + property("Identity", id)
        write(greeting + [0x04, UInt8(ready.count)] + ready)
        // The other's greeting, as long as this one, and at least the beginning of its READY: before that, a message
        // would break the protocol.
        var count = 0
        var buffer = [UInt8](repeating: 0, count: 256)
        while count <= greeting.count {
            let received = recv(descriptor, &buffer, buffer.count, 0)
            guard received > 0 else { return }
            count += received
        }
        write([0x00, UInt8(message.count)] + message)
    }

    private func property(_ name: String, _ value: [UInt8]) -> [UInt8] {
        [UInt8(name.utf8.count)] + Array(name.utf8) + [0, 0, 0, UInt8(value.count)] + value
    }
}

/// A port of this machine on which nobody listens, nor can begin to.
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

    /// Lets others have the port; without it, Swift would after the last use.
    consuming func release() {}
}

/// A ZeroMQ peer without any of the limits of `WorkerSocket`.
struct RudeWorker: ~Copyable {
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
