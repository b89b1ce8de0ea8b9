import Foundation
import Testing
import Transport

/// Whatever one peer does, the others are served as before.
@Suite struct HostilePeerTests {
    private let context: SocketContext

    init() throws { context = try SocketContext() }

    @Test func aPeerThatFallsSilentIsDroppedAndBlocksNothing() throws {
        var options = Line.options
        options.heartbeatInterval = .milliseconds(200)
        options.heartbeatTimeout = .milliseconds(800)
        var coordinator = try Line.coordinator(in: context, options: options)
        let silent = try RawPeer(to: coordinator.endpoint)
        silent.introduce(as: [7, 7], saying: [42])
        let arrived = try #require(try coordinator.receive(timeout: Line.patience))
        #expect(arrived.peer == PeerID(bytes: [7, 7]) && arrived.bytes == [42])
        // It is connected, so this is sent, though it never reads or answers again.
        let isSent = try coordinator.send([1], to: arrived.peer)
        #expect(isSent)
        let isGone = try Line.eventually { try !coordinator.send([2], to: arrived.peer) }
        #expect(isGone)
        try expectService(&coordinator)
        silent.hangUp()
    }

    @Test func aPeerThatDoesNotReadIsGivenUpNotWaitedFor() throws {
        var coordinator = try Line.coordinator(in: context)
        let deaf = try RawPeer(to: coordinator.endpoint)
        deaf.introduce(as: [8, 8], saying: [42])
        let peer = try #require(try coordinator.receive(timeout: Line.patience)).peer
        let start = ContinuousClock.now
        let message = [UInt8](repeating: 0, count: 1 << 20)
        var sent = 0
        while sent < 1_000, try coordinator.send(message, to: peer) { sent += 1 }
        // The queue, and what the two ends' buffers hold.
        #expect(sent >= Line.options.queueLength && sent < 1_000)
        #expect(ContinuousClock.now - start < .seconds(5))
        try expectService(&coordinator)
        deaf.hangUp()
    }

    @Test func closingDoesNotWaitForAPeerThatDoesNotRead() throws {
        let opened = Mailbox<Endpoint>()
        let closed = Mailbox<Bool>()
        Thread.detachNewThread {
            do {
                // A context of its own: the end of the last socket in it waits for what is still to be sent.
                var coordinator = try Line.coordinator(in: SocketContext())
                opened.put(coordinator.endpoint)
                guard let (peer, _) = try coordinator.receive(timeout: Line.patience) else { return }
                while try coordinator.send([UInt8](repeating: 0, count: 1 << 20), to: peer) {}
            } catch {
                return
            }
            closed.put(true)
        }
        var endpoint: Endpoint?
        #expect(
            Line.eventually {
                endpoint = opened.take()
                return endpoint != nil
            })
        let deaf = try RawPeer(to: try #require(endpoint))
        deaf.introduce(as: [8, 8], saying: [42])
        #expect(Line.eventually { closed.take() == true })
        deaf.hangUp()
    }

    @Test func bytesThatAreNotZeroMQDisturbNobody() throws {
        var coordinator = try Line.coordinator(in: context)
        var generator = SystemRandomNumberGenerator()
        let openings: [[UInt8]] = [
            [], Array("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8), [UInt8](repeating: 0xFF, count: 100),
            [UInt8](repeating: 0, count: 1_000), [0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0x7F, 3],
        ]
        let noise = (0..<20).map { _ in (0..<200).map { _ in UInt8.random(in: 0...255, using: &generator) } }
        for opening in openings + noise {
            try RawPeer(to: coordinator.endpoint).write(opening)
        }
        try expectService(&coordinator)
    }

    @Test func aPeerThatNeverShakesHandsIsHungUpOn() throws {
        var options = Line.options
        options.handshakeTimeout = .milliseconds(200)
        let coordinator = try Line.coordinator(in: context, options: options)
        let peer = try RawPeer(to: coordinator.endpoint)
        let isClosed = peer.isClosedByPeer()
        #expect(isClosed)
    }

    @Test func messagesOfAnotherShapeAreCountedAndDropped() throws {
        var coordinator = try Line.coordinator(in: context)
        let rude = try RudeWorker(to: coordinator.endpoint)
        rude.send([[], [1]])
        rude.send([[1], [2], [3], [4]])
        rude.send([[5]])
        let arrived = try #require(try coordinator.receive(timeout: Line.patience))
        #expect(arrived.bytes == [5])
        #expect(coordinator.misshapenMessageCount == 2)
        try expectService(&coordinator)
    }

    @Test func anOversizeMessageIsNotReceived() throws {
        var coordinator = try Line.coordinator(in: context)
        let rude = try RudeWorker(to: coordinator.endpoint)
        rude.send([[UInt8](repeating: 1, count: (1 << 20) + 1)])
        // The peer is cut off, and may connect again and behave.
        var sizes: [Int] = []
        let isHeard = try Line.eventually {
            rude.send([[6]])
            while let (_, bytes) = try coordinator.receive(timeout: .milliseconds(20)) { sizes.append(bytes.count) }
            return !sizes.isEmpty
        }
        #expect(isHeard)
        #expect(sizes.allSatisfy { $0 == 1 })
        try expectService(&coordinator)
    }

    @Test func anOversizeMessageIsNotSent() throws {
        let coordinator = try Line.coordinator(in: context)
        let worker = try Line.worker(to: coordinator.endpoint, in: context)
        let message = [UInt8](repeating: 1, count: (1 << 20) + 1)
        let expected = TransportError.messageTooLarge(bytes: message.count, limit: 1 << 20)
        do {
            _ = try worker.send(message)
            Issue.record("an oversize message was sent")
        } catch {
            #expect(error == expected)
        }
        do {
            _ = try coordinator.send(message, to: .random())
            Issue.record("an oversize message was sent")
        } catch {
            #expect(error == expected)
        }
    }

    /// A well-behaved worker joins, is heard and is answered.
    private func expectService(
        _ coordinator: inout CoordinatorSocket, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let id = PeerID.random()
        var worker = try Line.worker(to: coordinator.endpoint, as: id, in: context)
        let isConnected = try worker.sendWhenConnected([1])
        // Noise that happens to have the form of ZMTP 1.0 does arrive as a message.
        var heard = try coordinator.receive(timeout: Line.patience)
        while let other = heard, other.peer != id { heard = try coordinator.receive(timeout: Line.patience) }
        let isAnswered = try coordinator.send([2], to: id)
        let answer = try worker.receive(timeout: Line.patience)
        #expect(isConnected && heard?.peer == id && isAnswered && answer == [2], sourceLocation: sourceLocation)
    }
}
