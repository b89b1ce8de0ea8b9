import Glibc
import Synchronization

/// Records signals such as SIGTERM for an event loop to poll.
///
/// While it exists, the signals do not end the process; they are recorded and trigger the wake-up. It installs a
/// handler instead of using `signalfd`, which needs the signals blocked in every thread: libraries start threads before
/// `main`.
public final class SignalWatcher: Sendable {
    private let signals: [Int32]
    private let wakeup: Wakeup

    /// Installs the signal handlers.
    ///
    /// - Parameters:
    ///   - signals: The signals to record.
    ///   - wakeup: Triggered by every signal.
    /// - Precondition: No other watcher exists in the process.
    /// - Throws: `system` for a signal that cannot be handled.
    public init(_ signals: [Int32] = [SIGTERM, SIGINT], waking wakeup: Wakeup) throws(TransportError) {
        let (isFirst, _) = arrivals.descriptor.compareExchange(
            expected: -1, desired: wakeup.writeDescriptor, ordering: .sequentiallyConsistent)
        precondition(isFirst, "a process has one SignalWatcher at a time")
        self.signals = signals
        self.wakeup = wakeup
        arrivals.seen.store(0, ordering: .sequentiallyConsistent)
        arrivals.count.store(0, ordering: .sequentiallyConsistent)
        for signal in signals { try Self.install(recordArrival, for: signal) }
        // The signal mask is inherited, and the parent process may have blocked them.
        var watched = sigset_t()
        sigemptyset(&watched)
        for signal in signals { sigaddset(&watched, signal) }
        pthread_sigmask(SIG_UNBLOCK, &watched, nil)
    }

    deinit {
        for signal in signals { Glibc.signal(signal, SIG_DFL) }
        arrivals.descriptor.store(-1, ordering: .sequentiallyConsistent)
    }

    /// Whether the signal has arrived since the watcher was created.
    public func hasReceived(_ signal: Int32) -> Bool {
        arrivals.seen.load(ordering: .sequentiallyConsistent) & (1 << UInt64(signal)) != 0
    }

    /// The total number of signals received; a second one usually asks to stop at once.
    public var arrivalCount: Int { arrivals.count.load(ordering: .sequentiallyConsistent) }

    private static func install(
        _ handler: @escaping @convention(c) (Int32) -> Void, for signal: Int32
    ) throws(TransportError) {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = handler
        // Restarts interrupted system calls; waits for messages end nevertheless, through the wake-up.
        action.sa_flags = SA_RESTART
        guard sigaction(signal, &action, nil) == 0 else { throw .lastSystem("sigaction \(signal)") }
    }
}

/// Process-wide, because a signal handler has no context; atomic, because it interrupts any thread.
private struct Arrivals: ~Copyable {
    let descriptor = Atomic<Int32>(-1)
    let seen = Atomic<UInt64>(0)
    let count = Atomic<Int>(0)
}

private let arrivals = Arrivals()

private func recordArrival(of signal: Int32) {
    let interrupted = errno
    arrivals.seen.bitwiseOr(1 << UInt64(signal), ordering: .sequentiallyConsistent)
    arrivals.count.add(1, ordering: .sequentiallyConsistent)
    let descriptor = arrivals.descriptor.load(ordering: .sequentiallyConsistent)
    if descriptor >= 0 { Wakeup.signal(descriptor: descriptor) }
    errno = interrupted
}
