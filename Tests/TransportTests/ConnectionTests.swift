import Testing
import Transport

@Suite struct ConnectionTests {
    private let context: SocketContext

    init() throws { context = try SocketContext() }

    @Test func messagesTravelBothWays() throws {
        var coordinator = try Line.coordinator(in: context)
        let id = PeerID.random()
        var worker = try Line.worker(to: coordinator.endpoint, as: id, in: context)
        #expect(try worker.sendWhenConnected([1, 2, 3]))
        let arrived = try #require(try coordinator.receive(timeout: Line.patience))
        #expect(arrived.peer == id)
        #expect(arrived.bytes == [1, 2, 3])
        let isSent = try coordinator.send([4], to: id)
        #expect(isSent)
        #expect(try worker.receive(timeout: Line.patience) == [4])
    }

    @Test func emptyAndLargeMessagesArriveWhole() throws {
        var coordinator = try Line.coordinator(in: context)
        let worker = try Line.worker(to: coordinator.endpoint, in: context)
        let large = (0..<(1 << 20)).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        for message in [[], large] {
            #expect(try worker.sendWhenConnected(message))
            #expect(try coordinator.receive(timeout: Line.patience)?.bytes == message)
        }
    }

    @Test func workersJoinAndLeaveAtAnyTime() throws {
        var coordinator = try Line.coordinator(in: context)
        var first = try Line.worker(to: coordinator.endpoint, as: PeerID(bytes: [1]), in: context)
        #expect(try first.sendWhenConnected([1]))
        #expect(try coordinator.receive(timeout: Line.patience)?.peer == PeerID(bytes: [1]))
        for round in UInt8(2)..<12 {
            let guest = try Line.worker(to: coordinator.endpoint, as: PeerID(bytes: [round]), in: context)
            #expect(try guest.sendWhenConnected([round]))
            #expect(try coordinator.receive(timeout: Line.patience)?.peer == PeerID(bytes: [round]))
        }
        for round in UInt8(2)..<12 {
            let isGone = try Line.eventually { try !coordinator.send([0], to: PeerID(bytes: [round])) }
            #expect(isGone)
        }
        let isSent = try coordinator.send([9], to: PeerID(bytes: [1]))
        #expect(isSent)
        #expect(try first.receive(timeout: Line.patience) == [9])
    }

    @Test func sendingToAPeerThatNeverWasIsFalse() throws {
        let coordinator = try Line.coordinator(in: context)
        let isSent = try coordinator.send([1], to: .random())
        #expect(!isSent)
    }

    @Test func aWorkerThatComesBackUnderItsIdTakesItOver() throws {
        var coordinator = try Line.coordinator(in: context)
        let id = PeerID.random()
        let old = try Line.worker(to: coordinator.endpoint, as: id, in: context)
        #expect(try old.sendWhenConnected([1]))
        #expect(try coordinator.receive(timeout: Line.patience)?.peer == id)
        var new = try Line.worker(to: coordinator.endpoint, as: id, in: context)
        #expect(try new.sendWhenConnected([2]))
        #expect(try coordinator.receive(timeout: Line.patience)?.bytes == [2])
        let isSent = try coordinator.send([3], to: id)
        #expect(isSent)
        #expect(try new.receive(timeout: Line.patience) == [3])
    }

    @Test func aWorkerWithoutACoordinatorKeepsItsMessage() throws {
        let port = try ClosedPort()
        let worker = try Line.worker(to: port.endpoint, in: context)
        let isSent = try worker.send([1])
        #expect(!isSent)
        #expect(try !worker.waitForConnection(timeout: .milliseconds(50)))
        port.release()
    }

    @Test func aWorkerFindsARestartedCoordinatorOnTheSamePort() throws {
        var coordinator = try Line.coordinator(in: context)
        let endpoint = coordinator.endpoint
        let id = PeerID.random()
        var worker = try Line.worker(to: endpoint, as: id, in: context)
        for round in UInt8(0)..<3 {
            // What was sent into a connection that had just died is lost, and so sent again.
            let isHeard = try Line.eventually {
                _ = try worker.send([round])
                return try coordinator.receive(timeout: .milliseconds(20))?.bytes == [round]
            }
            #expect(isHeard)
            let isSent = try coordinator.send([round], to: id)
            #expect(isSent)
            #expect(try Line.eventually { try worker.receive(timeout: .milliseconds(20)) == [round] })

            // A stand-in, so that the old one is closed and lets go of its port.
            coordinator = try Line.coordinator(in: context)
            let isFree = Line.eventually {
                guard let next = try? Line.coordinator(at: endpoint.description, in: context) else { return false }
                coordinator = next
                return true
            }
            #expect(isFree)
        }
    }

    @Test func manyWorkersAtOnceAreAllServed() throws {
        var coordinator = try Line.coordinator(in: context)
        let ids = (0..<40).map { _ in PeerID.random() }
        var heard: Set<PeerID> = []
        for id in ids {
            let worker = try Line.worker(to: coordinator.endpoint, as: id, in: context)
            #expect(try worker.sendWhenConnected(id.bytes))
            while let (peer, bytes) = try coordinator.receive(timeout: .zero) {
                #expect(bytes == peer.bytes)
                heard.insert(peer)
            }
        }
        while heard.count < ids.count, let (peer, _) = try coordinator.receive(timeout: Line.patience) {
            heard.insert(peer)
        }
        #expect(heard == Set(ids))
    }

    @Test func waitingForNothingEndsInTime() throws {
        var coordinator = try Line.coordinator(in: context)
        let start = ContinuousClock.now
        let nothing = try coordinator.receive(timeout: .milliseconds(50))
        #expect(nothing == nil)
        let waited = ContinuousClock.now - start
        #expect(waited >= .milliseconds(50) && waited < .seconds(2))
    }
}
