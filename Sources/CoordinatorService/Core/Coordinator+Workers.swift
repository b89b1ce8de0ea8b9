import Basics
import Foundation
import History
import Messages
import Transport

// Which workers take part: registration, departure, revocation.
extension Coordinator {
    func name(of worker: Int64) -> String { connections[worker]?.name ?? "worker \(worker)" }

    func register(_ registration: Registration, from peer: PeerID) throws {
        // A key identifies a worker; without keys it is known by the name that it states.
        var name = registration.workerName
        if let key = peer.key, case .authorized(let owner) = settings.register?.status(of: key) { name = owner }
        if let (kind, reason) = mismatch(registration) { return reject(peer, kind, name, reason) }
        let worker = try run.history.workers.upsert(
            WorkerDescription(
                name: name, host: registration.host, cpu: registration.cpu, blas: registration.blas,
                threads: max(1, Int(registration.threads)), engineVersion: registration.engineVersion,
                engine: run.context.configuration.arithmetic.engine.rawValue,
                deviceClass: registration.deviceClass.isEmpty ? nil : registration.deviceClass))
        if let reason = try run.history.workers.quarantineReason(of: worker) {
            return reject(peer, .quarantined, name, "the worker is quarantined: \(reason)")
        }
        if let old = connections[worker], old.peer != peer {
            if let reason = sharedIdentity(of: worker, with: peer) {
                // Either two processes share a name or key, or the old one has just died; a ping tells.
                ping(worker)
                return reject(peer, .nameInUse, "\(name) on \(registration.host)", reason, retry: true)
            }
            workerOfPeer[old.peer] = nil
        }
        try handle(.left(worker, .lost))
        connections[worker] = Connection(peer: peer, name: name, host: registration.host, accountedUntil: now)
        workerOfPeer[peer] = worker
        try handle(.joined(worker))
        try run.history.events.record("joined", name, run: run.context.runID)
        try compareDeviceClass(of: worker, name)
        var welcome = run.context.welcome
        welcome.heartbeatSeconds = settings.heartbeatSeconds
        send(.welcome(welcome), to: peer)
    }

    /// Why a peer cannot be a worker: another process with its name or key is connected and not silent; nil if none is.
    private func sharedIdentity(of worker: Int64, with peer: PeerID) -> String? {
        guard let connection = connections[worker], connection.peer != peer, !connection.isLost,
            now - (scheduler.lastHeard(worker) ?? -.infinity) <= 3 * settings.heartbeatSeconds
        else { return nil }
        let (identity, remedy) =
            peer.key == nil ? ("name", "start it with another --name") : ("key", "create another one with keys new")
        return "the \(identity) \(connection.name) is in use by a worker on \(connection.host), and every worker needs "
            + "its own: \(remedy), or stop the other worker"
    }

    /// Warns of a worker whose latencies are not those of the run's other workers: it is of another device class.
    private func compareDeviceClass(of worker: Int64, _ name: String) throws {
        guard run.context.configuration.cost != .macs,
            let difference = try run.history.workers.otherDeviceClass(than: worker, in: run.context.runID)
        else { return }
        let objective = run.context.configuration.cost == .measured ? "are compared with" : "are modelled for"
        let text = "it is a \(difference.own); latencies of this run \(objective) those of a \(difference.other)"
        try run.history.events.record("device-class", "\(name): \(text)", run: run.context.runID)
        log(worker, text)
    }

    /// Why a worker's engine or precision is not the run's; nil if it is.
    private func arithmeticMismatch(engine: String, precisions: [String], cpu: String?) -> String? {
        let arithmetic = run.context.configuration.arithmetic
        let name = engine.isEmpty ? Engine.native.rawValue : engine
        guard name == arithmetic.engine.rawValue else {
            return
                "the worker's engine is \(name.prefix(40)), the run's model.engine is \(arithmetic.engine), and their "
                + "results are not the same numbers: join with \(arithmetic.engine.workerCommand), or start a run with "
                + "model.engine = \"\(Engine(rawValue: name) ?? .native)\""
        }
        let offered = precisions.isEmpty ? [Precision.float32.rawValue] : precisions
        guard !offered.contains(arithmetic.precision.rawValue) else { return nil }
        switch arithmetic.engine {
        case .native:
            return "the run's model.precision is \(arithmetic.precision), which the worker's processor "
                + (cpu.map { "(\($0.prefix(40))) " } ?? "")
                + "lacks: start workers on processors with AVX512_BF16, or a run in float32"
        case .torch:
            return "the run's model.precision is \(arithmetic.precision), the worker computes in "
                + "\(offered.joined(separator: ", ").prefix(100)): start it with --dtype \(arithmetic.precision)"
        }
    }

    /// How a worker's engine, model, scorers, precision or release differ from the run's; nil if they match.
    private func mismatch(_ registration: Registration) -> (RefusalLog.Reason, String)? {
        let (context, configuration) = (run.context, run.context.configuration)
        if let reason = arithmeticMismatch(
            engine: registration.engine, precisions: registration.precisions, cpu: registration.cpu)
        {
            return (.engine, reason)
        }
        let hash = context.embeddings == nil ? registration.modelHash : registration.imageModelHash
        guard !hash.isEmpty else {
            return (
                .model,
                "the worker cannot use the text encoders of its model (see its log), and the run has no "
                    + "prompts.embeddings: give it a copy of \(configuration.modelPath)"
            )
        }
        guard hash == context.modelHash else {
            return (
                .model,
                "the worker's model has the fingerprint \(hash.prefix(12)), the run's model "
                    + "\(context.modelHash.prefix(12)): give it a copy of \(configuration.modelPath)"
            )
        }
        for (scorer, hash) in configuration.scorerFingerprints where !registration.scorerHashes.contains(hash) {
            return (
                .model,
                "the worker lacks the run's model of the scorer \(scorer.rawValue), fingerprint \(hash.prefix(12)): "
                    + "give it a copy of \(configuration.scorerPaths[scorer] ?? "it") with --scorer, or beside the model"
            )
        }
        return versionMismatch(registration.engineVersion).map { (.engineVersion, $0) }
    }

    private func versionMismatch(_ version: String) -> String? {
        guard version != settings.engineVersion else { return nil }
        return "the worker is release \(version.prefix(40)), the coordinator \(settings.engineVersion): run the same "
            + "release on both"
    }

    func answer(_ probe: Probe, from peer: PeerID) throws {
        if let mismatch = versionMismatch(probe.engineVersion) {
            return refuse(peer, "wrong version: \(mismatch)", retry: false)
        }
        if let reason = arithmeticMismatch(engine: probe.engine, precisions: probe.precisions, cpu: nil) {
            return refuse(peer, reason, retry: false)
        }
        // Without a key, a probe does not tell which worker it is for.
        if let key = peer.key, case .authorized(let name) = settings.register?.status(of: key) {
            if let worker = connections.first(where: { $0.value.name == name })?.key,
                let reason = sharedIdentity(of: worker, with: peer)
            {
                return refuse(peer, reason, retry: true)
            }
            if let reason = try run.history.workers.quarantineReason(ofName: name) {
                return refuse(peer, "the worker is quarantined: \(reason)", retry: false)
            }
        }
        var reply = ProbeReply()
        reply.runID = run.context.welcome.runID
        reply.engineVersion = settings.engineVersion
        reply.modelHash = run.context.modelHash
        reply.workers = UInt32(clamping: workerCount)
        reply.engine = run.context.configuration.arithmetic.engine.rawValue
        reply.precision = run.context.configuration.arithmetic.precision.rawValue
        send(.probeReply(reply), to: peer)
    }

    /// Sends a worker a message without consequences: if the connection is gone, sending fails.
    func ping(_ worker: Int64) {
        var wait = Wait()
        wait.retrySeconds = 5
        send(.wait(wait), to: worker)
    }

    /// Ends a worker's leases and forgets its connection.
    func disconnect(_ worker: Int64, _ outcome: LeaseOutcome) throws {
        try handle(.left(worker, outcome))
        try forgetConnection(of: worker)
    }

    func forgetConnection(of worker: Int64) throws {
        guard let connection = connections.removeValue(forKey: worker) else { return }
        workerOfPeer[connection.peer] = nil
        try run.history.workers.addConnectedSeconds(now - connection.accountedUntil, to: worker)
        try run.history.events.record("left", connection.name, run: run.context.runID)
    }

    func recordConnectedTime() throws {
        for (worker, connection) in connections where now - connection.accountedUntil > 10 {
            try run.history.workers.addConnectedSeconds(now - connection.accountedUntil, to: worker)
            connections[worker]?.accountedUntil = now
        }
    }

    /// Reloads the list of authorized keys if it has changed, and disconnects workers whose keys were revoked.
    func disconnectRevokedWorkers() throws {
        guard let register = settings.register else { return }
        do {
            guard try register.refresh() else { return }
        } catch {
            return countRefusal(.unreadableKeyList, "all new connections: \(error)")
        }
        for (worker, connection) in connections.sorted(by: { $0.key < $1.key }) {
            guard let key = connection.peer.key else { continue }
            if case .authorized = register.status(of: key) { continue }
            reject(connection.peer, .revokedKey, connection.name, "its key has been revoked")
            try disconnect(worker, .returned)
        }
    }
}

/// Counts refused peers and messages by reason, so that neither the history nor the log grows with their number.
struct RefusalLog {
    /// The reasons that the history counts.
    enum Reason: String {
        case malformedMessage = "malformed-message"
        case protocolVersion = "protocol-version"
        case engineVersion = "engine-version"
        case engine
        case model
        case canary
        case costTable = "cost-table"
        case quarantined
        case nameInUse = "name-in-use"
        case revokedKey = "revoked-key"
        case unknownLease = "unknown-lease"
        case unreadableKeyList = "unreadable-key-list"
    }

    /// Seconds between two log lines for one reason.
    private static let logInterval = 10.0

    private var counts: [String: Int] = [:]
    private var loggedAt: [String: Double] = [:]

    /// Counts refusals.
    ///
    /// - Returns: Whether to log a line: the last one for this reason is long enough ago.
    mutating func count(_ reason: String, _ number: Int = 1, at now: Double) -> Bool {
        counts[reason, default: 0] += number
        guard now - (loggedAt[reason] ?? -.infinity) >= Self.logInterval else { return false }
        loggedAt[reason] = now
        return true
    }

    /// Removes and returns the numbers since the last call.
    mutating func takeCounts() -> [String: Int] {
        defer { counts = [:] }
        return counts
    }
}
