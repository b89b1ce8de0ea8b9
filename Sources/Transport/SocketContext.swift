import CZeroMQ
import Glibc

/// The process's ZeroMQ input/output thread; every socket holds on to the one it was made in.
///
/// When the last holder lets go, the release waits until what sockets have still to send is sent, at most
/// `SocketOptions.linger`.
public final class SocketContext: Sendable {
    // A ZeroMQ context, unlike its sockets, may be used from any thread.
    nonisolated(unsafe) let handle: UnsafeMutableRawPointer

    /// Starts the input/output thread.
    ///
    /// - Throws: `libraryTooOld`, or `system` when the process has no resources left.
    public init() throws(TransportError) {
        try LibraryVersion.installed.requireSafe()
        guard let handle = zmq_ctx_new() else { throw .lastZeroMQ("zmq_ctx_new") }
        self.handle = handle
    }

    deinit {
        while zmq_ctx_term(handle) != 0, zmq_errno() == EINTR {}
    }
}
