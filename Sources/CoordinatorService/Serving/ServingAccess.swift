import Foundation
import Transport

/// How a coordinator's port is protected: by keys, by being reachable from this machine alone, or on request not at all.
struct ServingAccess {
    let security: CoordinatorSecurity
    /// Who may join; nil without keys.
    let register: KeyRegister?
    /// For the log.
    let summary: String
    private let keyFolder: String?

    /// Chooses the protection.
    ///
    /// - Throws: ``CoordinatorError/keys(_:)`` when others could reach the port and there are no keys; `TransportError`
    ///   for keys that cannot be used.
    init(options: RunService.Options, folder: String) throws {
        let path = options.keyFolder ?? "\(folder)/keys"
        let hasKeys = options.keyFolder != nil || FileManager.default.fileExists(atPath: path)
        guard hasKeys, !options.isPlaintext else {
            guard options.isPlaintext || options.bind.isLoopback else {
                throw CoordinatorError.noAuthorizedWorkers(
                    "\(options.bind) can be reached by others, and \(path) holds no keys: make one for each worker with "
                        + "ecad-coordinator keys new NAME --run-dir \(folder), or serve a network that you trust with "
                        + "--insecure-plaintext")
            }
            self.init(
                security: .plaintext, register: nil,
                summary: options.bind.isLoopback
                    ? "plain text, for this machine alone" : "PLAIN TEXT: whoever reaches the port is served",
                keyFolder: nil)
            return
        }
        let keys = try KeyFolder.open(path)
        let register = try KeyRegister(keys)
        let count = try keys.entries().count { !$0.isRevoked }
        self.init(
            security: .curve(try keys.coordinatorKeys(), register), register: register,
            summary: "encrypted, \(count) workers authorized in \(path)", keyFolder: path)
    }

    private init(security: CoordinatorSecurity, register: KeyRegister?, summary: String, keyFolder: String?) {
        self.security = security
        self.register = register
        self.summary = summary
        self.keyFolder = keyFolder
    }

    /// What workers elsewhere need besides the endpoint.
    var workerOption: String { register == nil ? "" : "--key FILE " }

    /// Lets a worker on this machine in, with a key that is made anew each time and on no list.
    func localArguments(for name: String) throws -> [String] {
        guard case .curve(let coordinator, let register) = security, let keyFolder else { return [] }
        let file = WorkerKeyFile(name: name, keys: try KeyPair.generate(), coordinator: coordinator.publicKey)
        let path = "\(keyFolder)/\(name).key"
        try file.write(to: path, replacing: true)
        register.admit(file.keys.publicKey, as: name)
        return ["--key", path]
    }

    /// Makes sure that the socket lets no stranger in, before anybody is told of it.
    ///
    /// libzmq has let everybody in where its authentication was set up wrongly (libzmq issue 2711).
    func refuseStrangers(at endpoint: Endpoint) throws {
        guard case .curve(let coordinator, _) = security else { return }
        let context = try SocketContext()
        var options = SocketOptions()
        options.linger = .zero
        var stranger = try WorkerSocket(
            connectingTo: endpoint.fromThisMachine, as: .random(), in: context, options: options,
            security: .curve(try KeyPair.generate(), coordinator: coordinator.publicKey), wakeup: Wakeup())
        let deadline = ContinuousClock.now + .seconds(3)
        while ContinuousClock.now < deadline, stranger.link != .notAuthorized {
            if try stranger.waitForConnection(timeout: .milliseconds(20)) || stranger.link == .connected {
                throw TransportError.strangerAdmitted(endpoint: endpoint.description)
            }
            stranger.noteEvents()
        }
    }
}
