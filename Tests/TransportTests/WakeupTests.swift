import Foundation
import Testing
import Transport

@Suite struct WakeupTests {
    @Test func signalWakesAWaitingSocket() throws {
        let wakeup = try Wakeup()
        var coordinator = try TestSockets.coordinator(in: SocketContext(), wakeup: wakeup)
        var delays: [Duration] = []
        for _ in 0..<20 {
            let signalled = Mailbox<ContinuousClock.Instant>()
            Thread.detachNewThread {
                usleep(5_000)
                signalled.put(.now)
                wakeup.signal()
            }
            let nothing = try coordinator.receive(timeout: TestSockets.timeout)
            #expect(nothing == nil)
            delays.append(.now - (try #require(signalled.take())))
        }
        // Far from the timeout even on a busy machine, which delays some of the threads.
        #expect(delays.sorted()[10] < TestSockets.timeout / 10)
    }

    @Test func signalBeforeTheWaitEndsIt() throws {
        let wakeup = try Wakeup()
        let context = try SocketContext()
        let coordinator = try TestSockets.coordinator(in: context)
        var worker = try TestSockets.worker(to: coordinator.endpoint, in: context, wakeup: wakeup)
        wakeup.signal()
        wakeup.signal()
        let start = ContinuousClock.now
        #expect(try worker.receive(timeout: TestSockets.timeout) == nil)
        #expect(ContinuousClock.now - start < TestSockets.timeout)
        // Both signals have been cleared.
        #expect(!wakeup.wait(timeout: .zero))
    }

    @Test func signalDoesNotHideAMessage() throws {
        let wakeup = try Wakeup()
        let context = try SocketContext()
        var coordinator = try TestSockets.coordinator(in: context, wakeup: wakeup)
        let worker = try TestSockets.worker(to: coordinator.endpoint, in: context)
        #expect(try worker.sendWhenConnected([1]))
        let isReceived = try TestSockets.eventually {
            wakeup.signal()
            return try coordinator.receive(timeout: TestSockets.timeout)?.bytes == [1]
        }
        #expect(isReceived)
    }

    @Test func socketThreadSendsMessagesOfAnotherThread() throws {
        let wakeup = try Wakeup()
        let context = try SocketContext()
        var coordinator = try TestSockets.coordinator(in: context)
        let endpoint = coordinator.endpoint
        let results = Mailbox<[UInt8]>()
        let isStopped = Mailbox<Bool>()
        Thread.detachNewThread {
            guard var worker = try? TestSockets.worker(to: endpoint, in: context, wakeup: wakeup) else { return }
            _ = try? worker.sendWhenConnected([0])
            while isStopped.take() == nil {
                if let result = results.take() { _ = try? worker.send(result) }
                _ = try? worker.receive(timeout: TestSockets.timeout)
            }
        }
        defer {
            isStopped.put(true)
            wakeup.signal()
        }
        #expect(try coordinator.receive(timeout: TestSockets.timeout)?.bytes == [0])
        for number in UInt8(1)..<20 {
            results.put([number])
            wakeup.signal()
            #expect(try coordinator.receive(timeout: TestSockets.timeout)?.bytes == [number])
        }
    }

    @Test func manySignalsDoNotBlock() throws {
        let wakeup = try Wakeup()
        for _ in 0..<100_000 { wakeup.signal() }
        #expect(wakeup.wait(timeout: .zero))
        #expect(!wakeup.wait(timeout: .zero))
    }

    @Test func waitWithoutASignalTimesOut() throws {
        let start = ContinuousClock.now
        #expect(try !Wakeup().wait(timeout: .milliseconds(30)))
        #expect(ContinuousClock.now - start >= .milliseconds(30))
    }
}
