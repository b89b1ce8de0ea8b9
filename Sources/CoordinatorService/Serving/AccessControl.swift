import Basics
import Foundation
import Transport

/// Who may connect to a coordinator's port: workers with an authorized key, processes of this machine, or, on request,
/// anyone.
struct AccessControl {
    let security: CoordinatorSecurity
    /// The authorized keys; nil without authentication.
    let register: KeyRegister?
    /// A summary for the log.
    let summary: String
    private let keyFolder: String?

    /// Chooses the protection.
    ///
    /// - Parameters:
    ///   - options: How the run is distributed.
    ///   - endpoint: The numeric endpoint to listen on.
    ///   - folder: The run directory.
    /// - Throws: ``CoordinatorError/noAuthorizedWorkers(_:)`` if other machines can reach the port and there are no
    ///   keys; `TransportError` for unusable keys.
    init(options: RunService.Options, endpoint: Endpoint, folder: String) throws {
        let path = options.keyFolder ?? "\(folder)/keys"
        let hasKeys = options.keyFolder != nil || FileManager.default.fileExists(atPath: path)
        guard hasKeys, !options.isPlaintext else {
            guard options.isPlaintext || endpoint.isLoopback else {
                throw CoordinatorError.noAuthorizedWorkers(
                    "\(endpoint) is reachable from other machines, and \(path) holds no keys: create one for each "
                        + "worker with ecad-coordinator keys new NAME --run-dir \(folder), or trust the network with "
                        + "--insecure-plaintext")
            }
            self.init(
                security: .plaintext, register: nil,
                summary: endpoint.isLoopback
                    ? "plain text, this machine only"
                        + (options.isPlaintext ? " (--insecure-plaintext has no effect: there are no keys here)" : "")
                    : "PLAIN TEXT: any machine that reaches the port can join",
                keyFolder: nil)
            return
        }
        let keys = try KeyFolder.open(path)
        let register = try KeyRegister(keys)
        let count = try keys.entries().count { !$0.isRevoked }
        self.init(
            security: .curve(try keys.coordinatorKeys(), register), register: register,
            summary: "encrypted, \(count.counted("worker")) authorized in \(path)", keyFolder: path)
    }

    private init(security: CoordinatorSecurity, register: KeyRegister?, summary: String, keyFolder: String?) {
        self.security = security
        self.register = register
        self.summary = summary
        self.keyFolder = keyFolder
    }

    /// The option that a worker needs to connect to an endpoint, with a trailing space; empty if it needs none.
    func workerOption(for endpoint: Endpoint) -> String {
        if register != nil { return "--key FILE " }
        return endpoint.isLoopback ? "" : "--insecure-plaintext "
    }

    /// Creates a key for a worker on this machine and admits it; the key is valid for this coordinator's lifetime.
    ///
    /// `keys new` rejects the names of local workers, so the file is not another worker's.
    ///
    /// - Returns: The options that the worker's command line needs.
    func localArguments(for name: String) throws -> [String] {
        guard case .curve(let coordinator, let register) = security, let keyFolder else {
            return ["--insecure-plaintext"]
        }
        let file = WorkerKeyFile(name: name, keys: try KeyPair.generate(), coordinator: coordinator.publicKey)
        let path = "\(keyFolder)/\(name).key"
        try file.write(to: path, replacing: true)
        register.authorize(file.keys.publicKey, as: name)
        return ["--key", path]
    }

    /// Connects with an unknown key and requires that it is rejected, before workers are told of the port.
    ///
    /// libzmq accepts everyone if its authentication was set up wrongly (libzmq issue 2711).
    func verifyUnknownKeysAreRejected(at endpoint: Endpoint) throws {
        guard case .curve(let coordinator, _) = security else { return }
        let context = try SocketContext()
        var options = SocketOptions()
        options.linger = .zero
        var probe = try WorkerSocket(
            connectingTo: endpoint.fromThisMachine, as: .random(), in: context, options: options,
            security: .curve(try KeyPair.generate(), coordinator: coordinator.publicKey), wakeup: Wakeup())
        let deadline = ContinuousClock.now + .seconds(3)
        while ContinuousClock.now < deadline, probe.connectionState != .notAuthorized {
            if try probe.waitForConnection(timeout: .milliseconds(20)) || probe.connectionState == .connected {
                throw TransportError.unknownKeyAccepted(endpoint: endpoint.description)
            }
            probe.processEvents()
        }
    }
}
