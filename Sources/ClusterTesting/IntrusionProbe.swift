import Foundation
import Messages
import Transport

/// Tries to join a coordinator without authorization and counts the attempts that succeed.
public struct IntrusionProbe {
    /// A way to attempt access.
    public enum Method: String, CaseIterable, Sendable {
        /// CURVE with a key that is not on the list.
        case unknownKey = "unknown key"
        /// CURVE with a revoked key.
        case revokedKey = "revoked key"
        /// ZeroMQ without encryption.
        case noKey = "no key"
        /// Greeting, handshake and registration of an unencrypted worker, sent at once without waiting for replies.
        case plainProtocol = "plain protocol"
        /// Random bytes.
        case noise = "noise"
    }

    private static let concurrentConnections = 50
    /// The coordinator's greeting, and an ERROR command.
    private static let replyLimit = RawPeer.greetingByteCount + 64

    private let coordinator: Endpoint
    private let revoked: WorkerKeyFile
    private let registration: [UInt8]

    /// Prepares a probe of one coordinator.
    ///
    /// - Parameters:
    ///   - coordinator: The coordinator's endpoint, on this machine.
    ///   - revoked: A key file whose key the coordinator has revoked.
    /// - Throws: `MessageError`.
    public init(coordinator: Endpoint, revoked: WorkerKeyFile) throws {
        self.coordinator = coordinator
        self.revoked = revoked
        var registration = Registration()
        registration.sessionID = Data(repeating: 1, count: Registration.sessionIDByteCount)
        registration.workerName = "intruder"
        self.registration = try WorkerMessage.encode(.registration(registration))
    }

    /// Attempts to join.
    ///
    /// - Parameters:
    ///   - method: The way to attempt it.
    ///   - count: The number of attempts.
    /// - Returns: The attempts that were not rejected: the handshake succeeded, or the reply exceeded a greeting and an
    ///   error.
    /// - Throws: `TransportError`.
    public func attempt(_ method: Method, count: Int) throws -> Int {
        var accepted = 0
        for start in stride(from: 0, to: count, by: Self.concurrentConnections) {
            let size = min(Self.concurrentConnections, count - start)
            switch method {
            case .unknownKey:
                accepted += try connect(size) { .curve(try KeyPair.generate(), coordinator: revoked.coordinator) }
            case .revokedKey:
                accepted += try connect(size) { .curve(revoked.keys, coordinator: revoked.coordinator) }
            case .noKey: accepted += try connect(size) { .plaintext }
            case .plainProtocol:
                let opening = RawPeer.unencryptedOpening(as: [7, 7]) + RawPeer.frame(registration)
                for _ in 0..<size where try replyByteCount(to: opening) > Self.replyLimit { accepted += 1 }
            case .noise:
                for _ in 0..<size where try replyByteCount(to: randomBytes) > Self.replyLimit { accepted += 1 }
            }
        }
        return accepted
    }

    /// Connects ZeroMQ sockets and counts those that are not rejected within five seconds.
    private func connect(_ count: Int, _ security: () throws -> WorkerSecurity) throws -> Int {
        final class Peer {
            var socket: WorkerSocket
            init(_ socket: consuming WorkerSocket) { self.socket = socket }
        }
        let context = try SocketContext()
        let wakeup = try Wakeup()
        var options = SocketOptions()
        options.linger = .zero
        var peers = try (0..<count).map { _ in
            Peer(
                try WorkerSocket(
                    connectingTo: coordinator, as: .random(), in: context, options: options, security: security(),
                    wakeup: wakeup))
        }
        var accepted = 0
        let deadline = ContinuousClock.now + .seconds(5)
        while !peers.isEmpty, ContinuousClock.now < deadline {
            for peer in peers {
                peer.socket.processEvents()
                if peer.socket.connectionState == .connected { _ = try peer.socket.send(registration) }
                if try peer.socket.receive(timeout: .zero) != nil { accepted += 1 }
            }
            accepted += peers.count { $0.socket.connectionState == .connected }
            peers.removeAll { $0.socket.needsReplacement || $0.socket.connectionState == .connected }
            if !peers.isEmpty { usleep(500) }
        }
        return accepted
    }

    /// Sends bytes over a new TCP connection and counts the bytes of the reply.
    private func replyByteCount(to bytes: [UInt8]) throws -> Int {
        let peer = try RawPeer(to: coordinator)
        peer.write(bytes)
        peer.finishWriting()
        return peer.receiveAll(silence: .milliseconds(200)).byteCount
    }

    private var randomBytes: [UInt8] { (0..<Int.random(in: 1...300)).map { _ in UInt8.random(in: 0...255) } }
}
