import CZeroMQ
import Glibc

/// One frame taken from a ZeroMQ socket.
struct MessageFrame {
    let bytes: [UInt8]
    let hasMore: Bool
    /// The key that the gatekeeper vouched for when the sender's connection was made.
    let key: PublicKey?

    /// Takes a frame without waiting.
    ///
    /// - Returns: Nil when there is none; look at `zmq_errno()` for why.
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
