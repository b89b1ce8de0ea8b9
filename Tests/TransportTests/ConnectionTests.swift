import Testing
import Transport

@Suite struct ConnectionTests {
    private let context: SocketContext

    init() throws { context = try SocketContext() }

    @Test func messagesArriveInBothDirections() throws {
        var coordinator = try TestSockets.coordinator(in: context)
        let id = PeerID.random()
        var worker = try TestSockets.worker(to: coordinator.endpoint, as: id, in: context)
        #expect(try worker.sendWhenConnected([1, 2, 3]))
        let arrived = try #require(try coordinator.receive(timeout: TestSockets.timeout))
        #expect(arrived.peer == id)
        #expect(arrived.bytes == [1, 2, 3])
        let isSent = try coordinator.send([4], to: id)
        #expect(isSent)
        #expect(try worker.receive(timeout: TestSockets.timeout) == [4])
    }

    @Test func emptyAndLargeMessagesArriveUnchanged() throws {
        var coordinator = try TestSockets.coordinator(in: context)
        let worker = try TestSockets.worker(to: coordinator.endpoint, in: context)
        let large = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        for message in [[], large] {
            #expect(try worker.sendWhenConnected(message))
            #expect(try coordinator.receive(timeout: TestSockets.timeout)?.bytes == message)
        }
    }

    @Test func workersJoinAndLeaveAtAnyTime() throws {
        var coordinator = try TestSockets.coordinator(in: context)
        var first = try TestSockets.worker(to: coordinator.endpoint, as: PeerID(bytes: [1]), in: context)
        #expect(try first.sendWhenConnected([1]))
        #expect(try coordinator.receive(timeout: TestSockets.timeout)?.peer == PeerID(bytes: [1]))
        for round in UInt8(2)..<12 {
            let worker = try TestSockets.worker(to: coordinator.endpoint, as: PeerID(bytes: [round]), in: context)
            #expect(try worker.sendWhenConnected([round]))
            #expect(try coordinator.receive(timeout: TestSockets.timeout)?.peer == PeerID(bytes: [round]))
        }
        for round in UInt8(2)..<12 {
            let isGone = try TestSockets.eventually { try !coordinator.send([0], to: PeerID(bytes: [round])) }
            #expect(isGone)
        }
        let isSent = try coordinator.send([9], to: PeerID(bytes: [1]))
        #expect(isSent)
        #expect(try first.receive(timeout: TestSockets.timeout) == [9])
    }

    @Test func sendToUnknownPeerReturnsFalse() throws {
        let coordinator = try TestSockets.coordinator(in: context)
        let isSent = try coordinator.send([1], to: .random())
        #expect(!isSent)
    }

    @Test func newConnectionWithTheSameIdReplacesTheOldOne() throws {
        var coordinator = try TestSockets.coordinator(in: context)
        let id = PeerID.random()
        let old = try TestSockets.worker(to: coordinator.endpoint, as: id, in: context)
        #expect(try old.sendWhenConnected([1]))
        #expect(try coordinator.receive(timeout: TestSockets.timeout)?.peer == id)
        var new = try TestSockets.worker(to: coordinator.endpoint, as: id, in: context)
        #expect(try new.sendWhenConnected([2]))
        #expect(try coordinator.receive(timeout: TestSockets.timeout)?.bytes == [2])
        let isSent = try coordinator.send([3], to: id)
        #expect(isSent)
        #expect(try new.receive(timeout: TestSockets.timeout) == [3])
    }

    @Test func sendWithoutCoordinatorReturnsFalse() throws {
        let port = try ClosedPort()
        let worker = try TestSockets.worker(to: port.endpoint, in: context)
        let isSent = try worker.send([1])
        #expect(!isSent)
        #expect(try !worker.waitForConnection(timeout: .milliseconds(50)))
        port.release()
    }

    @Test func workerReconnectsToARestartedCoordinator() throws {
        var coordinator = try TestSockets.coordinator(in: context)
        let endpoint = coordinator.endpoint
        let id = PeerID.random()
        var worker = try TestSockets.worker(to: endpoint, as: id, in: context)
        for round in UInt8(0)..<3 {
            // A message sent into a connection that has just closed is lost, so it is repeated.
            let isReceived = try TestSockets.eventually {
                _ = try worker.send([round])
                return try coordinator.receive(timeout: .milliseconds(20))?.bytes == [round]
            }
            #expect(isReceived)
            let isSent = try coordinator.send([round], to: id)
            #expect(isSent)
            #expect(try TestSockets.eventually { try worker.receive(timeout: .milliseconds(20)) == [round] })

            // Bind another port first, so that the old socket is closed and releases its port.
            coordinator = try TestSockets.coordinator(in: context)
            let isFree = TestSockets.eventually {
                guard let next = try? TestSockets.coordinator(at: endpoint.description, in: context) else {
                    return false
                }
                coordinator = next
                return true
            }
            #expect(isFree)
        }
    }

    @Test func messagesOfManyWorkersAllArrive() throws {
        var coordinator = try TestSockets.coordinator(in: context)
        let ids = (0..<40).map { _ in PeerID.random() }
        var received: Set<PeerID> = []
        for id in ids {
            let worker = try TestSockets.worker(to: coordinator.endpoint, as: id, in: context)
            #expect(try worker.sendWhenConnected(id.bytes))
            while let (peer, bytes) = try coordinator.receive(timeout: .zero) {
                #expect(bytes == peer.bytes)
                received.insert(peer)
            }
        }
        while received.count < ids.count, let (peer, _) = try coordinator.receive(timeout: TestSockets.timeout) {
            received.insert(peer)
        }
        #expect(received == Set(ids))
    }

    @Test func receiveWaitsForItsTimeout() throws {
        var coordinator = try TestSockets.coordinator(in: context)
        let start = ContinuousClock.now
        let nothing = try coordinator.receive(timeout: .milliseconds(50))
        #expect(nothing == nil)
        let waited = ContinuousClock.now - start
        #expect(waited >= .milliseconds(50) && waited < TestSockets.timeout)
    }
}
