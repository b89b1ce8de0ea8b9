import Glibc
import Transport

/// A plain TCP connection to a coordinator on this machine, on which any bytes can be sent.
public struct RawPeer: ~Copyable {
    private let descriptor: Int32

    /// Connects to 127.0.0.1 on the endpoint's port.
    ///
    /// - Parameter endpoint: The coordinator's endpoint; its host is ignored.
    /// - Throws: `TransportError.system`.
    public init(to endpoint: Endpoint) throws(TransportError) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw .system(call: "socket", detail: String(cString: strerror(errno))) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = endpoint.port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else {
            let detail = String(cString: strerror(errno))
            close(descriptor)
            throw .system(call: "connect", detail: detail)
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }

    /// Closes the connection; without a call, Swift may close it after the last use of the value.
    public consuming func disconnect() {}

    /// Sends bytes; a connection closed by the peer is not an error.
    public func write(_ bytes: [UInt8]) {
        _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// Ends the sending direction; the peer reads an end of file.
    public func finishWriting() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Receives until the peer closes the connection or sends nothing for a while.
    ///
    /// - Parameter silence: The longest wait for the next bytes.
    /// - Returns: The number of bytes received, and whether the peer closed the connection.
    public func receiveAll(silence: Duration) -> (byteCount: Int, isClosed: Bool) {
        let (seconds, attoseconds) = silence.components
        var timeout = timeval(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        var buffer = [UInt8](repeating: 0, count: 4_096)
        var byteCount = 0
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { return (byteCount, count == 0 || errno == ECONNRESET) }
            byteCount += count
        }
    }

    /// Performs the ZMTP handshake of an unencrypted DEALER, then sends one message.
    ///
    /// - Parameters:
    ///   - id: The routing id to claim.
    ///   - message: At most 255 bytes.
    public func connectUnencrypted(as id: [UInt8], sending message: [UInt8]) {
        let opening = Self.unencryptedOpening(as: id)
        write(opening)
        // The peer's greeting of 64 bytes and the start of its READY: an earlier message would violate the protocol.
        var count = 0
        var buffer = [UInt8](repeating: 0, count: 256)
        while count <= Self.greetingByteCount {
            let received = recv(descriptor, &buffer, buffer.count, 0)
            guard received > 0 else { return }
            count += received
        }
        write(Self.frame(message))
    }

    // MARK: - ZMTP 3.0 (https://rfc.zeromq.org/spec/23)

    /// The length of a greeting.
    static let greetingByteCount = 64

    /// The greeting and READY command of an unencrypted DEALER.
    static func unencryptedOpening(as id: [UInt8]) -> [UInt8] {
        func property(_ name: String, _ value: [UInt8]) -> [UInt8] {
            [UInt8(name.utf8.count)] + Array(name.utf8) + [0, 0, 0, UInt8(value.count)] + value
        }
        let greeting: [UInt8] =
            [0xFF] + [UInt8](repeating: 0, count: 8) + [0x7F, 3, 0] + Array("NULL".utf8)
            + [UInt8](repeating: 0, count: 48)
        let ready =
            [5] + Array("READY".utf8) + property("Socket-Type", Array("DEALER".utf8)) + property("Identity", id)
        return greeting + [0x04, UInt8(ready.count)] + ready
    }

    /// A message of one short frame.
    static func frame(_ message: [UInt8]) -> [UInt8] { [0x00, UInt8(message.count)] + message }
}
