import Basics
import Foundation
import History
import Logging
import Messages
import Schedules
import Transport

/// The coordinator's protocol logic without sockets: given an incoming message and the current time, it produces
/// outgoing messages.
///
/// ``Scheduler`` decides what happens to work items, ``DistributedRun`` what results mean. The coordinator identifies
/// peers, tells both what arrived, and carries out the scheduler's effects. Outgoing messages stay in the outbox until
/// the transaction that caused them has been committed, so no peer learns of state that a crash could still undo.
final class Coordinator {
    /// What is fixed for a coordinator's lifetime.
    struct Settings {
        /// Seconds without a message after which a worker is lost.
        var silenceLimit = 15.0
        /// Seconds between the heartbeats of a worker.
        var heartbeatSeconds = 2.0
        /// The release that workers must have.
        var engineVersion = ""
        /// The authorized keys; nil without authentication.
        var register: KeyRegister?
        /// Workers of the run if no others are expected.
        var expectedWorkers: Int?
    }

    /// A registered worker as a peer of the socket.
    struct Connection {
        let peer: PeerID
        let name: String
        let host: String
        /// Up to when its connected time has been recorded.
        var accountedUntil: Double
        /// Whether a message to the worker could not be sent.
        var isLost = false
    }

    struct Outgoing {
        let peer: PeerID
        let body: CoordinatorMessage.Body
    }

    let run: any DistributedRun
    let settings: Settings
    let logger: Logger
    private let clock: () -> Double

    private(set) var scheduler: Scheduler
    var connections: [Int64: Connection] = [:]
    var workerOfPeer: [PeerID: Int64] = [:]
    private var canary: [Float]?
    private var refusals = RefusalLog()
    /// Whether results or failed tasks are waiting to be reported to the run.
    ///
    /// They are reported in batches, because updating the search costs more than storing a result.
    private var hasUnprocessedResults = false
    private var outbox: [Outgoing] = []
    private var expiredAt = -Double.infinity
    private var maintainedAt = -Double.infinity

    /// Images received since the start, for the progress line.
    private(set) var imageCount = 0

    /// Restores the open work of a run from its history and continues the run as far as that allows.
    ///
    /// - Parameters:
    ///   - run: The run.
    ///   - settings: What is fixed for the coordinator's lifetime.
    ///   - clock: Seconds of a steady clock.
    ///   - logger: The log.
    /// - Throws: `HistoryError`, ``CoordinatorError``.
    init(run: any DistributedRun, settings: Settings, clock: @escaping () -> Double, logger: Logger) throws {
        self.run = run
        self.settings = settings
        self.clock = clock
        self.logger = logger
        let context = run.context
        scheduler = Scheduler(
            Scheduler.Settings(
                silenceLimit: settings.silenceLimit, heartbeatSeconds: settings.heartbeatSeconds,
                recheckShare: context.configuration.recheckShare, quality: context.configuration.quality,
                arithmetic: context.configuration.arithmetic, expectedWorkers: settings.expectedWorkers))
        canary = context.keepsCanary ? try context.history.runs.canary(of: context.runID) : nil
        try context.history.transaction {
            // The leases belong to a coordinator that has ended; results that still arrive are accepted.
            _ = try context.history.tasks.expireLeases(of: context.runID, expiringBy: .infinity)
            scheduler.restore(
                tasks: try run.openTasks(), leases: try context.history.tasks.leases(ofOpenTasksIn: context.runID),
                rechecks: try context.pendingRechecks(), at: now)
            try handle(.reuseErrorsRequested(run.openMeasurements()))
            try advanceRun()
        }
    }

    /// Seconds of the steady clock.
    var now: Double { clock() }

    /// Registered workers.
    var workerCount: Int { scheduler.workerCount }

    /// Candidates whose results are incomplete.
    var openCandidates: Set<Int64> { scheduler.openCandidates(at: now) }

    /// Removes and returns the messages to be sent, once what caused them has been committed.
    func takeOutbox() -> [Outgoing] {
        defer { outbox = [] }
        return outbox
    }

    func send(_ body: CoordinatorMessage.Body, to peer: PeerID) {
        outbox.append(Outgoing(peer: peer, body: body))
    }

    func send(_ body: CoordinatorMessage.Body, to worker: Int64) {
        if let peer = connections[worker]?.peer { send(body, to: peer) }
    }

    // MARK: - Messages

    /// Handles a peer's message.
    ///
    /// - Throws: `HistoryError`, ``CoordinatorError``; the content of a message never makes it throw.
    func receive(_ bytes: [UInt8], from peer: PeerID) throws {
        let body: WorkerMessage.Body
        do {
            body = try WorkerMessage.decode(bytes)
        } catch {
            var reason = RefusalLog.Reason.malformedMessage
            if case .protocolVersion = error { reason = .protocolVersion }
            countRefusal(reason, "a peer: \(error)")
            return refuse(peer, "\(error)", retry: false)
        }
        try handle(body, from: peer)
    }

    /// Handles a peer's decoded message.
    ///
    /// - Throws: As ``receive(_:from:)``.
    func handle(_ body: WorkerMessage.Body, from peer: PeerID) throws {
        switch body {
        case .registration(let registration): return try register(registration, from: peer)
        case .probe(let probe): return try answer(probe, from: peer)
        default: break
        }
        guard let worker = workerOfPeer[peer] else {
            return refuse(peer, "this coordinator does not know the worker: register again", retry: true)
        }
        try handle(.heard(worker))
        switch body {
        case .registration, .probe: break
        case .heartbeat(let heartbeat): try handle(.heartbeat(heartbeat, worker))
        case .canary(let canary): try verify(canary, of: worker, peer)
        case .costReport(let report): try record(report, from: worker, peer)
        case .taskRequest(let request):
            guard scheduler.isVerified(worker) else {
                return refuse(peer, "the worker has not sent its canary yet: register again", retry: true)
            }
            try handle(.request(request, worker))
        case .taskResult(let result): try handle(.result(result, worker))
        case .taskFailure(let failure): try handle(.failure(failure, worker))
        case .blobRequest(let request):
            send(.blobChunk(run.context.embeddings?.chunk(request) ?? .none(request)), to: peer)
        case .goodbye(let goodbye):
            log(worker, "left: \(goodbye.reason)")
            try disconnect(worker, .returned)
        }
    }

    /// Notes that a message to a peer could not be sent: unless it registers again, its worker is lost at the next
    /// ``tick()``, after what it sent before has been handled, such as its last result and its goodbye.
    func markLost(_ peer: PeerID) {
        if let worker = workerOfPeer[peer] { connections[worker]?.isLost = true }
    }

    private func disconnectLostWorkers() throws {
        for worker in connections.filter(\.value.isLost).keys.sorted() {
            log(worker, "connection lost")
            try disconnect(worker, .lost)
        }
    }

    /// Compares a worker's canary with the run's.
    private func verify(_ message: Canary, of worker: Int64, _ peer: PeerID) throws {
        let reference = canary ?? message.values
        let difference = CanaryCheck.difference(message.values, from: reference)
        let arithmetic = run.context.configuration.arithmetic
        guard difference <= arithmetic.canaryTolerance else {
            let reason =
                "its canary differs from the run's by \(String(format: "%.3g", difference)); at most "
                + "\(arithmetic.canaryTolerance) is allowed (\(arithmetic)): a faulty device or library, or a damaged model"
            try run.history.events.record("canary", "\(name(of: worker)): \(reason)", run: run.context.runID)
            reject(peer, .canary, name(of: worker), reason)
            return try disconnect(worker, .returned)
        }
        if canary == nil {
            canary = message.values
            if run.context.keepsCanary {
                try run.history.runs.setCanary(message.values, of: run.context.runID)
            }
        }
        try handle(.verified(worker))
    }

    private func record(_ report: CostReport, from worker: Int64, _ peer: PeerID) throws {
        do {
            try run.record(report, from: worker)
        } catch let error as SchedulesError {
            reject(peer, .costTable, name(of: worker), "\(error)")
            return try disconnect(worker, .lost)
        }
        hasUnprocessedResults = true
    }

    // MARK: - Time

    /// Disconnects lost and silent workers and revoked keys, records connected time, continues the run and assigns tasks.
    ///
    /// - Throws: `HistoryError`, ``CoordinatorError``.
    func tick() throws {
        try disconnectLostWorkers()
        if now - expiredAt >= 0.2 {
            expiredAt = now
            try handle(.tick)
        }
        if now - maintainedAt >= 1 {
            maintainedAt = now
            try disconnectRevokedWorkers()
            try recordConnectedTime()
            try run.history.events.countRefusals(refusals.takeCounts(), of: run.context.runID)
        }
        if hasUnprocessedResults { try advanceRun() }
        repeat { try handle(.assign) } while try breedForIdleWorkers()
        try handle(.hedge)
    }

    /// Reports complete results to the run and queues its new tasks.
    private func advanceRun() throws {
        hasUnprocessedResults = false
        try handle(.added(try run.advance(openWork)))
    }

    /// Breeds candidates for workers that would otherwise be idle.
    private func breedForIdleWorkers() throws -> Bool {
        guard scheduler.hasIdleWorkers else { return false }
        let tasks = try run.breedForIdleWorkers(openWork)
        try handle(.added(tasks))
        return !tasks.isEmpty
    }

    private var openWork: OpenWork {
        var size = run.context.configuration.taskSize
        size.secondsPerUnit = scheduler.secondsPerUnit
        size.workerCount = scheduler.workerCount
        return OpenWork(scheduler: scheduler, now: now, taskSize: size)
    }

    // MARK: - The end

    /// Requests the images of the contact sheet; ``isMakingContactSheet`` is true until they are in the history or their task has failed.
    func make(_ sheet: ContactSheet) throws {
        try handle(.contactSheetRequested(sheet))
    }

    var isMakingContactSheet: Bool { scheduler.hasContactSheet }

    /// Tells every worker that the run is over.
    func finish(_ reason: String) throws {
        try reportUnconfirmedResults()
        try run.history.events.countRefusals(refusals.takeCounts(), of: run.context.runID)
        for worker in connections.keys.sorted() {
            guard let connection = connections[worker] else { continue }
            send(.finish(.init(reason: reason)), to: connection.peer)
            try run.history.workers.addConnectedSeconds(now - connection.accountedUntil, to: worker)
        }
        connections = [:]
        workerOfPeer = [:]
    }

    /// Says how many results of the recheck sample no second worker has confirmed.
    private func reportUnconfirmedResults() throws {
        let count = scheduler.unconfirmedResults
        guard count > 0 else { return }
        let share = run.context.configuration.recheckShare
        let text =
            "\(count.counted("result")) of the sample (tasks.recheck_share = \(share)) could not be rechecked: no other "
            + "worker was connected"
        try run.history.events.record("not-rechecked", text, run: run.context.runID)
        logger.log(level: share >= 1 ? .warning : .notice, "\(text)")
    }

    // MARK: - Effects

    /// Tells the scheduler of an event and carries out what follows.
    func handle(_ event: Scheduler.Event) throws {
        for effect in scheduler.handle(event, at: now) { try carryOut(effect) }
    }

    private func carryOut(_ effect: Scheduler.Effect) throws {
        let (history, runID) = (run.history, run.context.runID)
        switch effect {
        case .recordLease(let key, let worker, let seconds):
            try history.tasks.recordLease(
                of: key.taskID, to: worker, epoch: key.epoch, expiresAt: RunHistory.now() + seconds)
        case .endLease(let key, let outcome): try history.tasks.endLease(key, outcome: outcome)
        case .recordCrash(let key): _ = try history.tasks.recordCrash(key)
        case .commit(var result):
            result.thumbnails.removeAll { !run.context.accepts($0) }
            guard try history.results.commit(result) == .committed else {
                throw CoordinatorError.searchFailed("task \(result.taskID) is open here, but closed in \(history.file)")
            }
            imageCount += result.timings.count
        case .fail(let task, let reason):
            try history.tasks.fail(task.id, reason: reason)
            let candidates = task.candidateIDs.map { "\($0)" }.joined(separator: ", ")
            try history.events.record("set-aside", "candidate \(candidates), task \(task.id): \(reason)", run: runID)
        case .split(let task, let reason, let blame):
            try handle(.split(into: try history.tasks.split(task.id, reason: reason), blame))
        case .recordRecheck(let record): try history.results.recordRecheck(record)
        case .quarantine(let worker, let reason): try quarantine(worker, reason: reason)
        case .storeContactSheet(let result, let sheet): try sheet.store(result, in: run.context)
        case .storeReuseErrors(let errors, let measurement, let worker, let seconds):
            try run.record(errors, of: measurement, from: worker, seconds: seconds)
        case .reuseErrorsFailed(let measurement, let reason):
            let prompt = run.context.prompts[measurement.image.prompt]
            throw CoordinatorError.searchFailed(
                "what reuse changes in the image of prompt \"\(prompt.prefix(60))\" could not be measured: \(reason)")
        case .assign(let lease, let item):
            send(.assignment(try run.context.assignment(of: item, under: lease)), to: lease.worker)
        case .cancel(let lease):
            send(.cancel(.init(taskID: lease.item.wireID, epoch: lease.epoch)), to: lease.worker)
        case .acknowledge(let result, let worker, let isAccepted):
            acknowledge(result.taskID, result.leaseEpoch, accepted: isAccepted, worker)
        case .acknowledgeFailure(let failure, let worker):
            acknowledge(failure.taskID, failure.leaseEpoch, accepted: true, worker)
        case .ping(let worker): ping(worker)
        case .dismiss(let worker, let reason):
            send(.finish(.init(reason: reason)), to: worker)
            try forgetConnection(of: worker)
        case .evaluationsClosed: hasUnprocessedResults = true
        case .lost(let worker): try forgetConnection(of: worker)
        case .unknownLease(let worker, let taskID):
            countRefusal(.unknownLease, "a result of \(name(of: worker)) for task \(taskID), which it was not leased")
        case .log(let worker, let text, let taskID): log(worker, text, taskID: taskID)
        }
    }

    private func acknowledge(_ taskID: Int64, _ epoch: Int64, accepted: Bool, _ worker: Int64) {
        var acknowledgement = Acknowledgement()
        acknowledgement.taskID = taskID
        acknowledgement.leaseEpoch = epoch
        acknowledgement.accepted = accepted
        send(.acknowledgement(acknowledgement), to: worker)
    }

    /// Discards a faulty worker's results and disconnects it.
    ///
    /// Only results of candidates that are not evaluated yet are discarded. The search has bred from the others; a score
    /// that changed afterwards would contradict the recorded search.
    private func quarantine(_ worker: Int64, reason: String) throws {
        let (tasks, keptCandidates) = try run.history.workers.quarantine(
            worker, reason: reason, run: run.context.runID, on: run.context.evaluationSet)
        try handle(.added(tasks))
        let consequence = "\(tasks.count) tasks are requeued, \(keptCandidates) evaluated candidates are kept"
        try run.history.events.record(
            "quarantine", "worker \(worker): \(reason); \(consequence)", run: run.context.runID)
        log(worker, "quarantined: \(reason); \(consequence)")
        guard let peer = connections[worker]?.peer else { return }
        reject(peer, .quarantined, name(of: worker), reason)
        try disconnect(worker, .returned)
    }

    // MARK: - Refusals and log

    /// Refuses a worker, and counts it.
    func reject(_ peer: PeerID, _ kind: RefusalLog.Reason, _ name: String, _ reason: String, retry: Bool = false) {
        countRefusal(kind, "\(name): \(reason)")
        refuse(peer, reason, retry: retry)
    }

    func refuse(_ peer: PeerID, _ reason: String, retry: Bool) {
        var refusal = Refusal()
        refusal.reason = reason
        refusal.retry = retry
        send(.refusal(refusal), to: peer)
    }

    /// Counts what the socket refused.
    func countRefusals(_ counts: [TransportRefusal: Int]) {
        for (reason, count) in counts where refusals.count(reason.rawValue, count, at: now) {
            logger.warning("refused \(count) connections or messages: \(reason.rawValue)")
        }
    }

    func countRefusal(_ reason: RefusalLog.Reason, _ text: String) {
        if refusals.count(reason.rawValue, at: now) { logger.warning("refused \(text)") }
    }

    /// Logs a line about a worker.
    func log(_ worker: Int64?, _ text: String, taskID: Int64? = nil) {
        var metadata: Logger.Metadata = [:]
        if let worker { metadata["worker"] = "\(name(of: worker))" }
        if let taskID { metadata["task"] = "\(taskID)" }
        let prefix = worker.map { "\(name(of: $0)): " } ?? ""
        logger.notice("\(prefix)\(text)", metadata: metadata)
    }
}

extension Finish {
    fileprivate init(reason: String) {
        self.init()
        self.reason = reason
    }
}

extension Cancel {
    fileprivate init(taskID: Int64, epoch: Int) {
        self.init()
        self.taskID = taskID
        leaseEpoch = Int64(epoch)
    }
}
