import ClusterTesting
import Foundation
import TestSupport
import Testing

@testable import Transport

/// Authentication of connections.
@Suite struct SecurityTests {
    private let context: SocketContext
    private let coordinatorKeys: KeyPair
    private let workerKeys: KeyPair
    private let register: KeyRegister

    init() throws {
        context = try SocketContext()
        coordinatorKeys = try KeyPair.generate()
        workerKeys = try KeyPair.generate()
        register = try KeyRegister(nil)
        register.authorize(workerKeys.publicKey, as: "node-7")
    }

    private func coordinator(options: SocketOptions = TestSockets.options) throws -> CoordinatorSocket {
        try CoordinatorSocket(
            listeningOn: Endpoint("tcp://127.0.0.1:*"), in: context, options: options,
            security: .curve(coordinatorKeys, register), wakeup: Wakeup())
    }

    private func worker(
        to endpoint: Endpoint, _ security: WorkerSecurity, as id: PeerID = .random()
    ) throws -> WorkerSocket {
        try WorkerSocket(
            connectingTo: endpoint, as: id, in: SocketContext(), options: TestSockets.options, security: security,
            wakeup: Wakeup())
    }

    private func state(of worker: inout WorkerSocket, becomes expected: ConnectionState) -> Bool {
        let start = ContinuousClock.now
        while ContinuousClock.now - start < TestSockets.timeout {
            worker.processEvents()
            if worker.connectionState == expected { return true }
            usleep(5_000)
        }
        return false
    }

    @Test func messagesOfAnAuthorizedWorkerCarryItsKey() throws {
        var coordinator = try coordinator()
        let id = PeerID.random()
        var worker = try worker(
            to: coordinator.endpoint, .curve(workerKeys, coordinator: coordinatorKeys.publicKey), as: id)
        #expect(try worker.sendWhenConnected([1, 2]))
        let arrived = try #require(try coordinator.receive(timeout: TestSockets.timeout))
        #expect(arrived.peer.bytes == id.bytes && arrived.peer.key == workerKeys.publicKey && arrived.bytes == [1, 2])
        #expect(register.status(of: workerKeys.publicKey) == .authorized(name: "node-7"))
        let isSent = try coordinator.send([3], to: arrived.peer)
        #expect(isSent)
        #expect(try worker.receive(timeout: TestSockets.timeout) == [3])
        #expect(coordinator.takeRefusals().isEmpty)
    }

    @Test func unknownKeyIsRejectedAndCounted() throws {
        var coordinator = try coordinator()
        var unknown = try worker(
            to: coordinator.endpoint, .curve(KeyPair.generate(), coordinator: coordinatorKeys.publicKey))
        let isRefused = state(of: &unknown, becomes: .notAuthorized)
        #expect(isRefused && unknown.needsReplacement)
        #expect(coordinator.takeRefusals()[.unknownKey] == 1)
        let nothing = try coordinator.receive(timeout: .milliseconds(50))
        #expect(nothing == nil)
    }

    @Test func handshakeFailsWithoutKeyOrWithAnotherCoordinatorsKey() throws {
        var coordinator = try coordinator()
        var plain = try worker(to: coordinator.endpoint, .plaintext)
        #expect(state(of: &plain, becomes: .securityMismatch))
        var misdirected = try worker(
            to: coordinator.endpoint, .curve(workerKeys, coordinator: KeyPair.generate().publicKey))
        #expect(state(of: &misdirected, becomes: .handshakeFailed))
        var refusals: [TransportRefusal: Int] = [:]
        let isCounted = TestSockets.eventually {
            refusals.merge(coordinator.takeRefusals(), uniquingKeysWith: +)
            return (refusals[.handshake] ?? 0) >= 2
        }
        #expect(isCounted, "\(refusals)")
        let nothing = try coordinator.receive(timeout: .milliseconds(50))
        #expect(nothing == nil)
    }

    @Test func otherProtocolsAreCountedAsFailedHandshakes() throws {
        var coordinator = try coordinator()
        for opening: [UInt8] in [
            Array("GET / HTTP/1.1\r\n\r\n".utf8), [UInt8](repeating: 0xFF, count: 200),
            [0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0x7F, 1, 5, 0, 0],
        ] {
            try RawPeer(to: coordinator.endpoint).write(opening)
        }
        let plain = try UnrestrictedDealer(to: coordinator.endpoint)
        plain.send([[1]])
        let nothing = try coordinator.receive(timeout: .milliseconds(300))
        #expect(nothing == nil)
        let isCounted = TestSockets.eventually { (coordinator.takeRefusals()[.handshake] ?? 0) > 0 }
        #expect(isCounted)
        var worker = try worker(
            to: coordinator.endpoint, .curve(workerKeys, coordinator: coordinatorKeys.publicKey))
        #expect(try worker.sendWhenConnected([9]))
        #expect(try coordinator.receive(timeout: TestSockets.timeout)?.bytes == [9])
        worker.processEvents()
        #expect(worker.connectionState == .connected)
    }

    @Test func messagesOfARevokedKeyAreDropped() throws {
        let folder = try TemporaryFolder()
        let keys = try KeyFolder.create(folder.path + "/keys")
        try keys.authorize("node-8", key: workerKeys.publicKey)
        let listed = try KeyRegister(keys)
        let context = try SocketContext()
        var coordinator = try CoordinatorSocket(
            listeningOn: Endpoint("tcp://127.0.0.1:*"), in: context, options: TestSockets.options,
            security: .curve(coordinatorKeys, listed), wakeup: Wakeup())
        let worker = try worker(
            to: coordinator.endpoint, .curve(workerKeys, coordinator: coordinatorKeys.publicKey))
        #expect(try worker.sendWhenConnected([1]))
        #expect(try coordinator.receive(timeout: TestSockets.timeout)?.bytes == [1])
        try keys.revoke("node-8")
        #expect(try listed.refresh())
        #expect(try worker.send([2]))
        let nothing = try coordinator.receive(timeout: .milliseconds(300))
        #expect(nothing == nil)
        #expect(coordinator.takeRefusals()[.revokedKey] == 1)
        var again = try self.worker(
            to: coordinator.endpoint, .curve(workerKeys, coordinator: coordinatorKeys.publicKey))
        #expect(state(of: &again, becomes: .notAuthorized))
        try keys.authorize("node-8", key: nil)
        #expect(try listed.refresh())
        #expect(try worker.send([3]))
        #expect(try coordinator.receive(timeout: TestSockets.timeout)?.bytes == [3])
    }

    @Test func sameRoutingIdWithAnotherKeyIsAnotherPeer() throws {
        let other = try KeyPair.generate()
        register.authorize(other.publicKey, as: "node-9")
        var coordinator = try coordinator()
        let id = PeerID.random()
        for keys in [workerKeys, other] {
            let worker = try worker(
                to: coordinator.endpoint, .curve(keys, coordinator: coordinatorKeys.publicKey), as: id)
            #expect(try worker.sendWhenConnected([1]))
            let arrived = try #require(try coordinator.receive(timeout: TestSockets.timeout))
            #expect(arrived.peer == PeerID(bytes: id.bytes, key: keys.publicKey))
            #expect(arrived.peer != id)
        }
    }

    @Test func endpointProbeIdentifiesTheListener() throws {
        let coordinator = try coordinator()
        #expect(
            try EndpointProbe.probe(coordinator.endpoint, timeout: .seconds(5)) == .zeroMQ(mechanism: "CURVE"))
        let plain = try TestSockets.coordinator(in: SocketContext())
        #expect(try EndpointProbe.probe(plain.endpoint, timeout: .seconds(5)) == .zeroMQ(mechanism: "NULL"))
        let closed = try ClosedPort()
        #expect(try EndpointProbe.probe(closed.endpoint, timeout: .seconds(5)) == .refused)
        closed.release()
    }
}
