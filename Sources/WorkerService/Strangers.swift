import Foundation
import Messages
import Transport

/// Plays peers that must not be let in against a coordinator with keys, and finds out whether one was.
public struct Strangers {
    /// Ways to try.
    public enum Kind: String, CaseIterable, Sendable {
        /// A key that is on no list.
        case unknownKey = "unknown key"
        /// A key that was taken off the list.
        case revokedKey = "revoked key"
        /// ZeroMQ without encryption.
        case noKey = "no key"
        /// The greeting, handshake and registration of an unencrypted worker, at once and whatever is answered.
        case plainProtocol = "plain protocol"
        /// Random bytes.
        case noise = "noise"
    }

    /// Connections that are open at once.
    private static let batch = 50
    /// The coordinator's own greeting, and room for the command that says no.
    private static let answerLimit = 64 + 64

    private let coordinator: Endpoint
    private let revoked: WorkerKeyFile
    private let registration: [UInt8]

    /// Strangers to one coordinator.
    ///
    /// - Parameters:
    ///   - coordinator: Where it listens.
    ///   - revoked: A key of its that was revoked.
    /// - Throws: `MessageError`.
    public init(coordinator: Endpoint, revoked: WorkerKeyFile) throws {
        self.coordinator = coordinator
        self.revoked = revoked
        var registration = Registration()
        registration.sessionID = Data(repeating: 1, count: Registration.sessionIDByteCount)
        registration.workerName = "stranger"
        self.registration = try WorkerMessage.encode(.registration(registration))
    }

    /// Tries to get in.
    ///
    /// - Parameters:
    ///   - kind: By which way.
    ///   - count: How often.
    /// - Returns: How often it worked: a connection was taken, or more was answered than a greeting.
    /// - Throws: `TransportError`.
    public func tryToEnter(_ kind: Kind, count: Int) throws -> Int {
        var admitted = 0
        for start in stride(from: 0, to: count, by: Self.batch) {
            let size = min(Self.batch, count - start)
            switch kind {
            case .unknownKey:
                admitted += try connect(size) { .curve(try KeyPair.generate(), coordinator: revoked.coordinator) }
            case .revokedKey:
                admitted += try connect(size) { .curve(revoked.keys, coordinator: revoked.coordinator) }
            case .noKey: admitted += try connect(size) { .plaintext }
            case .plainProtocol: for _ in 0..<size where try write(plainOpening) > Self.answerLimit { admitted += 1 }
            case .noise: for _ in 0..<size where try write(noise) > Self.answerLimit { admitted += 1 }
            }
        }
        return admitted
    }

    /// Opens sockets that speak ZeroMQ, and waits until each was turned away.
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
        var admitted = 0
        let deadline = ContinuousClock.now + .seconds(5)
        while !peers.isEmpty, ContinuousClock.now < deadline {
            for peer in peers {
                peer.socket.noteEvents()
                if peer.socket.link == .connected { _ = try peer.socket.send(registration) }
                if try peer.socket.receive(timeout: .zero) != nil { admitted += 1 }
            }
            admitted += peers.count { $0.socket.link == .connected }
            peers.removeAll { $0.socket.needsReplacement || $0.socket.link == .connected }
            if !peers.isEmpty { usleep(500) }
        }
        return admitted
    }

    /// Writes bytes to a connection of its own, and counts what is answered until the coordinator hangs up.
    private func write(_ bytes: [UInt8]) throws -> Int {
        let connection = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard connection >= 0 else {
            throw TransportError.system(call: "socket", detail: String(cString: strerror(errno)))
        }
        defer { close(connection) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = coordinator.port.bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(connection, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else {
            throw TransportError.system(call: "connect", detail: String(cString: strerror(errno)))
        }
        var patience = timeval(tv_sec: 0, tv_usec: 200_000)
        setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        shutdown(connection, Int32(SHUT_WR))
        var buffer = [UInt8](repeating: 0, count: 4_096)
        var count = 0
        while case let received = recv(connection, &buffer, buffer.count, 0), received > 0 { count += received }
        return count
    }

    /// ZMTP 3.0 as an unencrypted DEALER speaks it (https://rfc.zeromq.org/spec/23), and a registration.
    private var plainOpening: [UInt8] {
        func property(_ name: String, _ value: [UInt8]) -> [UInt8] {
            [UInt8(name.utf8.count)] + Array(name.utf8) + [0, 0, 0, UInt8(value.count)] + value
        }
        let greeting: [UInt8] =
            [0xFF] + [UInt8](repeating: 0, count: 8) + [0x7F, 3, 0] + Array("NULL".utf8)
            + [UInt8](repeating: 0, count: 48)
        let ready =
            [5] + Array("READY".utf8) + property("Socket-Type", Array("DEALER".utf8)) + property("Identity", [7, 7])
        return greeting + [0x04, UInt8(ready.count)] + ready + [0x00, UInt8(registration.count)] + registration
    }

    private var noise: [UInt8] { (0..<Int.random(in: 1...300)).map { _ in UInt8.random(in: 0...255) } }
}
