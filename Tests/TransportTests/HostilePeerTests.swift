import ClusterTesting
import Foundation
import Testing
import Transport

/// No misbehaving peer disturbs the service of the others.
@Suite struct HostilePeerTests {
    private let context: SocketContext

    init() throws { context = try SocketContext() }

    @Test func silentPeerIsDisconnected() throws {
        var options = TestSockets.options
        options.heartbeatInterval = .milliseconds(200)
        options.heartbeatTimeout = .milliseconds(800)
        var coordinator = try TestSockets.coordinator(in: context, options: options)
        let silent = try RawPeer(to: coordinator.endpoint)
        silent.connectUnencrypted(as: [7, 7], sending: [42])
        let arrived = try #require(try coordinator.receive(timeout: TestSockets.timeout))
        #expect(arrived.peer == PeerID(bytes: [7, 7]) && arrived.bytes == [42])
        // The peer is connected, so this is sent, although it never reads or replies again.
        let isSent = try coordinator.send([1], to: arrived.peer)
        #expect(isSent)
        let isGone = try TestSockets.eventually { try !coordinator.send([2], to: arrived.peer) }
        #expect(isGone)
        try expectService(&coordinator)
        silent.disconnect()
    }

    @Test func sendToAPeerThatDoesNotReadFailsWithoutBlocking() throws {
        var coordinator = try TestSockets.coordinator(in: context)
        let unread = try RawPeer(to: coordinator.endpoint)
        unread.connectUnencrypted(as: [8, 8], sending: [42])
        let peer = try #require(try coordinator.receive(timeout: TestSockets.timeout)).peer
        let message = [UInt8](repeating: 0, count: 1 << 20)
        var sent = 0
        while sent < 1_000, try coordinator.send(message, to: peer) { sent += 1 }
        // The capacity of the queue and of the buffers of both ends. A blocking send would never return.
        #expect(sent >= TestSockets.options.queueLength && sent < 1_000)
        try expectService(&coordinator)
        unread.disconnect()
    }

    @Test func closingDoesNotBlockOnAPeerThatDoesNotRead() throws {
        let opened = Mailbox<Endpoint>()
        let closed = Mailbox<Bool>()
        Thread.detachNewThread {
            do {
                // A separate context: closing its last socket waits for unsent messages.
                var coordinator = try TestSockets.coordinator(in: SocketContext())
                opened.put(coordinator.endpoint)
                guard let (peer, _) = try coordinator.receive(timeout: TestSockets.timeout) else { return }
                while try coordinator.send([UInt8](repeating: 0, count: 1 << 20), to: peer) {}
            } catch {
                return
            }
            closed.put(true)
        }
        var endpoint: Endpoint?
        #expect(
            TestSockets.eventually {
                endpoint = opened.take()
                return endpoint != nil
            })
        let unread = try RawPeer(to: try #require(endpoint))
        unread.connectUnencrypted(as: [8, 8], sending: [42])
        #expect(TestSockets.eventually { closed.take() == true })
        unread.disconnect()
    }

    @Test func bytesOfOtherProtocolsAreIgnored() throws {
        var coordinator = try TestSockets.coordinator(in: context)
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

    @Test func peerWithoutHandshakeIsDisconnected() throws {
        var options = TestSockets.options
        options.handshakeTimeout = .milliseconds(200)
        let coordinator = try TestSockets.coordinator(in: context, options: options)
        let peer = try RawPeer(to: coordinator.endpoint)
        let isClosed = peer.receiveAll(silence: TestSockets.timeout).isClosed
        #expect(isClosed)
    }

    @Test func malformedMessagesAreCountedAndDropped() throws {
        var coordinator = try TestSockets.coordinator(in: context)
        let dealer = try UnrestrictedDealer(to: coordinator.endpoint)
        dealer.send([[], [1]])
        dealer.send([[1], [2], [3], [4]])
        dealer.send([[5]])
        let arrived = try #require(try coordinator.receive(timeout: TestSockets.timeout))
        #expect(arrived.bytes == [5])
        #expect(coordinator.malformedMessageCount == 2)
        try expectService(&coordinator)
    }

    @Test func oversizedMessageIsNotReceived() throws {
        var coordinator = try TestSockets.coordinator(in: context)
        let dealer = try UnrestrictedDealer(to: coordinator.endpoint)
        dealer.send([[UInt8](repeating: 1, count: (1 << 20) + 1)])
        // The peer is disconnected, and may reconnect and send valid messages.
        var sizes: [Int] = []
        let isReceived = try TestSockets.eventually {
            dealer.send([[6]])
            while let (_, bytes) = try coordinator.receive(timeout: .milliseconds(20)) { sizes.append(bytes.count) }
            return !sizes.isEmpty
        }
        #expect(isReceived)
        #expect(sizes.allSatisfy { $0 == 1 })
        try expectService(&coordinator)
    }

    @Test func oversizedMessageIsNotSent() throws {
        let coordinator = try TestSockets.coordinator(in: context)
        let worker = try TestSockets.worker(to: coordinator.endpoint, in: context)
        let message = [UInt8](repeating: 1, count: (1 << 20) + 1)
        let expected = TransportError.messageTooLarge(bytes: message.count, limit: 1 << 20)
        do {
            _ = try worker.send(message)
            Issue.record("an oversized message was sent")
        } catch {
            #expect(error == expected)
        }
        do {
            _ = try coordinator.send(message, to: .random())
            Issue.record("an oversized message was sent")
        } catch {
            #expect(error == expected)
        }
    }

    /// Expects that a message of a new worker arrives and can be answered.
    private func expectService(
        _ coordinator: inout CoordinatorSocket, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let id = PeerID.random()
        var worker = try TestSockets.worker(to: coordinator.endpoint, as: id, in: context)
        let isConnected = try worker.sendWhenConnected([1])
        // Random bytes that happen to be valid ZMTP 1.0 arrive as a message.
        var received = try coordinator.receive(timeout: TestSockets.timeout)
        while let other = received, other.peer != id {
            received = try coordinator.receive(timeout: TestSockets.timeout)
        }
        let isAnswered = try coordinator.send([2], to: id)
        let answer = try worker.receive(timeout: TestSockets.timeout)
        #expect(isConnected && received?.peer == id && isAnswered && answer == [2], sourceLocation: sourceLocation)
    }
}
