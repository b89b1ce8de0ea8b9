import Messages
import Transport

/// Finds out why a worker cannot join, or that it can.
public struct Doctor {
    /// What was found; every one is a line that says what to do.
    public enum Diagnosis: Equatable, Sendable, CustomStringConvertible {
        /// The coordinator answered.
        case healthy(runID: String, engineVersion: String, workers: Int, isEncrypted: Bool)
        /// Nobody listens on the port.
        case portClosed(Endpoint)
        /// The host does not answer.
        case unreachable(Endpoint, detail: String)
        /// Something else listens there.
        case notACoordinator(Endpoint, what: String)
        /// The coordinator expects a key.
        case keyNeeded
        /// The coordinator does not encrypt.
        case keyNotWanted
        /// The key file is for another coordinator.
        case otherCoordinator
        /// The coordinator does not know the key, or has revoked it.
        case notAuthorized(PublicKey)
        /// Another release, or a coordinator that wants no worker like this.
        case refused(String)

        /// One line.
        public var description: String {
            switch self {
            case .healthy(let run, let version, let workers, let isEncrypted):
                "ok: run \(run), coordinator \(version), \(workers) workers, "
                    + (isEncrypted ? "encrypted, this key is authorized" : "plain text")
            case .portClosed(let endpoint):
                "unreachable port: nobody listens at \(endpoint); start the coordinator, check the port, or its --bind"
            case .unreachable(let endpoint, let detail):
                "unreachable host: no connection to \(endpoint) (\(detail)); check the address and firewalls"
            case .notACoordinator(let endpoint, let what):
                "not an ECAD coordinator: \(what) answers at \(endpoint); check the port"
            case .keyNeeded:
                "key needed: the coordinator encrypts; give --key FILE (made by: ecad-coordinator keys new)"
            case .keyNotWanted:
                "key not wanted: the coordinator serves plain text; leave --key out, or give the coordinator its keys"
            case .otherCoordinator:
                "wrong key: the key file is for another coordinator; make one in this coordinator's key folder"
            case .notAuthorized(let key):
                "not authorized: the coordinator does not list the key \(key), or has revoked it"
            case .refused(let reason): "refused: \(reason)"
            }
        }

        /// True if a worker could join.
        public var isHealthy: Bool {
            if case .healthy = self { true } else { false }
        }
    }

    private let endpoint: Endpoint
    private let security: WorkerSecurity
    private let engineVersion: String
    private let timeout: Duration

    /// A doctor for one way to a coordinator.
    ///
    /// - Parameters:
    ///   - endpoint: Where the coordinator should be.
    ///   - security: The worker's key.
    ///   - engineVersion: The release of this program.
    ///   - timeout: The longest wait at each step.
    public init(
        endpoint: Endpoint, security: WorkerSecurity, engineVersion: String, timeout: Duration = .seconds(5)
    ) {
        self.endpoint = endpoint
        self.security = security
        self.engineVersion = engineVersion
        self.timeout = timeout
    }

    /// Tries to reach the coordinator, step by step.
    ///
    /// - Returns: The first thing that is wrong.
    /// - Throws: `TransportError` for an endpoint that is none or a host without an address.
    public func examine() throws -> Diagnosis {
        switch try GreetingProbe.examine(endpoint, timeout: timeout) {
        case .refused: return .portClosed(endpoint)
        case .unreachable(let detail): return .unreachable(endpoint, detail: detail)
        case .notZeroMQ: return .notACoordinator(endpoint, what: "a program that does not speak ZeroMQ")
        case .zeroMQ(let mechanism):
            switch (mechanism, security) {
            case ("CURVE", .plaintext): return .keyNeeded
            case ("NULL", .curve): return .keyNotWanted
            case ("CURVE", .curve), ("NULL", .plaintext): return try converse()
            default: return .notACoordinator(endpoint, what: "a ZeroMQ program with \(mechanism) security")
            }
        }
    }

    private func converse() throws -> Diagnosis {
        let context = try SocketContext()
        var options = SocketOptions()
        options.linger = .zero
        var socket = try WorkerSocket(
            connectingTo: endpoint, as: .random(), in: context, options: options, security: security, wakeup: Wakeup())
        let clock = ContinuousClock()
        let deadline = clock.now + timeout
        var probe = Probe()
        probe.engineVersion = engineVersion
        let question = try WorkerMessage.encode(.probe(probe))
        var isAsked = false
        while clock.now < deadline {
            socket.noteEvents()
            switch socket.link {
            case .notAuthorized:
                if case .curve(let keys, _) = security { return .notAuthorized(keys.publicKey) }
            case .handshakeFailed where security.isEncrypted: return .otherCoordinator
            case .connecting, .connected, .unreachable, .securityMismatch, .handshakeFailed: break
            }
            if !isAsked, try socket.waitForConnection(timeout: .milliseconds(50)) {
                isAsked = try socket.send(question)
            }
            guard isAsked, let bytes = try socket.receive(timeout: .milliseconds(100)) else { continue }
            switch try? CoordinatorMessage.decode(bytes) {
            case .probeReply(let reply):
                return .healthy(
                    runID: reply.runID, engineVersion: reply.engineVersion, workers: Int(reply.workers),
                    isEncrypted: security.isEncrypted)
            case .refusal(let refusal): return .refused(refusal.reason)
            default: return .notACoordinator(endpoint, what: "a ZeroMQ program with another protocol")
            }
        }
        guard isAsked else { return .unreachable(endpoint, detail: "the handshake does not end") }
        return .notACoordinator(endpoint, what: "a ZeroMQ program that does not answer")
    }
}
