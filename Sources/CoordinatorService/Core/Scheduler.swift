import Basics
import Foundation
import History
import Messages

/// Owns the state of all open work: items, leases, workers, and rechecks of finished tasks.
///
/// A pure value. It is told events with their time and answers with effects, which the ``Coordinator`` carries out in
/// order: what is to be persisted, sent, and reported. The history is the durable copy of this state; after a crash the
/// scheduler is restored from it.
struct Scheduler {
    typealias WorkerID = Dispatcher.WorkerID
    typealias Lease = Dispatcher.Lease

    /// What is fixed for a run.
    struct Settings {
        var silenceLimit = 15.0
        var heartbeatSeconds = 2.0
        /// The share of tasks that a second worker recomputes.
        var recheckShare = 0.0
        /// The scorer that a result must contain, and by which rechecks compare.
        var quality = ScorerKind.psnr
        /// What the workers compute with; rechecks agree within its tolerance.
        var arithmetic = Arithmetic()
        /// Workers of the run if no others are expected: those that the coordinator starts itself.
        var expectedWorkers: Int?
    }

    /// Maximum number of open rechecks if only a sample is rechecked; with a single worker they would pile up.
    static let recheckLimit = 64

    /// Seconds after a start within which all workers register again: their longest pause between two attempts is 40 s.
    private static let rejoinSeconds = 45.0

    let settings: Settings
    var dispatcher: Dispatcher
    var verified: Set<WorkerID> = []
    /// Disagreements that only a third worker can decide.
    var disputes: [Recheck] = []
    /// The latest epoch under which a finished task was rechecked: epochs are not reused if it is reopened.
    var recheckEpochs: [Int64: Int] = [:]
    /// Until this time, or until all expected workers are there, rechecks wait for workers to register, or to register
    /// again after a restart.
    private var rejoinDeadline = -Double.infinity
    var effects: [Effect] = []

    init(_ settings: Settings) {
        self.settings = settings
        dispatcher = Dispatcher(silenceLimit: settings.silenceLimit)
    }

    /// Restores the state that the history holds.
    ///
    /// - Parameters:
    ///   - tasks: Open tasks.
    ///   - leases: All leases of these tasks, ended ones included: their results may still arrive.
    ///   - rechecks: Finished tasks of the sample that have not been compared, with their results.
    ///   - now: Seconds.
    mutating func restore(tasks: [TaskRecord], leases: [LeaseRecord], rechecks: [Recheck], at now: Double) {
        let leases = Dictionary(grouping: leases) { $0.key.taskID }
        for task in tasks {
            let past = leases[task.id, default: []].map { lease in
                (lease.key.epoch, Dispatcher.PastLease(worker: lease.workerID, outcome: lease.outcome ?? .expired))
            }
            dispatcher.add(
                WorkItem(task), failedBy: Set(past.filter { $0.1.outcome == .failed }.map(\.1.worker)),
                attempts: task.attempts, pastLeases: Dictionary(past) { $1 })
        }
        for recheck in rechecks { add(recheck, excluding: [recheck.original]) }
        rejoinDeadline = now + Self.rejoinSeconds
    }

    // MARK: - State

    var workerCount: Int { dispatcher.workerCount }

    var hasIdleWorkers: Bool { dispatcher.hasIdleWorkers }

    /// Seconds per image of a candidate, averaged over the latest tasks; nil before the first result.
    var secondsPerUnit: Double? { dispatcher.costs.average }

    func isVerified(_ worker: WorkerID) -> Bool { verified.contains(worker) }

    /// When the last message of a worker arrived; nil for a worker that is not connected.
    func lastHeard(_ worker: WorkerID) -> Double? { dispatcher.workers[worker]?.lastHeard }

    /// Whether a task waits for a result.
    func isOpen(taskID: Int64) -> Bool { dispatcher.entries[.evaluation(taskID: taskID)] != nil }

    var hasContactSheet: Bool { dispatcher.entries[.contactSheet] != nil }

    /// Whether a candidate still waits for a result; if every result is rechecked, also for the confirmation.
    func hasOpenEvaluations(at now: Double) -> Bool {
        dispatcher.entries.values.contains { !openCandidates(of: $0, at: now).isEmpty }
            || disputes.contains { mustConfirm(excluding: $0.parties, at: now) }
    }

    /// The candidates of ``hasOpenEvaluations(at:)``.
    func openCandidates(at now: Double) -> Set<Int64> {
        let disputed = disputes.filter { mustConfirm(excluding: $0.parties, at: now) }.flatMap(\.task.candidateIDs)
        return Set(dispatcher.entries.values.flatMap { openCandidates(of: $0, at: now) } + disputed)
    }

    private func openCandidates(of entry: Dispatcher.Entry, at now: Double) -> [Int64] {
        switch entry.item.work {
        case .evaluation(let task): task.candidateIDs
        case .recheck(let recheck):
            mustConfirm(excluding: entry.excluded, at: now) ? recheck.task.candidateIDs : []
        case .contactSheet, .reuseErrors: []
        }
    }

    /// Whether a recheck holds up its candidates: only if all results are rechecked, since waiting costs throughput, and
    /// only while a worker is connected that can do it, or could once its canary is verified.
    private func mustConfirm(excluding excluded: Set<WorkerID>, at now: Double) -> Bool {
        settings.recheckShare >= 1
            && (now < rejoinDeadline || dispatcher.workers.keys.contains { !excluded.contains($0) })
    }

    /// Results whose recheck no connected worker can do.
    var unconfirmedResults: Int {
        dispatcher.entries.values.count { entry in
            entry.item.id.isRecheck && dispatcher.workers.keys.allSatisfy(entry.excluded.contains)
        }
    }

    // MARK: - Events

    /// Handles an event at a time in seconds of a steady clock; the effects are to be carried out in order.
    mutating func handle(_ event: Event, at now: Double) -> [Effect] {
        switch event {
        case .added(let tasks): for task in tasks { add(task) }
        case .split(let parts, let blame):
            for part in parts {
                let isSuspect = blame.candidate == nil || part.candidateIDs == [blame.candidate]
                dispatcher.add(WorkItem(part), failedBy: isSuspect ? [blame.worker] : [])
            }
        case .contactSheetRequested(let sheet): dispatcher.add(WorkItem(.contactSheet(sheet)))
        case .reuseErrorsRequested(let images): for image in images { dispatcher.add(WorkItem(.reuseErrors(image))) }
        case .joined(let worker): dispatcher.recordMessage(from: worker, at: now)
        case .verified(let worker):
            verified.insert(worker)
            let waiting = disputes
            disputes = []
            for recheck in waiting { requeueDispute(recheck) }
        case .left(let worker, let outcome): remove(worker, outcome)
        case .heard(let worker): dispatcher.recordMessage(from: worker, at: now)
        case .heartbeat(let heartbeat, let worker):
            guard heartbeat.hasTaskID else { break }
            for id in WorkItem.ID.candidates(wireID: heartbeat.taskID) {
                dispatcher.recordProgress(of: worker, on: id, imagesDone: Int(heartbeat.imagesDone), at: now)
            }
        case .request(let request, let worker):
            let left = request.hasWalltimeLeftSeconds ? request.walltimeLeftSeconds : nil
            for lease in dispatcher.request(by: worker, secondsLeft: left, at: now) { send(lease) }
        case .result(let result, let worker): receive(result, from: worker)
        case .failure(let failure, let worker): receive(failure, from: worker)
        case .tick:
            expireLostWorkers(at: now)
            pingQuietWorkers(at: now)
            endRejoinPeriod(at: now)
        case .assign: assign(at: now)
        case .hedge: for lease in dispatcher.hedge(at: now) { start(lease) }
        }
        defer { effects = [] }
        return effects
    }

    private mutating func add(_ task: TaskRecord) {
        let attempts = max(task.attempts, recheckEpochs.removeValue(forKey: task.id) ?? 0)
        dispatcher.add(WorkItem(task), attempts: attempts)
    }

    private mutating func remove(_ worker: WorkerID, _ outcome: LeaseOutcome) {
        verified.remove(worker)
        end(dispatcher.remove(worker, outcome), outcome)
        // A recheck may have lost the last worker that could do it.
        if dispatcher.hasRechecks || !disputes.isEmpty { effects.append(.evaluationsClosed) }
    }

    private mutating func end(_ leases: [Lease], _ outcome: LeaseOutcome) {
        for key in leases.compactMap(\.key) { effects.append(.endLease(key, outcome)) }
    }

    private mutating func expireLostWorkers(at now: Double) {
        for (worker, loss, leases) in dispatcher.expire(at: now) {
            switch loss {
            case .silent:
                let requeued = leases.first.map { "; its lease has expired\(consequence(for: $0.item))" } ?? ""
                report(
                    worker, "no message for \(Int(settings.silenceLimit)) s\(requeued)", task: leases.first?.item.wireID
                )
                end(leases, .lost)
                effects.append(.lost(worker))
                remove(worker, .lost)
            case .stalled:
                for lease in leases {
                    report(
                        worker, "no progress; its lease has expired\(consequence(for: lease.item))",
                        task: lease.item.wireID)
                    effects.append(.cancel(lease))
                }
                end(leases, .expired)
            }
        }
    }

    /// Pings workers that hold an item and have missed several heartbeats.
    private mutating func pingQuietWorkers(at now: Double) {
        for worker in dispatcher.quietHolders(for: 3 * settings.heartbeatSeconds, at: now) {
            effects.append(.ping(worker))
        }
    }

    private mutating func endRejoinPeriod(at now: Double) {
        let isComplete = settings.expectedWorkers.map { verified.count >= $0 } ?? false
        guard isComplete || now >= rejoinDeadline, rejoinDeadline.isFinite else { return }
        rejoinDeadline = -.infinity
        effects.append(.evaluationsClosed)
    }

    private func consequence(for item: WorkItem.ID) -> String {
        dispatcher.isQueued(item)
            ? " and task \(item.wireID) is requeued" : "; another worker still holds task \(item.wireID)"
    }

    // MARK: - Leases

    private mutating func assign(at now: Double) {
        var retiring: [WorkerID] = []
        while let lease = dispatcher.lease(at: now, retiring: &retiring) { start(lease) }
        for worker in retiring {
            effects.append(.dismiss(worker, reason: "less time is left than a task takes"))
            remove(worker, .returned)
        }
    }

    private mutating func start(_ lease: Lease) {
        if let key = lease.key { effects.append(.recordLease(key, lease.worker, seconds: lease.seconds)) }
        send(lease)
    }

    private mutating func send(_ lease: Lease) {
        guard let entry = dispatcher.entries[lease.item] else { return }
        effects.append(.assign(lease, entry.item))
    }

    /// Removes an item and tells its holders, except the one whose message ended it.
    mutating func close(_ item: WorkItem.ID, except worker: WorkerID? = nil) {
        for lease in dispatcher.remove(item) where lease.worker != worker { effects.append(.cancel(lease)) }
    }

    /// The item that a worker was leased under an epoch, by this coordinator or an earlier one.
    private func entry(wireID: Int64, epoch: Int64, worker: WorkerID) -> Dispatcher.Entry? {
        WorkItem.ID.candidates(wireID: wireID).lazy.compactMap { dispatcher.entries[$0] }.first { entry in
            entry.leases.contains { $0.worker == worker && Int64($0.epoch) == epoch }
                || Int(exactly: epoch).flatMap { entry.pastLeases[$0] }?.worker == worker
        }
    }

    // MARK: - Results

    private mutating func receive(_ result: Messages.TaskResult, from worker: WorkerID) {
        guard let entry = entry(wireID: result.taskID, epoch: result.leaseEpoch, worker: worker) else {
            if dispatcher.entries[.evaluation(taskID: result.taskID)] != nil {
                effects.append(.unknownLease(worker, taskID: result.taskID))
            }
            return effects.append(.acknowledge(result, worker, accepted: false))
        }
        var isAccepted = true
        switch entry.item.work {
        case .evaluation(let task): isAccepted = commit(result, of: task, from: worker)
        case .recheck(let recheck): compare(result, with: recheck, attempts: entry.attempts, from: worker)
        case .contactSheet(let sheet):
            close(.contactSheet, except: worker)
            effects.append(.storeContactSheet(result, sheet))
        case .reuseErrors(let measurement): isAccepted = store(result, of: measurement, from: worker)
        }
        effects.append(.acknowledge(result, worker, accepted: isAccepted))
    }

    private mutating func commit(_ result: Messages.TaskResult, of task: TaskRecord, from worker: WorkerID) -> Bool {
        do {
            let checked = try checked(result, of: task, from: worker)
            let item = WorkItem.ID.evaluation(taskID: task.id)
            let attempts = dispatcher.entries[item]?.attempts ?? task.attempts
            effects.append(.commit(checked))
            close(item, except: worker)
            dispatcher.recordCost(seconds: result.taskSeconds, units: task.units, of: worker)
            planRecheck(of: task, result: checked, attempts: attempts)
            effects.append(.evaluationsClosed)
            return true
        } catch {
            report(worker, "task \(task.id): \(error)", task: task.id)
            fail(task, reason: error.description, Blame(worker: worker, candidate: error.candidate))
            return false
        }
    }

    func checked(
        _ result: Messages.TaskResult, of task: TaskRecord, from worker: WorkerID
    ) throws(ResultProblem) -> History.TaskResult {
        try History.TaskResult(
            result, candidates: task.candidateIDs, images: task.images, from: worker,
            scorer: settings.quality.rawValue)
    }

    private mutating func store(
        _ result: Messages.TaskResult, of measurement: ReuseMeasurement, from worker: WorkerID
    ) -> Bool {
        do {
            let errors = try measurement.errors(in: result)
            close(.reuseErrors(index: measurement.index), except: worker)
            dispatcher.recordCost(seconds: result.taskSeconds, units: measurement.units, of: worker)
            effects.append(.storeReuseErrors(errors, measurement, worker, seconds: result.taskSeconds))
            effects.append(.evaluationsClosed)
            return true
        } catch {
            report(worker, "\(measurement): \(error)", task: result.taskID)
            let verdict = dispatcher.recordFailure(of: .reuseErrors(index: measurement.index), by: worker)
            if verdict == .giveUp { giveUp(measurement, reason: "\(error)") }
            return false
        }
    }

    private mutating func giveUp(_ measurement: ReuseMeasurement, reason: String) {
        close(.reuseErrors(index: measurement.index))
        effects.append(.reuseErrorsFailed(measurement, reason: reason))
    }

    // MARK: - Failures

    private mutating func receive(_ failure: TaskFailure, from worker: WorkerID) {
        report(worker, "task \(failure.taskID) failed: \(failure.reason)", task: failure.taskID)
        if let entry = entry(wireID: failure.taskID, epoch: failure.leaseEpoch, worker: worker) {
            switch entry.item.work {
            case .evaluation(let task) where failure.crashed:
                recordCrash(of: task, epoch: Int(failure.leaseEpoch), reason: failure.reason, worker)
            case .evaluation(let task):
                let candidate = failure.hasCandidateID ? failure.candidateID : nil
                fail(task, reason: failure.reason, Blame(worker: worker, candidate: candidate))
            case .reuseErrors(let measurement):
                let verdict =
                    failure.crashed
                    ? dispatcher.recordCrash(of: entry.item.id, epoch: Int(failure.leaseEpoch))
                    : dispatcher.recordFailure(of: entry.item.id, by: worker)
                if verdict == .giveUp { giveUp(measurement, reason: failure.reason) }
            case .recheck, .contactSheet:
                // Neither is needed to finish a run.
                close(entry.item.id, except: worker)
                effects.append(.evaluationsClosed)
            }
        }
        effects.append(.acknowledgeFailure(failure, worker))
    }

    private mutating func fail(_ task: TaskRecord, reason: String, _ blame: Blame) {
        let item = WorkItem.ID.evaluation(taskID: task.id)
        guard let key = dispatcher.lease(of: item, to: blame.worker)?.key else { return }
        let verdict = dispatcher.recordFailure(of: item, by: blame.worker)
        effects.append(.endLease(key, .failed))
        act(on: verdict, task, reason: reason, blame)
    }

    private mutating func recordCrash(of task: TaskRecord, epoch: Int, reason: String, _ worker: WorkerID) {
        let verdict = dispatcher.recordCrash(of: .evaluation(taskID: task.id), epoch: epoch)
        guard verdict != .ignored else { return }
        effects.append(.recordCrash(LeaseKey(taskID: task.id, epoch: epoch)))
        act(on: verdict, task, reason: reason, Blame(worker: worker, candidate: nil))
    }

    private mutating func act(on verdict: Dispatcher.Verdict, _ task: TaskRecord, reason: String, _ blame: Blame) {
        switch verdict {
        case .ignored: break
        case .retry:
            guard task.candidateIDs.count > 1 else { break }
            // Split, so that a faulty candidate fails alone.
            close(.evaluation(taskID: task.id))
            effects.append(.split(task, reason: reason, blame))
        case .giveUp:
            // Other tasks of the same candidate would be computed in vain.
            let others = dispatcher.entries.values.compactMap { entry -> TaskRecord? in
                guard case .evaluation(let other) = entry.item.work, other.id != task.id,
                    other.candidateIDs == task.candidateIDs
                else { return nil }
                return other
            }
            for task in [task] + others.sorted(by: { $0.id < $1.id }) {
                close(.evaluation(taskID: task.id))
                effects.append(.fail(task, reason: reason))
            }
            effects.append(.evaluationsClosed)
        }
    }

    mutating func report(_ worker: WorkerID?, _ text: String, task: Int64?) {
        effects.append(.log(worker, text, taskID: task))
    }
}
