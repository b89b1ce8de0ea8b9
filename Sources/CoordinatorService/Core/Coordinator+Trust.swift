import Foundation
import History
import Messages
import Schedules
import Transport

// Whose results count: canaries, rechecks, quarantine.
extension Coordinator {
    /// Rechecks that may wait for a worker at once; where there is only one worker they would pile up.
    private static let recheckLimit = 64

    /// Compares a worker's canary with the run's.
    func check(_ message: Canary, of worker: Int64, _ peer: PeerID) throws {
        let reference = canary ?? message.values
        let difference = CanaryCheck.difference(message.values, from: reference)
        guard difference <= CanaryCheck.tolerance else {
            let reason =
                "its canary differs from the run's by \(String(format: "%.3g", difference)), at most "
                + "\(CanaryCheck.tolerance) is allowed: its processor or BLAS computes wrongly, or its model is damaged"
            try served.history.events.record("canary", "\(name(of: worker)): \(reason)", run: served.runID)
            turnAway(peer, .canary, name(of: worker), reason)
            return try forget(worker, dispatcher.leave(worker), outcome: .returned)
        }
        if canary == nil {
            canary = message.values
            if served.keepsCanary { try served.history.runs.setCanary(message.values, of: served.runID) }
        }
        connections[worker]?.isTrusted = true
        settleDisputes()
    }

    /// Decides whether a task that was just done is computed once more.
    func planRecheck(of task: TaskRecord, doneBy worker: Int64) {
        guard Recheck.isSampled(task.id, share: served.configuration.recheckShare),
            rechecks.count < Self.recheckLimit
        else { return }
        let number = Recheck.number(of: task.id)
        rechecks[number] = Recheck(task: task, original: worker)
        // At once: what is wrong is best found before anything follows from it.
        dispatcher.add(number, units: task.units, excluding: [worker], isFirst: true)
    }

    /// Compares a recheck's result with the one that was taken.
    func compare(_ result: Messages.TaskResult, from worker: Int64) throws {
        dispatcher.finish(result.taskID)
        guard let recheck = rechecks.removeValue(forKey: result.taskID) else { return }
        let scorer = served.configuration.quality
        let checked: History.TaskResult
        do {
            checked = try History.TaskResult(
                result, candidates: recheck.task.candidateIDs, images: recheck.task.images, from: worker,
                scorer: scorer.rawValue)
        } catch {
            return log("\(name(of: worker)), a recheck: \(error)")
        }
        dispatcher.noteCost(seconds: result.taskSeconds, units: recheck.task.units, by: worker)
        let scores = Recheck.scores(of: checked, scorer: scorer)
        let taken = try storedScores(of: recheck.task, scorer: scorer)
        // The task may have been taken out of the history again meanwhile.
        guard taken.count == scores.count else { return }
        let (agrees, largest) = Recheck.compare(taken, scores, scorer: scorer)
        try served.history.results.recordRecheck(
            RecheckRecord(
                taskID: recheck.task.id, workerID: worker, checkedWorkerID: recheck.original, agrees: agrees,
                largestDifference: largest))
        switch recheck.verdict(on: scores, by: worker, taken: taken, scorer: scorer) {
        case .guilty(let culprit): return try quarantine(culprit, task: recheck.task.id, largest)
        case .close: return
        case .steadfast:
            var next = recheck
            next.steadfast.insert(worker)
            return settle(next)
        case nil:
            guard !agrees else { return }
            log(
                "task \(recheck.task.id): \(name(of: worker)) and \(name(of: recheck.original)) differ by "
                    + String(format: "%.3g", largest))
            var next = recheck
            next.dissenter = (worker, scores)
            settle(next)
        }
    }

    /// Has a task computed once more that two workers disagree on.
    ///
    /// By a third, or, while there is none, by each of the two, since who does not agree with itself is wrong. If both
    /// do, the question waits for a third.
    private func settle(_ recheck: Recheck) {
        guard let dissenter = recheck.dissenter?.worker else { return }
        let parties: Set = [recheck.original, dissenter]
        let hasThird = connections.contains { !parties.contains($0.key) && $0.value.isTrusted }
        guard hasThird || recheck.steadfast != parties else {
            log(
                "task \(recheck.task.id): both say the same again; a third worker will settle it, until then the first "
                    + "result stands")
            return disputes.append(recheck)
        }
        let excluded =
            hasThird ? parties : recheck.steadfast.isEmpty ? [dissenter] : recheck.steadfast
        let number = Recheck.number(of: recheck.task.id)
        rechecks[number] = recheck
        dispatcher.add(number, units: recheck.task.units, excluding: excluded, isFirst: true)
    }

    /// Puts the questions that wait for a third worker to one that has joined.
    private func settleDisputes() {
        let waiting = disputes
        disputes = []
        for recheck in waiting { settle(recheck) }
    }

    private func storedScores(of task: TaskRecord, scorer: ScorerKind) throws -> [Recheck.ScoreKey: Double] {
        let images = Set(task.images)
        var scores: [Recheck.ScoreKey: Double] = [:]
        for candidate in task.candidateIDs {
            for score in try served.history.results.measurements(of: candidate, on: served.evaluationSet).scores
            where score.scorer == scorer.rawValue && images.contains(score.image) {
                scores[Recheck.ScoreKey(candidate: candidate, image: score.image)] = score.value
            }
        }
        return scores
    }

    private func quarantine(_ worker: Int64, task: Int64, _ largest: Double) throws {
        let reason = "others computed task \(task) and differ by \(String(format: "%.3g", largest))"
        let (reopened, keptCandidates) = try served.reopenTasks(doneBy: worker, reason: reason)
        let kept =
            keptCandidates > 0 ? "; \(keptCandidates) candidates stay as evaluated, since the search has used them" : ""
        log("\(name(of: worker)) is quarantined: \(reason); \(reopened.count) tasks are done again\(kept)")
        for (number, recheck) in rechecks where recheck.involves(worker) {
            dispatcher.finish(number)
            rechecks[number] = nil
        }
        disputes.removeAll { $0.involves(worker) }
        for task in reopened { dispatcher.add(task.id, units: task.units) }
        guard let peer = connections[worker]?.peer else { return }
        turnAway(peer, .quarantined, name(of: worker), reason)
        try forget(worker, dispatcher.leave(worker), outcome: .returned)
    }
}
