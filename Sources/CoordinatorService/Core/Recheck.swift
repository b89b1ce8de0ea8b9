import Basics
import Foundation
import History
import Messages
import Schedules

/// A finished task computed once more by another worker.
struct Recheck {
    /// The task.
    let task: TaskRecord
    /// Whose result was taken.
    let original: Int64
    /// A second worker whose result differed.
    var dissenter: (worker: Int64, scores: [ScoreKey: Double])?
    /// Those of the two that have computed the task once more and came to the same again.
    var steadfast: Set<Int64> = []

    /// Names a score of the task.
    struct ScoreKey: Hashable {
        let candidate: Int64
        let image: ImageKey
    }

    /// The number that the task travels under the second time: no task of the history has it.
    static func number(of task: Int64) -> Int64 { -task - 1 }

    /// Whether a task is in the sample; the same after a restart.
    static func isSampled(_ task: Int64, share: Double) -> Bool {
        var generator = SplitMix64(seed: UInt64(bitPattern: task))
        return generator.unit() < share
    }

    /// The scores of a result that was checked for completeness.
    static func scores(of result: History.TaskResult, scorer: ScorerKind) -> [ScoreKey: Double] {
        let pairs = result.scores.filter { $0.scorer == scorer.rawValue }.map {
            (ScoreKey(candidate: $0.candidateID, image: $0.image), $0.value)
        }
        return Dictionary(pairs) { $1 }
    }

    /// Whether a worker's result is one of those in question.
    func involves(_ worker: Int64) -> Bool { original == worker || dissenter?.worker == worker }

    /// What follows from one more result of a task that two workers disagree on.
    enum Verdict: Equatable {
        /// This worker computes wrongly.
        case guilty(Int64)
        /// Both results are within the tolerance of the third.
        case close
        /// The worker says the same as before: it is for others to tell.
        case steadfast
    }

    /// Judges by a result: a third worker's, or one of the two's own once more.
    ///
    /// - Parameters:
    ///   - scores: The result.
    ///   - worker: Whose it is.
    ///   - taken: The original's scores, in the history.
    ///   - scorer: The scorer of all.
    /// - Returns: Nil while nobody disagrees.
    func verdict(
        on scores: [ScoreKey: Double], by worker: Int64, taken: [ScoreKey: Double], scorer: ScorerKind
    ) -> Verdict? {
        guard let dissenter else { return nil }
        let isLikeOriginal = Self.compare(taken, scores, scorer: scorer).agrees
        let isLikeDissenter = Self.compare(dissenter.scores, scores, scorer: scorer).agrees
        switch worker {
        case original: return isLikeOriginal ? .steadfast : .guilty(original)
        case dissenter.worker: return isLikeDissenter ? .steadfast : .guilty(dissenter.worker)
        default:
            if isLikeOriginal, isLikeDissenter { return .close }
            // Two against one; a result that neither of two others confirms does not stay.
            return .guilty(isLikeOriginal ? dissenter.worker : original)
        }
    }

    /// Compares two results of the task.
    ///
    /// - Parameters:
    ///   - a: One result.
    ///   - b: Another.
    ///   - scorer: The scorer of both.
    /// - Returns: Whether all scores agree, and the largest difference.
    static func compare(
        _ a: [ScoreKey: Double], _ b: [ScoreKey: Double], scorer: ScorerKind
    ) -> (agrees: Bool, largest: Double) {
        var agrees = a.count == b.count
        var largest = 0.0
        for (key, value) in a {
            guard let other = b[key] else {
                agrees = false
                continue
            }
            largest = max(largest, abs(value - other))
            if abs(value - other) > scorer.tolerance(value) { agrees = false }
        }
        return (agrees, largest)
    }
}
