import Glibc
import Synchronization

/// Turns signals such as SIGTERM into something a loop can look at.
///
/// While it lives the signals do not end the process; they are noted, and the wake-up is signalled. A handler and not
/// `signalfd`, because that needs the signals blocked in every thread, and libraries start threads before `main`.
public final class SignalWatcher: Sendable {
    private let signals: [Int32]
    private let wakeup: Wakeup

    /// Starts to watch; the process may have one watcher at a time.
    ///
    /// - Parameters:
    ///   - signals: Signals to watch for.
    ///   - wakeup: Signalled whenever one arrives.
    /// - Precondition: No other watcher exists.
    /// - Throws: `system` when a signal cannot be watched.
    public init(_ signals: [Int32] = [SIGTERM, SIGINT], waking wakeup: Wakeup) throws(TransportError) {
        let (isFirst, _) = arrivals.descriptor.compareExchange(
            expected: -1, desired: wakeup.writeDescriptor, ordering: .sequentiallyConsistent)
        precondition(isFirst, "a process has one SignalWatcher at a time")
        self.signals = signals
        self.wakeup = wakeup
        arrivals.seen.store(0, ordering: .sequentiallyConsistent)
        arrivals.count.store(0, ordering: .sequentiallyConsistent)
        for signal in signals { try Self.install(noteArrival, for: signal) }
        // Whoever started the process may have had them blocked, and a mask is inherited.
        var watched = sigset_t()
        sigemptyset(&watched)
        for signal in signals { sigaddset(&watched, signal) }
        pthread_sigmask(SIG_UNBLOCK, &watched, nil)
    }

    deinit {
        for signal in signals { Glibc.signal(signal, SIG_DFL) }
        arrivals.descriptor.store(-1, ordering: .sequentiallyConsistent)
    }

    /// Whether the signal has arrived since the watcher was made.
    public func hasReceived(_ signal: Int32) -> Bool {
        arrivals.seen.load(ordering: .sequentiallyConsistent) & (1 << UInt64(signal)) != 0
    }

    /// Arrivals of all watched signals so far: a person who presses Control-C twice means it.
    public var arrivalCount: Int { arrivals.count.load(ordering: .sequentiallyConsistent) }

    private static func install(
        _ handler: @escaping @convention(c) (Int32) -> Void, for signal: Int32
    ) throws(TransportError) {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = handler
        // Spares calls that do not expect to be interrupted; waiting for messages ends all the same.
        action.sa_flags = SA_RESTART
        guard sigaction(signal, &action, nil) == 0 else { throw .lastSystem("sigaction \(signal)") }
    }
}

/// What a signal handler can reach: process-wide, and atomic.
private struct Arrivals: ~Copyable {
    let descriptor = Atomic<Int32>(-1)
    let seen = Atomic<UInt64>(0)
    let count = Atomic<Int>(0)
}

private let arrivals = Arrivals()

private func noteArrival(of signal: Int32) {
    let interrupted = errno
    arrivals.seen.bitwiseOr(1 << UInt64(signal), ordering: .sequentiallyConsistent)
    arrivals.count.add(1, ordering: .sequentiallyConsistent)
    let descriptor = arrivals.descriptor.load(ordering: .sequentiallyConsistent)
    if descriptor >= 0 { Wakeup.signal(descriptor: descriptor) }
    errno = interrupted
}
