import Basics
import Messages
import Tensors
import Transport

/// Diagnoses the connection of a worker to a coordinator.
public struct Doctor {
    /// The result; its description is one line with the stage that failed, the cause and the remedy.
    public enum Diagnosis: Equatable, Sendable, CustomStringConvertible {
        /// The coordinator replied.
        case healthy(runID: String, arithmetic: String, engineVersion: String, workers: Int, isEncrypted: Bool)
        /// The name of the host has no address.
        case unresolved(Endpoint, detail: String)
        /// No program listens on the port.
        case portClosed(Endpoint)
        /// The host cannot be reached.
        case unreachable(Endpoint, detail: String)
        /// The handshake does not end.
        case handshakeTimedOut(Endpoint)
        /// Another program listens there.
        case notACoordinator(Endpoint, program: String)
        /// The coordinator requires a key.
        case keyRequired
        /// The coordinator does not use encryption.
        case keyNotExpected
        /// The key file belongs to another coordinator.
        case wrongKey
        /// The key is not on the coordinator's list, or has been revoked.
        case notAuthorized(PublicKey)
        /// The coordinator refused the probe: another release, a quarantined worker, or a key in use.
        case refused(String)

        /// One line.
        public var description: String {
            switch self {
            case .healthy(let run, let arithmetic, let version, let workers, let isEncrypted):
                "ok: run \(run) (\(arithmetic)), coordinator \(version), \(workers) workers, "
                    + (isEncrypted ? "encrypted, key authorized" : "unencrypted")
            case .unresolved(let endpoint, let detail):
                "resolve: the name \(endpoint.host) cannot be resolved (\(detail)); check the name, or use an IP address"
            case .portClosed(let endpoint):
                "connect: unreachable port: nothing listens at \(endpoint); start the coordinator, or check the port and "
                    + "--bind"
            case .unreachable(let endpoint, let detail):
                "connect: unreachable host: no connection to \(endpoint) (\(detail)); check the address and firewalls"
            case .handshakeTimedOut(let endpoint):
                "handshake: no answer from \(endpoint) in time; the coordinator is stopped or overloaded"
            case .notACoordinator(let endpoint, let program):
                "handshake: not an ECAD coordinator: \(endpoint) is \(program); check the port"
            case .keyRequired:
                "handshake: key required: the coordinator uses encryption; pass --key FILE, created by: "
                    + "ecad-coordinator keys new"
            case .keyNotExpected:
                "handshake: key not expected: the coordinator does not use encryption; omit --key, or start it with keys"
            case .wrongKey:
                "handshake: wrong key: the key file belongs to another coordinator; create one with this coordinator's "
                    + "keys"
            case .notAuthorized(let key):
                "handshake: not authorized: key \(key) is not on the coordinator's list, or has been revoked"
            case .refused(let reason): "registration: refused: \(reason)"
            }
        }

        /// Whether a worker can join.
        public var isHealthy: Bool {
            if case .healthy = self { true } else { false }
        }
    }

    private let endpoint: Endpoint
    private let security: WorkerSecurity
    private let engineVersion: String
    private let timeout: Duration

    /// Prepares a diagnosis.
    ///
    /// - Parameters:
    ///   - endpoint: The coordinator's endpoint.
    ///   - security: The worker's key.
    ///   - engineVersion: The release of this program.
    ///   - timeout: Time limit of the TCP probe, and of the conversation.
    public init(
        endpoint: Endpoint, security: WorkerSecurity, engineVersion: String, timeout: Duration = .seconds(5)
    ) {
        self.endpoint = endpoint
        self.security = security
        self.engineVersion = engineVersion
        self.timeout = timeout
    }

    /// Probes the endpoint, then the coordinator.
    ///
    /// - Returns: The first problem found.
    /// - Throws: `TransportError` for a wildcard endpoint.
    public func diagnose() throws -> Diagnosis {
        let outcome: EndpointProbe.Outcome
        do {
            outcome = try EndpointProbe.probe(endpoint, timeout: timeout)
        } catch TransportError.hostNotFound(_, _, let detail) {
            return .unresolved(endpoint, detail: detail)
        }
        switch outcome {
        case .refused: return .portClosed(endpoint)
        case .unreachable(let detail): return .unreachable(endpoint, detail: detail)
        case .notZeroMQ: return .notACoordinator(endpoint, program: "a program that does not speak ZeroMQ")
        case .zeroMQ(let mechanism):
            switch (mechanism, security) {
            case ("CURVE", .plaintext): return .keyRequired
            case ("NULL", .curve): return .keyNotExpected
            case ("CURVE", .curve), ("NULL", .plaintext): return try probeCoordinator()
            default: return .notACoordinator(endpoint, program: "a ZeroMQ program with \(mechanism) security")
            }
        }
    }

    private func probeCoordinator() throws -> Diagnosis {
        let context = try SocketContext()
        var options = SocketOptions()
        options.linger = .zero
        var socket = try WorkerSocket(
            connectingTo: endpoint, as: .random(), in: context, options: options, security: security, wakeup: Wakeup())
        let clock = ContinuousClock()
        let deadline = clock.now + timeout
        var probe = Probe()
        probe.engineVersion = engineVersion
        probe.engine = Engine.native.rawValue
        probe.precisions = Precision.supported
        let request = try WorkerMessage.encode(.probe(probe))
        var isSent = false
        var attempt = 0
        while clock.now < deadline {
            socket.processEvents()
            if socket.needsReplacement, case .unreachable = socket.connectionState {
                attempt += 1
                socket = try WorkerSocket(
                    connectingTo: endpoint, as: .random(), in: context, options: options, security: security,
                    attempt: attempt, wakeup: Wakeup())
            }
            switch socket.connectionState {
            case .notAuthorized:
                if case .curve(let keys, _) = security { return .notAuthorized(keys.publicKey) }
            case .handshakeFailed where security.isEncrypted: return .wrongKey
            case .connecting, .connected, .unreachable, .unresolved, .securityMismatch, .handshakeFailed: break
            }
            if !isSent, try socket.waitForConnection(timeout: .milliseconds(50)) {
                isSent = try socket.send(request)
            }
            guard isSent, let bytes = try socket.receive(timeout: .milliseconds(100)) else { continue }
            switch try? CoordinatorMessage.decode(bytes) {
            case .probeReply(let reply):
                return .healthy(
                    runID: reply.runID, arithmetic: "\(reply.engine), \(reply.precision)",
                    engineVersion: reply.engineVersion, workers: Int(reply.workers),
                    isEncrypted: security.isEncrypted)
            case .refusal(let refusal): return .refused(refusal.reason)
            default: return .notACoordinator(endpoint, program: "a ZeroMQ program with another protocol")
            }
        }
        guard isSent else { return .handshakeTimedOut(endpoint) }
        return .notACoordinator(endpoint, program: "a ZeroMQ program that does not reply")
    }
}
