import Foundation
import History
import Messages
import Schedules
import Transport

/// Serves a run to its workers: one loop on one thread, which takes a message, answers it, and looks at the time.
///
/// Who holds which task is decided by ``Dispatcher``, what a result means by ``Calibration``; here they meet the
/// socket.
final class Coordinator {
    /// Seconds after which a silent worker is given up.
    static let silenceLimit = 20.0
    /// Seconds between the heartbeats of a worker.
    static let heartbeatSeconds = 2.0

    /// A worker as the socket knows it.
    private struct Connection {
        let peer: PeerID
        let name: String
        var countedUntil: Double
    }

    private let calibration: Calibration
    private var socket: CoordinatorSocket
    private var dispatcher: Dispatcher
    private var connections: [Int64: Connection] = [:]
    private var workerOfPeer: [PeerID: Int64] = [:]
    private var epochs: [Int64: Int] = [:]
    private var rendering: Rendering?
    private let log: (String) -> Void
    private let start = ContinuousClock.now

    /// Images received since the start, for the progress line.
    private(set) var imageCount = 0

    /// A coordinator that listens, with the calibration's open tasks in its queue.
    init(calibration: Calibration, socket: consuming CoordinatorSocket, log: @escaping (String) -> Void) {
        self.calibration = calibration
        self.socket = socket
        self.log = log
        dispatcher = Dispatcher(silenceLimit: Self.silenceLimit)
        dispatcher.add(calibration.tasks.keys.sorted())
    }

    /// Seconds since the start of this coordinator.
    var now: Double { (ContinuousClock.now - start) / .seconds(1) }

    /// Workers that take part at present.
    var workerCount: Int { dispatcher.workerCount }

    /// Where workers connect to.
    var endpoint: Endpoint { socket.endpoint }

    // MARK: - One turn of the loop

    /// Waits for messages for up to a fifth of a second, answers all that are there, gives up the silent, gives out
    /// tasks.
    ///
    /// - Throws: `HistoryError`, `TransportError`, ``CoordinatorError``: what a worker says never makes it throw.
    func turn() throws {
        var wait = Duration.milliseconds(200)
        // A bound on the messages of one turn, so that a flood does not keep the rest from happening.
        for _ in 0..<256 {
            guard let (peer, bytes) = try socket.receive(timeout: wait) else { break }
            try handle(bytes, from: peer)
            wait = .zero
        }
        for (worker, tasks) in dispatcher.expire(at: now) {
            log(
                "\(connections[worker]?.name ?? "a worker") has been silent for \(Int(Self.silenceLimit)) s and is given up"
            )
            try forget(worker, tasks, outcome: .lost)
        }
        try countConnectedTime()
        try giveOutTasks()
    }

    private func handle(_ bytes: [UInt8], from peer: PeerID) throws {
        let body: WorkerMessage.Body
        do {
            body = try WorkerMessage.decode(bytes)
        } catch {
            log("refused a peer: \(error)")
            return try refuse(peer, "\(error)", retry: false)
        }
        if case .registration(let registration) = body { return try register(registration, peer) }
        guard let worker = workerOfPeer[peer] else {
            return try refuse(peer, "this coordinator does not know the worker: register again", retry: true)
        }
        dispatcher.hear(from: worker, at: now)
        switch body {
        case .registration, .heartbeat: break
        case .taskRequest:
            try returned(dispatcher.free(worker, at: now), outcome: .returned)
        case .costReport(let report): try take(report, from: worker, peer)
        case .taskResult(let result): try take(result, from: worker, peer)
        case .taskFailure(let failure): try note(failure, from: worker, peer)
        case .blobRequest(let request):
            try send(.blobChunk(calibration.embeddings?.chunk(request) ?? .none(request)), to: peer)
        case .goodbye(let goodbye):
            log("\(connections[worker]?.name ?? "a worker") has left: \(goodbye.reason)")
            try forget(worker, dispatcher.leave(worker), outcome: .returned)
        }
    }

    // MARK: - Workers

    private func register(_ registration: Registration, _ peer: PeerID) throws {
        let own = calibration.embeddings == nil ? registration.modelHash : registration.imageModelHash
        guard own == calibration.modelHash else {
            let reason =
                "the worker's model has the fingerprint \(own.prefix(12)), the run's model "
                + "\(calibration.modelHash.prefix(12)): give it a copy of \(calibration.configuration.modelPath)"
            log("refused \(registration.workerName): \(reason)")
            try calibration.history.recordEvent(
                "refusal", "\(registration.workerName): \(reason)", run: calibration.runID)
            return try refuse(peer, reason, retry: false)
        }
        let worker = try calibration.history.upsertWorker(
            WorkerDescription(
                name: registration.workerName, host: registration.host, cpu: registration.cpu, blas: registration.blas,
                threads: max(1, Int(registration.threads)), engineVersion: registration.engineVersion))
        if let old = connections[worker], old.peer != peer {
            // The same name from another process: the one before it has died, or two share a name.
            workerOfPeer[old.peer] = nil
        }
        try returned(dispatcher.leave(worker), outcome: .lost)
        connections[worker] = Connection(peer: peer, name: registration.workerName, countedUntil: now)
        workerOfPeer[peer] = worker
        dispatcher.hear(from: worker, at: now)
        try calibration.history.recordEvent("joined", registration.workerName, run: calibration.runID)
        var welcome = calibration.welcome
        if let count = calibration.costImageCount { welcome.costImageCount = UInt32(count) }
        welcome.heartbeatSeconds = Self.heartbeatSeconds
        try send(.welcome(welcome), to: peer)
    }

    private func refuse(_ peer: PeerID, _ reason: String, retry: Bool) throws {
        var refusal = Refusal()
        refusal.reason = reason
        refusal.retry = retry
        try send(.refusal(refusal), to: peer)
    }

    private func forget(_ worker: Int64, _ tasks: [Int64], outcome: LeaseOutcome) throws {
        try returned(tasks, outcome: outcome)
        guard let connection = connections.removeValue(forKey: worker) else { return }
        workerOfPeer[connection.peer] = nil
        try calibration.history.addConnectedSeconds(now - connection.countedUntil, to: worker)
        try calibration.history.recordEvent("left", connection.name, run: calibration.runID)
    }

    private func countConnectedTime() throws {
        for (worker, connection) in connections where now - connection.countedUntil > 10 {
            try calibration.history.addConnectedSeconds(now - connection.countedUntil, to: worker)
            connections[worker]?.countedUntil = now
        }
    }

    // MARK: - Tasks

    private func giveOutTasks() throws {
        repeat { try leaseTasks() } while try breedTasks()
    }

    /// Has new schedules bred for workers that would have nothing to do.
    private func breedTasks() throws -> Bool {
        guard dispatcher.isHungry else { return false }
        let before = Set(calibration.tasks.keys)
        guard try calibration.breedMore() else { return false }
        dispatcher.add(Set(calibration.tasks.keys).subtracting(before).sorted())
        return true
    }

    private func leaseTasks() throws {
        while let (task, worker) = dispatcher.lease() {
            guard let peer = connections[worker]?.peer else { continue }
            let assignment: Assignment
            if let rendering, rendering.taskID == task {
                assignment = rendering.assignment
            } else if let record = calibration.tasks[task] {
                let key = try calibration.history.recordLease(
                    of: task, to: worker, expiresAt: RunHistory.now() + Self.silenceLimit)
                epochs[task] = key.epoch
                assignment = try calibration.assignment(of: record, epoch: key.epoch, leaseSeconds: Self.silenceLimit)
            } else {
                dispatcher.finish(task)
                continue
            }
            // A worker that cannot be reached falls silent and loses the task then.
            try send(.assignment(assignment), to: peer)
        }
    }

    private func returned(_ tasks: [Int64], outcome: LeaseOutcome) throws {
        for task in tasks {
            guard let epoch = epochs[task] else { continue }
            _ = try calibration.history.endLease(LeaseKey(taskID: task, epoch: epoch), outcome: outcome)
        }
    }

    private func take(_ report: CostReport, from worker: Int64, _ peer: PeerID) throws {
        let before = Set(calibration.tasks.keys)
        do {
            try calibration.take(report, from: worker)
        } catch let error as SchedulesError {
            log("\(connections[worker]?.name ?? "a worker"): \(error)")
            try refuse(peer, "\(error)", retry: false)
            return try forget(worker, dispatcher.leave(worker), outcome: .lost)
        }
        dispatcher.add(Set(calibration.tasks.keys).subtracting(before).sorted())
    }

    private func take(_ result: Messages.TaskResult, from worker: Int64, _ peer: PeerID) throws {
        if let rendering, rendering.taskID == result.taskID {
            try rendering.store(result, in: calibration)
            dispatcher.finish(result.taskID)
            self.rendering = nil
            return try acknowledge(result.taskID, result.leaseEpoch, accepted: true, peer)
        }
        let before = Set(calibration.tasks.keys)
        do {
            let outcome = try calibration.commit(result, from: worker)
            if outcome == .committed { imageCount += result.images.count }
            dispatcher.finish(result.taskID)
            epochs[result.taskID] = nil
            try acknowledge(result.taskID, result.leaseEpoch, accepted: outcome == .committed, peer)
        } catch let problem as ResultProblem {
            log("\(connections[worker]?.name ?? "a worker"): \(problem)")
            try failed(result.taskID, worker, reason: problem.description)
            try acknowledge(result.taskID, result.leaseEpoch, accepted: false, peer)
        }
        dispatcher.add(Set(calibration.tasks.keys).subtracting(before).sorted())
    }

    private func note(_ failure: TaskFailure, from worker: Int64, _ peer: PeerID) throws {
        log("\(connections[worker]?.name ?? "a worker"), task \(failure.taskID): \(failure.reason)")
        let before = Set(calibration.tasks.keys)
        try failed(failure.taskID, worker, reason: failure.reason)
        dispatcher.add(Set(calibration.tasks.keys).subtracting(before).sorted())
        try acknowledge(failure.taskID, failure.leaseEpoch, accepted: true, peer)
    }

    private func failed(_ task: Int64, _ worker: Int64, reason: String) throws {
        if let rendering, rendering.taskID == task {
            dispatcher.finish(task)
            self.rendering = nil
            return
        }
        guard dispatcher.worker(of: task) == worker, calibration.tasks[task] != nil, let epoch = epochs[task] else {
            return
        }
        let standing = try calibration.history.endLease(LeaseKey(taskID: task, epoch: epoch), outcome: .failed)
        if standing.failures >= Calibration.failureLimit {
            dispatcher.finish(task)
            try calibration.giveUp(task, reason: reason)
        } else {
            dispatcher.retry(task, from: worker)
        }
    }

    private func acknowledge(_ task: Int64, _ epoch: Int64, accepted: Bool, _ peer: PeerID) throws {
        var acknowledgement = Acknowledgement()
        acknowledgement.taskID = task
        acknowledgement.leaseEpoch = epoch
        acknowledgement.accepted = accepted
        try send(.acknowledgement(acknowledgement), to: peer)
    }

    private func send(_ body: CoordinatorMessage.Body, to peer: PeerID) throws {
        // False means that the peer is gone or does not read: it will be given up when it stays silent.
        _ = try socket.send(try CoordinatorMessage.encode(body), to: peer)
    }

    // MARK: - The end

    /// Asks for the images of the sheet; ``isRendering`` turns false when they are in the history.
    func render(_ rendering: Rendering) {
        self.rendering = rendering
        dispatcher.add([rendering.taskID])
    }

    /// True while the images of the sheet are being made.
    var isRendering: Bool { rendering != nil }

    /// Tells every worker that the run is over.
    func finish(_ reason: String) throws {
        for worker in connections.keys.sorted() {
            guard let connection = connections[worker] else { continue }
            var finish = Finish()
            finish.reason = reason
            try send(.finish(finish), to: connection.peer)
            try calibration.history.addConnectedSeconds(now - connection.countedUntil, to: worker)
        }
        connections = [:]
    }
}
