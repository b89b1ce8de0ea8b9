import Glibc

/// Ends the waiting of a socket's thread from any other thread, or from a signal handler.
///
/// A ZeroMQ socket belongs to one thread. A thread with something to send puts it where the socket's thread finds it,
/// then calls `signal()`.
public final class Wakeup: Sendable {
    // A pipe because writing to it is all a signal handler may safely do.
    let readDescriptor: Int32
    let writeDescriptor: Int32

    /// Makes one that is not signalled.
    ///
    /// - Throws: `system` when the process has no file descriptors left.
    public init() throws(TransportError) {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { throw .lastSystem("pipe") }
        readDescriptor = ends[0]
        writeDescriptor = ends[1]
        for end in ends {
            guard fcntl(end, F_SETFL, O_NONBLOCK) == 0, fcntl(end, F_SETFD, FD_CLOEXEC) == 0 else {
                throw .lastSystem("fcntl")
            }
        }
    }

    deinit {
        close(readDescriptor)
        close(writeDescriptor)
    }

    /// Ends the present or else the next wait; several signals before it count as one.
    public func signal() { Self.signal(descriptor: writeDescriptor) }

    /// Safe in a signal handler.
    static func signal(descriptor: Int32) {
        var byte: UInt8 = 1
        // A full pipe is as good as a written one: the reader wakes either way.
        while write(descriptor, &byte, 1) < 0, errno == EINTR {}
    }

    /// Waits to be signalled, and uses the signal up.
    ///
    /// - Parameter timeout: The longest wait.
    /// - Returns: Whether it was signalled, not timed out.
    public func wait(timeout: Duration) -> Bool {
        let deadline = Deadline(after: timeout)
        while true {
            var item = pollfd(fd: readDescriptor, events: Int16(POLLIN), revents: 0)
            let count = poll(&item, 1, Int32(clamping: deadline.millisecondsLeft))
            if count > 0 {
                clear()
                return true
            }
            if count == 0, deadline.hasPassed { return false }
        }
    }

    /// Uses up all signals so far.
    func clear() {
        withUnsafeTemporaryAllocation(byteCount: 64, alignment: 1) { buffer in
            while true {
                let count = read(readDescriptor, buffer.baseAddress, buffer.count)
                if count < buffer.count, !(count < 0 && errno == EINTR) { return }
            }
        }
    }
}
