import Foundation
import Transport

// Leaving on request: finish what fits, hand back the rest.
extension Worker {
    /// A worker that takes no more tasks.
    struct Drain {
        /// When the task at hand is handed back at the latest.
        let deadline: ContinuousClock.Instant
        /// When the worker leaves even without acknowledgements: results are in the spool.
        let end: ContinuousClock.Instant
    }

    /// Seconds to wait for acknowledgements.
    private static let acknowledgementSeconds = 5.0

    /// Begins to drain on SIGTERM and on Slurm's warning (SIGUSR1); on Control-C, or the second time, at once.
    func noteSignals() {
        guard signals.arrivalCount > 0 else { return }
        let isImpatient = signals.hasReceived(SIGINT) || signals.arrivalCount > 1
        if drain == nil {
            let now = ContinuousClock.now
            var grace = options.graceSeconds
            // The warning comes some time before the end, which is known.
            if signals.hasReceived(SIGUSR1), let left = options.walltime?.secondsLeft { grace = max(0, left - 10) }
            if isImpatient { grace = 0 }
            drain = Drain(
                deadline: now + .seconds(grace), end: now + .seconds(grace + Self.acknowledgementSeconds))
            if task != nil, grace > 0 { log("asked to end: finishing the task at hand if it fits in \(Int(grace)) s") }
        } else if isImpatient, let drain, drain.deadline > .now {
            self.drain = Drain(deadline: .now, end: .now + .seconds(Self.acknowledgementSeconds))
        }
    }

    /// Why to say goodbye now; nil if it is not time to.
    func reasonToLeave() -> String? {
        guard let drain else { return nil }
        let now = ContinuousClock.now
        if let task {
            let elapsed = (now - task.startedAt) / .seconds(1)
            let left = secondsLeft(elapsed: elapsed)
            guard now < drain.deadline, left.map({ now + .seconds($0) < drain.deadline }) ?? true else {
                return "asked to end: the task at hand goes back"
            }
            return nil
        }
        guard unacknowledged.isEmpty || now >= drain.end else { return nil }
        return "asked to end: nothing is left to do"
    }

    /// What the task at hand still takes, by its progress; nil before its first image.
    private func secondsLeft(elapsed: Double) -> Double? {
        let progress = engine.progress
        guard progress.done > 0, progress.total > 0 else { return nil }
        return elapsed / Double(progress.done) * Double(progress.total - progress.done)
    }
}
