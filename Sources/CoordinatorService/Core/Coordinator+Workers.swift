import Foundation
import History
import Messages
import Schedules
import Transport

// Who takes part: joining, leaving, being turned away.
extension Coordinator {
    func name(of worker: Int64) -> String { connections[worker]?.name ?? "a worker" }

    func register(_ registration: Registration, _ peer: PeerID) throws {
        // A key is its owner's name; without keys there is only the worker's word.
        var name = registration.workerName
        if let key = peer.key, case .authorized(let owner) = settings.register?.status(of: key) { name = owner }
        let own = served.embeddings == nil ? registration.modelHash : registration.imageModelHash
        guard own == served.modelHash else {
            let reason =
                "the worker's model has the fingerprint \(own.prefix(12)), the run's model "
                + "\(served.modelHash.prefix(12)): give it a copy of \(served.configuration.modelPath)"
            return turnAway(peer, .model, name, reason)
        }
        for (scorer, hash) in served.configuration.scorerFingerprints
        where !registration.scorerHashes.contains(hash) {
            let reason =
                "the worker lacks the run's model of the scorer \(scorer.rawValue), fingerprint \(hash.prefix(12)): "
                + "give it a copy of \(served.configuration.scorerPaths[scorer] ?? "it") by --scorer, or beside the "
                + "model"
            return turnAway(peer, .model, name, reason)
        }
        guard registration.engineVersion == settings.engineVersion else {
            let reason =
                "the worker is release \(registration.engineVersion.prefix(40)), the coordinator "
                + "\(settings.engineVersion): run the same release on both"
            return turnAway(peer, .engineVersion, name, reason)
        }
        let worker = try served.history.upsertWorker(
            WorkerDescription(
                name: name, host: registration.host, cpu: registration.cpu, blas: registration.blas,
                threads: max(1, Int(registration.threads)), engineVersion: registration.engineVersion))
        if let reason = try served.history.quarantineReason(of: worker) {
            return turnAway(peer, .quarantined, name, "its results are not taken any more: \(reason)")
        }
        if let old = connections[worker], old.peer != peer {
            let silence = now - (dispatcher.workers[worker]?.lastHeard ?? -.infinity)
            guard silence > 3 * settings.heartbeatSeconds else {
                // Either two processes share a name or key, or the old one has just died, which this finds out.
                ping(worker)
                return turnAway(
                    peer, .nameInUse, name, "a worker of this name or key is connected: each process needs its own",
                    retry: true)
            }
            workerOfPeer[old.peer] = nil
        }
        try end(dispatcher.leave(worker), outcome: .lost)
        connections[worker] = Connection(peer: peer, name: name, countedUntil: now)
        workerOfPeer[peer] = worker
        dispatcher.hear(from: worker, at: now)
        try served.history.recordEvent("joined", name, run: served.runID)
        var welcome = served.welcome
        if let count = served.costImageCount { welcome.costImageCount = UInt32(count) }
        welcome.heartbeatSeconds = settings.heartbeatSeconds
        send(.welcome(welcome), to: peer)
    }

    func answer(_ probe: Probe, _ peer: PeerID) {
        guard probe.engineVersion == settings.engineVersion else {
            return refuse(
                peer,
                "wrong version: the worker is release \(probe.engineVersion.prefix(40)), the coordinator "
                    + "\(settings.engineVersion): run the same release on both", retry: false)
        }
        var reply = ProbeReply()
        reply.runID = served.welcome.runID
        reply.engineVersion = settings.engineVersion
        reply.modelHash = served.modelHash
        reply.workers = UInt32(clamping: workerCount)
        send(.probeReply(reply), to: peer)
    }

    /// Turns a worker away, and counts it.
    func turnAway(_ peer: PeerID, _ kind: RefusalLog.Kind, _ name: String, _ reason: String, retry: Bool = false) {
        note(kind, "\(name): \(reason)")
        refuse(peer, reason, retry: retry)
    }

    func refuse(_ peer: PeerID, _ reason: String, retry: Bool) {
        var refusal = Refusal()
        refusal.reason = reason
        refusal.retry = retry
        send(.refusal(refusal), to: peer)
    }

    /// Counts a refusal; the log hears of each kind now and then.
    func note(_ kind: RefusalLog.Kind, _ text: String) {
        if refusals.count(kind.rawValue, at: now) { log("refused \(text)") }
    }

    /// Counts what the socket turned away.
    func note(_ counts: [TransportRefusal: Int]) {
        for (kind, count) in counts where refusals.count(kind.rawValue, count, at: now) {
            log("refused \(count) connections or messages: \(kind.rawValue)")
        }
    }

    /// Notes that a message could not be sent: the worker's connection is gone.
    ///
    /// - Throws: `HistoryError`.
    func lost(_ peer: PeerID) throws {
        guard let worker = workerOfPeer[peer] else { return }
        log("the connection of \(name(of: worker)) is gone")
        try forget(worker, dispatcher.leave(worker), outcome: .lost)
    }

    func forget(_ worker: Int64, _ leases: [Dispatcher.Lease], outcome: LeaseOutcome) throws {
        try end(leases, outcome: outcome)
        guard let connection = connections.removeValue(forKey: worker) else { return }
        workerOfPeer[connection.peer] = nil
        try served.history.addConnectedSeconds(now - connection.countedUntil, to: worker)
        try served.history.recordEvent("left", connection.name, run: served.runID)
    }

    func countConnectedTime() throws {
        for (worker, connection) in connections where now - connection.countedUntil > 10 {
            try served.history.addConnectedSeconds(now - connection.countedUntil, to: worker)
            connections[worker]?.countedUntil = now
        }
    }

    /// Reads the list of keys again if it has changed, and breaks with those who are not on it any more.
    func breakWithTheRevoked() throws {
        guard let register = settings.register else { return }
        do {
            guard try register.refresh() else { return }
        } catch {
            if refusals.count("unreadable-key-list", at: now) { log("\(error); nobody new is let in") }
            return
        }
        for (worker, connection) in connections {
            guard let key = connection.peer.key else { continue }
            if case .authorized = register.status(of: key) { continue }
            turnAway(connection.peer, .revokedKey, connection.name, "its key has been revoked")
            try forget(worker, dispatcher.leave(worker), outcome: .returned)
        }
    }
}
