import Foundation
import History
import Messages

// Rechecks of finished tasks: when they are planned, and what follows from their results.
extension Scheduler {
    mutating func planRecheck(of task: TaskRecord, result: History.TaskResult, attempts: Int) {
        guard Recheck.isSampled(task.id, share: settings.recheckShare),
            settings.recheckShare >= 1 || dispatcher.recheckCount < Self.recheckLimit
        else { return }
        let recheck = Recheck(
            task: task, original: result.workerID,
            originalScores: Recheck.scores(of: result, scorer: settings.quality))
        recheckEpochs[task.id] = attempts
        add(recheck, excluding: [result.workerID])
    }

    mutating func add(_ recheck: Recheck, excluding excluded: Set<WorkerID>) {
        // At once: a faulty worker is best found before the search uses its results.
        dispatcher.add(
            WorkItem(.recheck(recheck)), excluding: excluded,
            attempts: recheckEpochs[recheck.task.id] ?? recheck.task.attempts, isFirst: true)
    }

    mutating func compare(
        _ result: Messages.TaskResult, with recheck: Recheck, attempts: Int, from worker: WorkerID
    ) {
        let task = recheck.task
        recheckEpochs[task.id] = attempts
        close(.recheck(taskID: task.id), except: worker)
        effects.append(.evaluationsClosed)
        let checked: History.TaskResult
        do {
            checked = try self.checked(result, of: task, from: worker)
        } catch {
            return report(worker, "recheck of task \(task.id): \(error)", task: task.id)
        }
        dispatcher.recordCost(seconds: result.taskSeconds, units: task.units, of: worker)
        let (quality, arithmetic) = (settings.quality, settings.arithmetic)
        let scores = Recheck.scores(of: checked, scorer: quality)
        let (agrees, largest) = Recheck.compare(recheck.originalScores, scores, scorer: quality, arithmetic: arithmetic)
        effects.append(
            .recordRecheck(
                RecheckRecord(
                    taskID: task.id, workerID: worker, checkedWorkerID: recheck.original, agrees: agrees,
                    largestDifference: largest)))
        var next = recheck
        switch recheck.verdict(on: scores, by: worker, scorer: quality, arithmetic: arithmetic) {
        case .faulty(let culprit, let difference):
            let other = culprit == worker ? "its own repetition" : "that of another worker"
            quarantine(
                culprit,
                reason: "its result of task \(task.id) differs from \(other) by \(String(format: "%.3g", difference))")
        case .withinTolerance: break
        case .consistent:
            next.consistent.insert(worker)
            requeueDispute(next)
        case nil:
            guard !agrees else { break }
            report(
                worker, "task \(task.id): the recomputed result differs by \(String(format: "%.3g", largest))",
                task: task.id)
            next.disagreeing = (worker, scores)
            requeueDispute(next)
        }
    }

    /// Requeues a disputed task for a third worker, or for each of the two if there is none.
    ///
    /// If both reproduce their own result, the dispute waits for a third worker.
    mutating func requeueDispute(_ recheck: Recheck) {
        guard let other = recheck.disagreeing?.worker else { return }
        let parties = recheck.parties
        let hasThird = !verified.isSubset(of: parties)
        guard hasThird || recheck.consistent != parties else {
            report(
                nil,
                "task \(recheck.task.id): both workers reproduce their results; the first stands until a third "
                    + "worker decides", task: recheck.task.id)
            return disputes.append(recheck)
        }
        add(recheck, excluding: hasThird ? parties : recheck.consistent.isEmpty ? [other] : recheck.consistent)
    }

    private mutating func quarantine(_ worker: WorkerID, reason: String) {
        let involved = dispatcher.entries.values.filter { entry in
            guard case .recheck(let recheck) = entry.item.work else { return false }
            return recheck.involves(worker)
        }
        for entry in involved.sorted(by: { $0.item.id < $1.item.id }) {
            recheckEpochs[entry.item.id.wireID] = entry.attempts
            close(entry.item.id)
        }
        disputes.removeAll { $0.involves(worker) }
        effects.append(.quarantine(worker, reason: reason))
    }
}
