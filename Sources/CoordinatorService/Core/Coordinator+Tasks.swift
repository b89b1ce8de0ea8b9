import Foundation
import History
import Messages
import Schedules
import Transport

// Leases, results and failures.
extension Coordinator {
    func giveOutTasks() throws {
        if hasNews {
            hasNews = false
            try served.proceed()
            enqueueNewTasks()
        }
        var retiring: [Int64] = []
        repeat {
            while let lease = dispatcher.lease(at: now, retiring: &retiring) { try assign(lease) }
        } while try breedTasks()
        for lease in dispatcher.hedge(at: now) { try assign(lease) }
        for worker in retiring {
            guard let connection = connections[worker] else { continue }
            var finish = Finish()
            finish.reason = "less time is left than a task takes"
            send(.finish(finish), to: connection.peer)
            try forget(worker, dispatcher.leave(worker), outcome: .returned)
        }
    }

    /// Has new schedules bred for workers that would have nothing to do.
    private func breedTasks() throws -> Bool {
        guard dispatcher.isHungry, try served.breedMore() else { return false }
        enqueueNewTasks()
        return true
    }

    /// Takes what a worker has measured of the model's parts.
    func take(_ report: CostReport, from worker: Int64, _ peer: PeerID) throws {
        do {
            try served.take(report, from: worker)
        } catch let error as SchedulesError {
            turnAway(peer, .costTable, name(of: worker), "\(error)")
            return try forget(worker, dispatcher.leave(worker), outcome: .lost)
        }
        enqueueNewTasks()
    }

    private func assign(_ lease: Dispatcher.Lease) throws {
        guard connections[lease.worker] != nil else {
            _ = dispatcher.leave(lease.worker)
            return
        }
        var lease = lease
        if served.tasks[lease.task] != nil {
            lease.epoch = try served.history.tasks.task(lease.task).attempts + 1
            try served.history.tasks.recordLease(
                of: lease.task, to: lease.worker, epoch: lease.epoch, expiresAt: RunHistory.now() + lease.seconds)
            dispatcher.setEpoch(lease.epoch, of: lease.task, to: lease.worker)
        }
        try sendAssignment(of: lease)
    }

    /// Sends a worker the task that it holds; a task that is not wanted any more is forgotten.
    func sendAssignment(of lease: Dispatcher.Lease) throws {
        var assignment: Assignment
        if let rendering, rendering.taskID == lease.task {
            assignment = rendering.assignment
        } else if let recheck = rechecks[lease.task] {
            assignment = try served.assignment(of: recheck.task, epoch: 1)
            assignment.taskID = lease.task
        } else if let record = served.tasks[lease.task] {
            assignment = try served.assignment(of: record, epoch: lease.epoch)
        } else {
            dispatcher.finish(lease.task)
            return
        }
        assignment.leaseSeconds = lease.seconds
        if let peer = connections[lease.worker]?.peer { send(.assignment(assignment), to: peer) }
    }

    /// Queues what the run has come to want.
    func enqueueNewTasks() {
        for task in served.takeNewTasks() { dispatcher.add(task.id, units: task.units) }
    }

    /// Notes the end of leases that brought no result.
    func end(_ leases: [Dispatcher.Lease], outcome: LeaseOutcome) throws {
        for lease in leases where lease.task > 0 && lease.epoch > 0 {
            try served.history.tasks.endLease(LeaseKey(taskID: lease.task, epoch: lease.epoch), outcome: outcome)
        }
    }

    /// Tells a worker that its task is not wanted from it any more.
    func cancel(_ lease: Dispatcher.Lease) {
        guard let peer = connections[lease.worker]?.peer else { return }
        var cancel = Cancel()
        cancel.taskID = lease.task
        cancel.leaseEpoch = Int64(lease.epoch)
        send(.cancel(cancel), to: peer)
    }

    private func acknowledge(_ task: Int64, _ epoch: Int64, accepted: Bool, _ peer: PeerID) {
        var acknowledgement = Acknowledgement()
        acknowledgement.taskID = task
        acknowledgement.leaseEpoch = epoch
        acknowledgement.accepted = accepted
        send(.acknowledgement(acknowledgement), to: peer)
    }

    // MARK: - Results

    func take(_ result: Messages.TaskResult, from worker: Int64, _ peer: PeerID) throws {
        guard result.taskID > 0 else {
            let isMine = dispatcher.lease(of: result.taskID, to: worker) != nil
            if isMine, let rendering, rendering.taskID == result.taskID {
                try rendering.store(result, in: served)
                dispatcher.finish(result.taskID)
                self.rendering = nil
            } else if isMine {
                try compare(result, from: worker)
            }
            return acknowledge(result.taskID, result.leaseEpoch, accepted: isMine, peer)
        }
        guard let task = served.tasks[result.taskID] else {
            return acknowledge(result.taskID, result.leaseEpoch, accepted: false, peer)
        }
        guard try isLease(result.taskID, result.leaseEpoch, of: worker) else {
            note(.unknownLease, "a result of \(name(of: worker)) for task \(result.taskID), which it was not given")
            return acknowledge(result.taskID, result.leaseEpoch, accepted: false, peer)
        }
        served.taskSize.secondsPerUnit = dispatcher.costs.average
        served.taskSize.workerCount = dispatcher.workerCount
        do {
            let outcome = try served.commit(result, from: worker)
            if outcome == .committed {
                imageCount += result.images.count
                dispatcher.noteCost(seconds: result.taskSeconds, units: task.units, by: worker)
                planRecheck(of: task, doneBy: worker)
            }
            for lease in dispatcher.finish(result.taskID) where lease.worker != worker { cancel(lease) }
            hasNews = true
            acknowledge(result.taskID, result.leaseEpoch, accepted: outcome == .committed, peer)
        } catch let problem as ResultProblem {
            log("\(name(of: worker)): \(problem)")
            try failed(task, by: worker, candidate: problem.candidate, reason: problem.description)
            acknowledge(result.taskID, result.leaseEpoch, accepted: false, peer)
        }
    }

    /// Whether a worker was given a task under an epoch, by this coordinator or one before it.
    private func isLease(_ task: Int64, _ epoch: Int64, of worker: Int64) throws -> Bool {
        if let lease = dispatcher.lease(of: task, to: worker), Int64(lease.epoch) == epoch { return true }
        guard let number = Int(exactly: epoch) else { return false }
        return try served.history.tasks.isLease(LeaseKey(taskID: task, epoch: number), of: worker)
    }

    // MARK: - Failures

    func note(_ failure: TaskFailure, from worker: Int64, _ peer: PeerID) throws {
        log("\(name(of: worker)), task \(failure.taskID): \(failure.reason)")
        if failure.taskID <= 0 {
            if dispatcher.lease(of: failure.taskID, to: worker) != nil { giveUpExtra(failure.taskID) }
        } else if let task = served.tasks[failure.taskID],
            try isLease(failure.taskID, failure.leaseEpoch, of: worker)
        {
            let candidate = failure.hasCandidateID ? failure.candidateID : nil
            if failure.crashed {
                try charge(task, epoch: failure.leaseEpoch, to: worker, reason: failure.reason)
            } else {
                try failed(task, by: worker, candidate: candidate, reason: failure.reason)
            }
        }
        acknowledge(failure.taskID, failure.leaseEpoch, accepted: true, peer)
    }

    /// Forgets the sheet or a recheck, without which a run can end as well.
    private func giveUpExtra(_ task: Int64) {
        dispatcher.finish(task)
        rechecks[task] = nil
        if rendering?.taskID == task { rendering = nil }
    }

    private func failed(_ task: TaskRecord, by worker: Int64, candidate: Int64?, reason: String) throws {
        guard let lease = dispatcher.lease(of: task.id, to: worker) else { return }
        let verdict = dispatcher.fail(task.id, by: worker)
        try served.history.tasks.endLease(LeaseKey(taskID: task.id, epoch: lease.epoch), outcome: .failed)
        try act(on: verdict, task, worker, candidate, reason)
    }

    /// Charges a task with the death of the process that worked on it.
    private func charge(_ task: TaskRecord, epoch: Int64, to worker: Int64, reason: String) throws {
        guard let number = Int(exactly: epoch),
            try served.history.tasks.recordCrash(LeaseKey(taskID: task.id, epoch: number))
        else { return }
        try act(on: dispatcher.charge(task.id, to: worker), task, worker, nil, reason)
    }

    private func act(
        on verdict: Dispatcher.Verdict, _ task: TaskRecord, _ worker: Int64, _ candidate: Int64?, _ reason: String
    ) throws {
        switch verdict {
        case .ignored: break
        case .retry:
            guard task.candidateIDs.count > 1 else { break }
            // From here on every candidate stands for itself.
            for lease in dispatcher.finish(task.id) { cancel(lease) }
            for part in try served.split(task.id, reason: reason) {
                let isSuspect = candidate == nil || part.candidateIDs == [candidate ?? 0]
                dispatcher.add(part.id, units: part.units, failedBy: isSuspect ? [worker] : [])
            }
        case .giveUp:
            for lease in dispatcher.finish(task.id) { cancel(lease) }
            try served.giveUp(task.id, reason: reason)
            // What else is open of the candidate would be for nothing.
            let rest = served.tasks.values.filter { $0.candidateIDs == task.candidateIDs }.map(\.id).sorted()
            for other in rest where served.tasks[other] != nil {
                for lease in dispatcher.finish(other) { cancel(lease) }
                try served.giveUp(other, reason: reason)
            }
            hasNews = true
        }
    }
}
