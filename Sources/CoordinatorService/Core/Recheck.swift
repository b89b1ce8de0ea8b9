import Basics
import History
import Messages

/// A finished task that other workers recompute, to find workers that compute wrongly.
///
/// A third worker decides between two that disagree. While there is none, each of the two computes the task again:
/// a worker that does not reproduce its own result is faulty.
struct Recheck {
    /// A score of a task.
    struct ScoreKey: Hashable {
        let candidate: Int64
        let image: ImageKey
    }

    typealias Scores = [ScoreKey: Double]

    let task: TaskRecord
    /// The worker whose result was committed.
    let original: Int64
    /// The committed scores.
    let originalScores: Scores
    /// The worker whose recomputed result disagreed.
    var disagreeing: (worker: Int64, scores: Scores)?
    /// Workers that reproduced their own result when asked again.
    var consistent: Set<Int64> = []

    /// Whether a task is in the sample; a function of the task alone, so that a resumed run samples the same ones.
    static func isSampled(_ task: Int64, share: Double) -> Bool {
        var generator = SplitMix64(seed: UInt64(bitPattern: task))
        return generator.unit() < share
    }

    /// The scores of one scorer in a validated result.
    static func scores(of result: History.TaskResult, scorer: ScorerKind) -> Scores {
        let pairs = result.scores.filter { scorer.isNamed($0.scorer) }.map {
            (ScoreKey(candidate: $0.candidateID, image: $0.image), $0.value)
        }
        return Dictionary(pairs) { $1 }
    }

    /// The workers whose results are in question.
    var parties: Set<Int64> { Set([original] + (disagreeing.map { [$0.worker] } ?? [])) }

    /// Whether a result of the worker is in question.
    func involves(_ worker: Int64) -> Bool { parties.contains(worker) }

    /// What follows from another result of a task that two workers disagree on.
    enum Verdict: Equatable {
        /// The worker's result differs by a largest difference: from its own repetition, or from a third worker's.
        case faulty(Int64, difference: Double)
        /// Both results are within the tolerance of a third.
        case withinTolerance
        /// The worker reproduced its own result.
        case consistent
    }

    /// Judges by another result: that of a third worker, or a repetition by one of the two.
    ///
    /// - Returns: Nil unless two workers disagree.
    func verdict(
        on scores: Scores, by worker: Int64, scorer: ScorerKind, arithmetic: Arithmetic
    ) -> Verdict? {
        guard let disagreeing else { return nil }
        let first = Self.compare(originalScores, scores, scorer: scorer, arithmetic: arithmetic)
        let second = Self.compare(disagreeing.scores, scores, scorer: scorer, arithmetic: arithmetic)
        let firstIsFaulty = Verdict.faulty(original, difference: first.largest)
        let secondIsFaulty = Verdict.faulty(disagreeing.worker, difference: second.largest)
        switch worker {
        case original: return first.agrees ? .consistent : firstIsFaulty
        case disagreeing.worker: return second.agrees ? .consistent : secondIsFaulty
        default:
            if first.agrees, second.agrees { return .withinTolerance }
            // A committed result that neither of two others confirms does not stay.
            return first.agrees ? secondIsFaulty : firstIsFaulty
        }
    }

    /// Compares two results of a task.
    ///
    /// - Parameters:
    ///   - a: A result.
    ///   - b: Another one.
    ///   - scorer: The scorer of both.
    ///   - arithmetic: What both workers compute with.
    /// - Returns: Whether enough of the scores are within the tolerance, and the largest difference.
    static func compare(
        _ a: Scores, _ b: Scores, scorer: ScorerKind, arithmetic: Arithmetic
    ) -> (agrees: Bool, largest: Double) {
        var (agreeing, largest) = (0, 0.0)
        for (key, value) in a {
            guard let other = b[key] else { continue }
            largest = max(largest, abs(value - other))
            if abs(value - other) <= scorer.tolerance(value) { agreeing += 1 }
        }
        let required = arithmetic.agreeingShare * Double(max(a.count, b.count))
        return (a.count == b.count && Double(agreeing) >= required, largest)
    }
}

/// Compares a worker's arithmetic with that of the run's first worker, by its numbers for a small fixed task.
enum CanaryCheck {
    /// The relative root mean square difference of two canaries; infinite if they cannot be compared.
    static func difference(_ canary: [Float], from reference: [Float]) -> Double {
        guard canary.count == reference.count, !reference.isEmpty, canary.allSatisfy(\.isFinite) else {
            return .infinity
        }
        let squares = zip(canary, reference).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
        let size = reference.reduce(0.0) { $0 + Double($1) * Double($1) }
        return size > 0 ? (squares / size).squareRoot() : .infinity
    }
}
