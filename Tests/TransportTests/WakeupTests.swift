import Foundation
import Testing
import Transport

@Suite struct WakeupTests {
    @Test func aWaitingSocketWakesWithinMilliseconds() throws {
        let wakeup = try Wakeup()
        var coordinator = try Line.coordinator(in: SocketContext(), wakeup: wakeup)
        var delays: [Duration] = []
        for _ in 0..<20 {
            let signalled = Mailbox<ContinuousClock.Instant>()
            Thread.detachNewThread {
                usleep(5_000)
                signalled.put(.now)
                wakeup.signal()
            }
            let nothing = try coordinator.receive(timeout: Line.patience)
            #expect(nothing == nil)
            delays.append(.now - (try #require(signalled.take())))
        }
        // The median, because a busy machine may hold up a thread for longer now and then.
        #expect(delays.sorted()[10] < .milliseconds(20))
    }

    @Test func aSignalBeforeTheWaitEndsIt() throws {
        let wakeup = try Wakeup()
        let context = try SocketContext()
        let coordinator = try Line.coordinator(in: context)
        var worker = try Line.worker(to: coordinator.endpoint, in: context, wakeup: wakeup)
        wakeup.signal()
        wakeup.signal()
        let start = ContinuousClock.now
        #expect(try worker.receive(timeout: Line.patience) == nil)
        #expect(ContinuousClock.now - start < .seconds(5))
        // Both signals are used up.
        #expect(!wakeup.wait(timeout: .zero))
    }

    @Test func aSignalDoesNotHideAMessage() throws {
        let wakeup = try Wakeup()
        let context = try SocketContext()
        var coordinator = try Line.coordinator(in: context, wakeup: wakeup)
        let worker = try Line.worker(to: coordinator.endpoint, in: context)
        #expect(try worker.sendWhenConnected([1]))
        let isHeard = try Line.eventually {
            wakeup.signal()
            return try coordinator.receive(timeout: Line.patience)?.bytes == [1]
        }
        #expect(isHeard)
    }

    @Test func anotherThreadsResultIsSentByTheSocketsThread() throws {
        let wakeup = try Wakeup()
        let context = try SocketContext()
        var coordinator = try Line.coordinator(in: context)
        let endpoint = coordinator.endpoint
        let results = Mailbox<[UInt8]>()
        let isStopped = Mailbox<Bool>()
        Thread.detachNewThread {
            guard var worker = try? Line.worker(to: endpoint, in: context, wakeup: wakeup) else { return }
            _ = try? worker.sendWhenConnected([0])
            while isStopped.take() == nil {
                if let result = results.take() { _ = try? worker.send(result) }
                _ = try? worker.receive(timeout: Line.patience)
            }
        }
        defer {
            isStopped.put(true)
            wakeup.signal()
        }
        #expect(try coordinator.receive(timeout: Line.patience)?.bytes == [0])
        for number in UInt8(1)..<20 {
            results.put([number])
            wakeup.signal()
            #expect(try coordinator.receive(timeout: .seconds(5))?.bytes == [number])
        }
    }

    @Test func moreSignalsThanAPipeHoldsDoNotBlock() throws {
        let wakeup = try Wakeup()
        for _ in 0..<100_000 { wakeup.signal() }
        #expect(wakeup.wait(timeout: .zero))
        #expect(!wakeup.wait(timeout: .zero))
    }

    @Test func waitingWithoutASignalEndsInTime() throws {
        let start = ContinuousClock.now
        #expect(try !Wakeup().wait(timeout: .milliseconds(30)))
        #expect(ContinuousClock.now - start >= .milliseconds(30))
    }
}
