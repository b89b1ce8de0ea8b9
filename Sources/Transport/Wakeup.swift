import Glibc

/// Ends a socket's blocking calls from another thread or a signal handler.
///
/// A ZeroMQ socket belongs to one thread. Other threads put messages into a queue that the socket's thread reads, then
/// call `signal()`.
public final class Wakeup: Sendable {
    // A pipe, because write(2) is async-signal-safe.
    let readDescriptor: Int32
    let writeDescriptor: Int32

    /// Creates an unsignalled wake-up.
    ///
    /// - Throws: `system` if the process has no file descriptors left.
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

    /// Ends the current wait, or the next one; signals before a wait are merged into one.
    public func signal() { Self.signal(descriptor: writeDescriptor) }

    /// Async-signal-safe.
    static func signal(descriptor: Int32) {
        var byte: UInt8 = 1
        // If the pipe is full, the reader wakes anyway.
        while write(descriptor, &byte, 1) < 0, errno == EINTR {}
    }

    /// Waits for a signal and clears it.
    ///
    /// - Parameter timeout: The longest wait.
    /// - Returns: False on timeout.
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

    /// Clears all signals so far.
    func clear() {
        withUnsafeTemporaryAllocation(byteCount: 64, alignment: 1) { buffer in
            while true {
                let count = read(readDescriptor, buffer.baseAddress, buffer.count)
                if count < buffer.count, !(count < 0 && errno == EINTR) { return }
            }
        }
    }
}

/// The end of a wait that may be interrupted and resumed.
struct Deadline {
    private let instant: ContinuousClock.Instant

    init(after timeout: Duration) {
        // At most a day, so that the sum cannot overflow; callers that wait longer do so in a loop.
        instant = .now + min(max(timeout, .zero), .seconds(86_400))
    }

    var hasPassed: Bool { ContinuousClock.now >= instant }

    /// Rounded up, so that a wait of this length does not end before the deadline; 0 after it.
    var millisecondsLeft: Int {
        let left = ContinuousClock.now.duration(to: instant)
        guard left > .zero else { return 0 }
        let (seconds, attoseconds) = left.components
        return Int(seconds) * 1_000 + Int((attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000)
    }
}
