import Foundation
import GRDB

/// A task computed a second time by another worker.
public struct RecheckRecord: Sendable {
    /// The task.
    public var taskID: Int64
    /// Who computed it once more.
    public var workerID: Int64
    /// Whose result was taken.
    public var checkedWorkerID: Int64
    /// True if the two agree within the tolerance.
    public var agrees: Bool
    /// The largest difference of two scores.
    public var largestDifference: Double

    /// A recheck's outcome.
    ///
    /// - Parameters:
    ///   - taskID: The task.
    ///   - workerID: Who computed it once more.
    ///   - checkedWorkerID: Whose result was taken.
    ///   - agrees: True if the two agree within the tolerance.
    ///   - largestDifference: The largest difference of two scores.
    public init(taskID: Int64, workerID: Int64, checkedWorkerID: Int64, agrees: Bool, largestDifference: Double) {
        self.taskID = taskID
        self.workerID = workerID
        self.checkedWorkerID = checkedWorkerID
        self.agrees = agrees
        self.largestDifference = largestDifference
    }
}

extension RunHistory {
    /// Adds to the numbers of peers and messages that were turned away.
    ///
    /// - Parameters:
    ///   - counts: By reason, one of a few fixed words.
    ///   - runID: The run.
    ///   - instant: Unix seconds.
    /// - Throws: `HistoryError`.
    public func countRefusals(_ counts: [String: Int], of runID: Int64, at instant: Double = now()) throws {
        guard !counts.isEmpty else { return }
        try write { db in
            for (reason, count) in counts.sorted(by: { $0.key < $1.key }) {
                try db.executeCached(
                    sql: """
                        INSERT INTO refusals (run_id, reason, count, first_at, last_at) VALUES (?, ?, ?, ?, ?)
                        ON CONFLICT (run_id, reason) DO UPDATE SET count = count + excluded.count,
                            last_at = excluded.last_at
                        """, arguments: [runID, reason, count, instant, instant])
            }
        }
    }

    /// How often peers and messages were turned away.
    ///
    /// - Parameter runID: The run.
    /// - Returns: Numbers by reason.
    /// - Throws: `HistoryError`.
    public func refusals(of runID: Int64) throws -> [String: Int] {
        try read { db in
            let rows = try db.cachedRows(sql: "SELECT reason, count FROM refusals WHERE run_id = ?", arguments: [runID])
            return Dictionary(uniqueKeysWithValues: rows.map { ($0["reason"], $0["count"]) })
        }
    }

    /// The canary that workers of a run must match; nil until the first is accepted.
    ///
    /// - Parameter runID: The run.
    /// - Returns: The numbers.
    /// - Throws: `HistoryError`.
    public func canary(of runID: Int64) throws -> [Float]? {
        try read { db in
            let data = try Data.fetchOne(
                db.cachedStatement(sql: "SELECT canary FROM runs WHERE id = ?"), arguments: [runID])
            guard let data else { return nil }
            let bytes = Array(data)
            return stride(from: 0, to: bytes.count - bytes.count % 4, by: 4).map { start in
                Float(bitPattern: (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[start + $1]) << UInt32(8 * $1) })
            }
        }
    }

    /// Keeps the first accepted canary of a run.
    ///
    /// - Parameters:
    ///   - canary: The numbers.
    ///   - runID: The run.
    /// - Throws: `HistoryError`.
    public func setCanary(_ canary: [Float], of runID: Int64) throws {
        let bytes = canary.flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) } }
        try write { db in
            try db.executeCached(sql: "UPDATE runs SET canary = ? WHERE id = ?", arguments: [Data(bytes), runID])
        }
    }

    /// Notes the outcome of a recheck.
    ///
    /// - Parameters:
    ///   - recheck: The outcome.
    ///   - instant: Unix seconds.
    /// - Throws: `HistoryError`.
    public func recordRecheck(_ recheck: RecheckRecord, at instant: Double = now()) throws {
        try write { db in
            try db.executeCached(
                sql: """
                    INSERT OR REPLACE INTO rechecks (task_id, worker_id, checked_worker_id, agrees, largest_difference, at)
                    VALUES (?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    recheck.taskID, recheck.workerID, recheck.checkedWorkerID, recheck.agrees,
                    recheck.largestDifference, instant,
                ])
        }
    }

    /// Takes a worker's results out of the history and trusts it no more.
    ///
    /// What it did for candidates whose evaluation is finished stays: the search has drawn its conclusions from it.
    ///
    /// - Parameters:
    ///   - workerID: The worker.
    ///   - reason: One line for people.
    ///   - runID: The run.
    ///   - evaluationSet: The prompt set that is being measured: tasks on others stay as they are.
    ///   - instant: Unix seconds.
    /// - Returns: Its tasks, which wait again, and how many candidates stay as evaluated that it had a part in.
    /// - Throws: `HistoryError`.
    public func quarantine(
        _ workerID: Int64, reason: String, run runID: Int64, on evaluationSet: String = calibration,
        at instant: Double = now()
    ) throws -> (tasks: [TaskRecord], keptCandidates: Int) {
        try write { db in
            try db.executeCached(
                sql: "UPDATE workers SET quarantined_at = ?, quarantine_reason = ? WHERE id = ?",
                arguments: [instant, reason, workerID])
            let ids = try Int64.fetchAll(
                db,
                sql: """
                    SELECT id FROM tasks WHERE run_id = ? AND evaluation_set = ? AND worker_id = ? AND state = 'done'
                        AND NOT EXISTS (
                            SELECT 1 FROM task_candidates c JOIN evaluations e ON e.candidate_id = c.candidate_id
                            WHERE c.task_id = tasks.id AND e.evaluation_set = tasks.evaluation_set)
                    """, arguments: [runID, evaluationSet, workerID])
            for id in ids {
                try db.executeCached(
                    sql: """
                        DELETE FROM image_scores WHERE (candidate_id, prompt_id, seed) IN
                            (SELECT candidate_id, prompt_id, seed FROM image_timings WHERE task_id = ?)
                        """, arguments: [id])
                try db.executeCached(sql: "DELETE FROM image_timings WHERE task_id = ?", arguments: [id])
                try db.executeCached(
                    sql: """
                        UPDATE tasks SET state = 'pending', worker_id = NULL, seconds = NULL, finished_at = NULL
                        WHERE id = ?
                        """, arguments: [id])
            }
            let kept = try Int.fetchOne(
                db,
                sql: """
                    SELECT count(DISTINCT c.candidate_id) FROM tasks t JOIN task_candidates c ON c.task_id = t.id
                    WHERE t.run_id = ? AND t.evaluation_set = ? AND t.worker_id = ? AND t.state = 'done'
                    """, arguments: [runID, evaluationSet, workerID])
            return (try ids.flatMap { try Self.tasks(in: db, where: "id = ?", arguments: [$0]) }, kept ?? 0)
        }
    }

    /// Why a worker's results are not taken; nil while they are.
    ///
    /// - Parameter workerID: The worker.
    /// - Returns: One line.
    /// - Throws: `HistoryError`.
    public func quarantineReason(of workerID: Int64) throws -> String? {
        try read { db in
            try String.fetchOne(
                db.cachedStatement(sql: "SELECT quarantine_reason FROM workers WHERE id = ?"), arguments: [workerID])
        }
    }

    // MARK: - Leases and failures

    /// Whether a lease was given to a worker, in this coordinator's life or an earlier one.
    ///
    /// - Parameters:
    ///   - lease: The lease.
    ///   - workerID: The worker.
    /// - Returns: True if the history holds it.
    /// - Throws: `HistoryError`.
    public func isLease(_ lease: LeaseKey, of workerID: Int64) throws -> Bool {
        try read { db in
            try Bool.fetchOne(
                db.cachedStatement(sql: "SELECT 1 FROM leases WHERE task_id = ? AND epoch = ? AND worker_id = ?"),
                arguments: [lease.taskID, lease.epoch, workerID]) ?? false
        }
    }

    /// The workers that failed at open tasks.
    ///
    /// - Parameter runID: The run.
    /// - Returns: For every open task that failed, who failed at it.
    /// - Throws: `HistoryError`.
    public func failedWorkers(of runID: Int64) throws -> [Int64: Set<Int64>] {
        try read { db in
            let rows = try db.cachedRows(
                sql: """
                    SELECT l.task_id, l.worker_id FROM leases l JOIN tasks t ON t.id = l.task_id
                    WHERE t.run_id = ? AND t.state IN ('pending', 'leased') AND l.outcome = 'failed'
                    """, arguments: [runID])
            return Dictionary(grouping: rows) { $0["task_id"] as Int64 }.mapValues { rows in
                Set(rows.map { $0["worker_id"] as Int64 })
            }
        }
    }

    /// Replaces a task of several candidates by one for each, so that one bad candidate does not take the others along.
    ///
    /// - Parameters:
    ///   - taskID: An open task.
    ///   - reason: Why.
    ///   - instant: Unix seconds.
    /// - Returns: The new tasks, on the same images.
    /// - Throws: `HistoryError.taskClosed`, `.noSuchRecord`.
    public func splitTask(_ taskID: Int64, reason: String, at instant: Double = now()) throws -> [TaskRecord] {
        let task = try task(taskID)
        try failTask(taskID, reason: "split: \(reason)", at: instant)
        return try write { db in
            try task.candidateIDs.flatMap { candidate in
                let id = try Self.enter(
                    NewTask(kind: task.kind, candidates: [0], images: task.images, payload: task.payload),
                    candidateIDs: [candidate], generation: task.generation, evaluationSet: task.evaluationSet,
                    run: task.runID, at: instant, in: db)
                return try Self.tasks(in: db, where: "id = ?", arguments: [id])
            }
        }
    }

    /// Counts the end of a lease as the task's failure after all: its worker's process died of the task.
    ///
    /// - Parameter lease: A lease that ended without a result.
    /// - Returns: False if the lease brought a result or has been counted already.
    /// - Throws: `HistoryError`.
    public func chargeLease(_ lease: LeaseKey) throws -> Bool {
        try write { db in
            try db.executeCached(
                sql: """
                    UPDATE leases SET outcome = 'failed'
                    WHERE task_id = ? AND epoch = ? AND outcome IN ('lost', 'returned', 'expired')
                    """, arguments: [lease.taskID, lease.epoch])
            guard db.changesCount > 0 else { return false }
            try db.executeCached(
                sql: "UPDATE tasks SET failures = failures + 1 WHERE id = ?", arguments: [lease.taskID])
            return true
        }
    }
}
