import Foundation
import Testing

@testable import Transport

/// What concerns the process as a whole; one at a time, because there is only one.
@Suite(.serialized) struct ProcessTests {
    @Test func aTerminationSignalWakesTheLoopInsteadOfKilling() throws {
        let wakeup = try Wakeup()
        let watcher = try SignalWatcher([SIGTERM, SIGUSR1], waking: wakeup)
        var coordinator = try Line.coordinator(in: SocketContext(), wakeup: wakeup)
        #expect(!watcher.hasReceived(SIGTERM) && watcher.arrivalCount == 0)

        kill(getpid(), SIGTERM)
        let start = ContinuousClock.now
        let nothing = try coordinator.receive(timeout: Line.patience)
        #expect(nothing == nil && ContinuousClock.now - start < .seconds(5))
        #expect(watcher.hasReceived(SIGTERM) && !watcher.hasReceived(SIGUSR1))

        kill(getpid(), SIGUSR1)
        kill(getpid(), SIGTERM)
        #expect(Line.eventually { watcher.arrivalCount == 3 })
        #expect(watcher.hasReceived(SIGUSR1))
    }

    @Test func aNewWatcherStartsFromNothing() throws {
        let wakeup = try Wakeup()
        do {
            let watcher = try SignalWatcher([SIGUSR1], waking: wakeup)
            kill(getpid(), SIGUSR1)
            #expect(Line.eventually { watcher.hasReceived(SIGUSR1) })
        }
        #expect(try !SignalWatcher([SIGUSR1], waking: wakeup).hasReceived(SIGUSR1))
    }

    @Test func aSignalThatCannotBeWatchedIsAnError() throws {
        let wakeup = try Wakeup()
        #expect(throws: TransportError.self) { try SignalWatcher([SIGKILL], waking: wakeup) }
        _ = try SignalWatcher([SIGUSR1], waking: wakeup)
    }

    @Test func anInterruptedWaitGoesOn() throws {
        // The watcher wakes nobody here, so the signals only interrupt.
        let watcher = try SignalWatcher([SIGUSR1], waking: Wakeup())
        var coordinator = try Line.coordinator(in: SocketContext())
        let waiter = pthread_self()
        // Tests run on threads that have signals blocked.
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
        // Not each of the eight: signals that come while one is pending are merged with it.
        #expect(watcher.arrivalCount > 0)
    }

    @Test func theDescriptorLimitIsRaisedToTheHardOne() throws {
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

    @Test func anUnsafeLibraryIsRefused() throws {
        try LibraryVersion.installed.requireSafe()
        try LibraryVersion(major: 4, minor: 3, patch: 3).requireSafe()
        let old = LibraryVersion(major: 4, minor: 3, patch: 2)
        #expect(throws: TransportError.libraryTooOld(found: old, minimum: .minimum)) { try old.requireSafe() }
        #expect(LibraryVersion(major: 3, minor: 9, patch: 9) < old)
    }

    @Test func anIdThatZeroMQDoesNotTakeIsAnErrorAndLeaksNoSocket() throws {
        // A leaked socket would keep the context, and so this test, from ever ending.
        let context = try SocketContext()
        for bytes in [[], [UInt8](repeating: 1, count: 256)] {
            #expect(throws: TransportError.self) {
                _ = try Line.worker(to: Endpoint("tcp://127.0.0.1:9"), as: PeerID(bytes: bytes), in: context)
            }
        }
    }

    @Test func idsAreFitForZeroMQAndDiffer() {
        let ids = (0..<2_000).map { _ in PeerID.random() }
        #expect(ids.allSatisfy { $0.bytes.count == 16 && $0.bytes[0] != 0 })
        #expect(Set(ids).count == ids.count)
        #expect(PeerID(bytes: [0x0A, 0xFF]).description == "0aff")
    }
}
