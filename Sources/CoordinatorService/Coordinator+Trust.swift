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
            try served.history.recordEvent("canary", "\(name(of: worker)): \(reason)", run: served.runID)
            turnAway(peer, .canary, name(of: worker), reason)
            return try forget(worker, dispatcher.leave(worker), outcome: .returned)
        }
        if canary == nil {
            canary = message.values
            if served.keepsCanary { try served.history.setCanary(message.values, of: served.runID) }
        }
        connections[worker]?.isTrusted = true
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
        try served.history.recordRecheck(
            RecheckRecord(
                taskID: recheck.task.id, workerID: worker, checkedWorkerID: recheck.original, agrees: agrees,
                largestDifference: largest))
        if let dissenter = recheck.dissenter {
            // Two against one.
            let isWithDissenter = Recheck.compare(dissenter.scores, scores, scorer: scorer).agrees
            return try quarantine(
                agrees && !isWithDissenter ? dissenter.worker : recheck.original, task: recheck.task.id, largest)
        }
        guard !agrees else { return }
        log(
            "task \(recheck.task.id): \(name(of: worker)) and \(name(of: recheck.original)) differ by "
                + String(format: "%.3g", largest))
        let known: Set = [worker, recheck.original]
        guard connections.contains(where: { !known.contains($0.key) && $0.value.isTrusted }) else {
            // Nobody is there to ask; what two disagree on had better be done again.
            return try quarantine(recheck.original, task: recheck.task.id, largest)
        }
        var third = recheck
        third.dissenter = (worker, scores)
        rechecks[result.taskID] = third
        dispatcher.add(result.taskID, units: recheck.task.units, excluding: known, isFirst: true)
    }

    private func storedScores(of task: TaskRecord, scorer: ScorerKind) throws -> [Recheck.ScoreKey: Double] {
        let images = Set(task.images)
        var scores: [Recheck.ScoreKey: Double] = [:]
        for candidate in task.candidateIDs {
            for score in try served.history.measurements(of: candidate, on: served.evaluationSet).scores
            where score.scorer == scorer.rawValue && images.contains(score.image) {
                scores[Recheck.ScoreKey(candidate: candidate, image: score.image)] = score.value
            }
        }
        return scores
    }

    private func quarantine(_ worker: Int64, task: Int64, _ largest: Double) throws {
        let reason = "others computed task \(task) and differ by \(String(format: "%.3g", largest))"
        let reopened = try served.reopenTasks(doneBy: worker, reason: reason)
        log("\(name(of: worker)) is quarantined: \(reason); \(reopened.count) tasks are done again")
        for (number, recheck) in rechecks where recheck.original == worker || recheck.dissenter?.worker == worker {
            dispatcher.finish(number)
            rechecks[number] = nil
        }
        for task in reopened { dispatcher.add(task.id, units: task.units) }
        guard let peer = connections[worker]?.peer else { return }
        turnAway(peer, .quarantined, name(of: worker), reason)
        try forget(worker, dispatcher.leave(worker), outcome: .returned)
    }
}
