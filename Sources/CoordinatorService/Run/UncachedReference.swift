import Basics
import Evolution
import History
import Schedules

// The uncached schedule's own scores, without which those that do not compare with the uncached image show no loss.
extension Calibration {
    /// Inserts the uncached schedule with its tasks on the calibration prompts, unless it is in the history.
    ///
    /// It is a benchmarked schedule, not a candidate: the search, the front and the budget are the same with and without
    /// it. A run whose scorers all compare with the uncached image needs none, nor does one whose seeds include it.
    ///
    /// - Parameters:
    ///   - offspring: Candidates that are inserted next.
    ///   - size: How many schedules a task evaluates.
    /// - Returns: The tasks.
    /// - Throws: `HistoryError`.
    func insertUncachedReference(before offspring: [Offspring], size: TaskSize) throws -> [TaskRecord] {
        guard configuration.scorers.contains(where: { $0.model != nil }) else { return [] }
        let uncached = Schedule(shape: context.shape)
        guard !isCandidate(uncached.genome), !offspring.contains(where: { $0.genome == uncached.genome }) else {
            return []
        }
        let reference = NewCandidate(
            genome: uncached.genome.bytes, genomeSHA256: uncached.genome.sha256,
            canonicalHash: uncached.genome.canonical(for: context.shape).sha256,
            origin: Heuristic.uncached.description, macs: Int64(context.uncachedMACs))
        let inserted = try history.benchmarks.beginUncached(
            of: runID, candidate: reference,
            tasks: context.tasks(for: [0], of: [reference], images: context.images, size: size))
        guard let inserted else { return [] }
        openReference = inserted.candidateIDs.first
        return try inserted.taskIDs.map(history.tasks.task)
    }

    /// How many of the candidates that wait for a result are the search's.
    func openCount(of open: Set<Int64>) -> Int { open.count { $0 != openReference } }

    /// Stores the totals of the uncached schedule once its tasks are closed; without a complete result it has none.
    ///
    /// - Throws: `HistoryError`.
    func settleUncachedReference(_ work: OpenWork) throws {
        guard let reference = openReference, canSettle, !work.candidates.contains(reference) else { return }
        if let totals = try totals(of: history.search.candidate(reference)) {
            try history.search.recordEvaluations([(reference, totals)])
        }
        openReference = nil
    }
}
