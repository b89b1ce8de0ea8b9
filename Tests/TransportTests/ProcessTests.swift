import Foundation
import Testing

@testable import Transport

/// Signals, limits and ids; serialized, because they change the state of the process.
@Suite(.serialized) struct ProcessTests {
    @Test func watchedSignalWakesTheLoopInsteadOfEndingTheProcess() throws {
        let wakeup = try Wakeup()
        let watcher = try SignalWatcher([SIGTERM, SIGUSR1], waking: wakeup)
        var coordinator = try TestSockets.coordinator(in: SocketContext(), wakeup: wakeup)
        #expect(!watcher.hasReceived(SIGTERM) && watcher.arrivalCount == 0)

        kill(getpid(), SIGTERM)
        let start = ContinuousClock.now
        let nothing = try coordinator.receive(timeout: TestSockets.timeout)
        #expect(nothing == nil && ContinuousClock.now - start < TestSockets.timeout)
        #expect(watcher.hasReceived(SIGTERM) && !watcher.hasReceived(SIGUSR1))

        kill(getpid(), SIGUSR1)
        kill(getpid(), SIGTERM)
        #expect(TestSockets.eventually { watcher.arrivalCount == 3 })
        #expect(watcher.hasReceived(SIGUSR1))
    }

    @Test func newWatcherHasNoSignals() throws {
        let wakeup = try Wakeup()
        do {
            let watcher = try SignalWatcher([SIGUSR1], waking: wakeup)
            kill(getpid(), SIGUSR1)
            #expect(TestSockets.eventually { watcher.hasReceived(SIGUSR1) })
        }
        #expect(try !SignalWatcher([SIGUSR1], waking: wakeup).hasReceived(SIGUSR1))
    }

    @Test func unwatchableSignalIsAnError() throws {
        let wakeup = try Wakeup()
        #expect(throws: TransportError.self) { try SignalWatcher([SIGKILL], waking: wakeup) }
        _ = try SignalWatcher([SIGUSR1], waking: wakeup)
    }

    @Test func interruptedWaitContinues() throws {
        // The socket does not use this wake-up, so the signals only interrupt its system calls.
        let watcher = try SignalWatcher([SIGUSR1], waking: Wakeup())
        var coordinator = try TestSockets.coordinator(in: SocketContext())
        let waiter = pthread_self()
        // Test threads have signals blocked.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGUSR1)
        pthread_sigmask(SIG_UNBLOCK, &signals, nil)
        defer { pthread_sigmask(SIG_BLOCK, &signals, nil) }
        Thread.detachNewThread {
            for _ in 0..<8 {
                usleep(10_000)
                pthread_kill(waiter, SIGUSR1)
            }
        }
        let start = ContinuousClock.now
        let nothing = try coordinator.receive(timeout: .milliseconds(300))
        #expect(nothing == nil && ContinuousClock.now - start >= .milliseconds(300))
        // Fewer than eight are possible: pending signals are merged.
        #expect(watcher.arrivalCount > 0)
    }

    @Test func descriptorLimitIsRaisedToTheHardLimit() throws {
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        limit.rlim_cur = min(limit.rlim_max, 1_000)
        setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let workers = try FileDescriptorLimit.raise()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        #expect(limit.rlim_cur == limit.rlim_max)
        #expect(workers > 0 && workers < Int(limit.rlim_cur))
        #expect(throws: TransportError.self) { try FileDescriptorLimit.raise(forWorkers: workers + 1) }
    }

    @Test func vulnerableLibraryIsRejected() throws {
        try LibraryVersion.installed.requireSafe()
        try LibraryVersion(major: 4, minor: 3, patch: 3).requireSafe()
        let old = LibraryVersion(major: 4, minor: 3, patch: 2)
        #expect(throws: TransportError.libraryTooOld(found: old, minimum: .minimum)) { try old.requireSafe() }
        #expect(LibraryVersion(major: 3, minor: 9, patch: 9) < old)
    }

    @Test func invalidRoutingIdIsAnErrorAndLeaksNoSocket() throws {
        // A leaked socket would block the termination of the context, and thus this test.
        let context = try SocketContext()
        for bytes in [[], [UInt8](repeating: 1, count: 256)] {
            #expect(throws: TransportError.self) {
                _ = try TestSockets.worker(to: Endpoint("tcp://127.0.0.1:9"), as: PeerID(bytes: bytes), in: context)
            }
        }
    }

    @Test func randomIdsAreValidAndDistinct() {
        let ids = (0..<2_000).map { _ in PeerID.random() }
        #expect(ids.allSatisfy { $0.bytes.count == 16 && $0.bytes[0] != 0 })
        #expect(Set(ids).count == ids.count)
        #expect(PeerID(bytes: [0x0A, 0xFF]).description == "0aff")
    }
}
