import Foundation
import GRDB

/// Tasks and their leases.
public struct TaskStore: Sendable {
    let history: RunHistory

    // MARK: - Reading

    /// One task; throws `HistoryError.noSuchRecord`.
    public func task(_ id: Int64) throws -> TaskRecord {
        try history.read { db in try Self.task(id, in: db) }
    }

    /// The pending and leased tasks of a run on one evaluation set, ordered by row id.
    public func open(of runID: Int64, on evaluationSet: String) throws -> [TaskRecord] {
        try history.read { db in
            try Self.tasks(
                in: db, where: "run_id = ? AND evaluation_set = ? AND state IN ('pending', 'leased')",
                arguments: [runID, evaluationSet])
        }
    }

    /// All leases, active and ended, of the run's pending and leased tasks, ordered by row id.
    public func leases(ofOpenTasksIn runID: Int64) throws -> [LeaseRecord] {
        try history.read { db in
            try db.cachedRows(
                sql: """
                    SELECT l.* FROM leases l JOIN tasks t ON t.id = l.task_id
                    WHERE t.run_id = ? AND t.state IN ('pending', 'leased') ORDER BY l.id
                    """,
                arguments: [runID]
            ).map { try LeaseRecord($0) }
        }
    }

    // MARK: - Leases

    /// Records that a task is leased to a worker; a leased task may be leased again to another one.
    ///
    /// `epoch` increases from lease to lease of a task, from 1, possibly with gaps. Throws `HistoryError.taskClosed` for a
    /// done or failed task and `.epochReused` if an earlier lease has the same or a higher epoch.
    public func recordLease(
        of taskID: Int64, to workerID: Int64, epoch: Int, expiresAt: Double, at instant: Double = RunHistory.now()
    ) throws {
        try history.write { db in
            try db.executeCached(
                sql: """
                    UPDATE tasks SET state = 'leased', attempts = ?
                    WHERE id = ? AND attempts < ? AND state IN ('pending', 'leased')
                    """,
                arguments: [epoch, taskID, epoch])
            guard db.changesCount > 0 else {
                let task = try Self.openTask(taskID, in: db)
                throw HistoryError.epochReused(taskID: taskID, epoch: epoch, latest: task.attempts)
            }
            try db.executeCached(
                sql: "INSERT INTO leases (task_id, worker_id, epoch, leased_at, expires_at) VALUES (?, ?, ?, ?, ?)",
                arguments: [taskID, workerID, epoch, instant, expiresAt])
        }
    }

    /// Ends a lease without a result; the task becomes pending unless another lease on it is active.
    ///
    /// A lease that has already ended is unchanged.
    public func endLease(_ key: LeaseKey, outcome: LeaseOutcome, at instant: Double = RunHistory.now()) throws {
        try history.write { db in try Self.end(key, outcome: outcome, at: instant, in: db) }
    }

    /// Ends all active leases of a run that expire at or before an instant, and returns them.
    ///
    /// An `expiry` of infinity ends all; `instant` is stored as their end.
    public func expireLeases(
        of runID: Int64, expiringBy expiry: Double, at instant: Double = RunHistory.now()
    ) throws -> [LeaseRecord] {
        try history.write { db in
            let expired = try Self.activeLeases(of: runID, expiringBy: expiry, in: db)
            for lease in expired { try Self.end(lease.key, outcome: .expired, at: instant, in: db) }
            return expired
        }
    }

    /// Counts a lease that ended as lost, returned or expired as a failure of its task: the worker's process crashed.
    ///
    /// Returns false, and changes nothing, for all other leases.
    @discardableResult
    public func recordCrash(_ lease: LeaseKey) throws -> Bool {
        try history.write { db in
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

    // MARK: - Failures

    /// Gives up a task: its leases end, and later results are ignored.
    ///
    /// `reason` is one line. Throws `HistoryError.taskClosed` for a done or failed task.
    public func fail(_ taskID: Int64, reason: String, at instant: Double = RunHistory.now()) throws {
        try history.write { db in
            _ = try Self.openTask(taskID, in: db)
            try Self.fail(taskID, reason: reason, at: instant, in: db)
        }
    }

    /// Replaces an open task by one task per candidate on the same images, so that candidates fail separately.
    ///
    /// Returns the new tasks. Throws `HistoryError.taskClosed` or `.noSuchRecord`.
    public func split(
        _ taskID: Int64, reason: String, at instant: Double = RunHistory.now()
    ) throws -> [TaskRecord] {
        try history.write { db in
            let task = try Self.openTask(taskID, in: db)
            try Self.fail(taskID, reason: "split: \(reason)", at: instant, in: db)
            return try task.candidateIDs.map { candidate in
                let id = try Self.insert(
                    NewTask(kind: task.kind, candidates: [0], images: task.images),
                    candidateIDs: [candidate], generation: task.generation, evaluationSet: task.evaluationSet,
                    run: task.runID, at: instant, in: db)
                return try Self.task(id, in: db)
            }
        }
    }

    // MARK: - Rows

    static func tasks(in db: Database, where condition: String, arguments: StatementArguments) throws -> [TaskRecord] {
        let links = try db.cachedRows(
            sql: """
                SELECT task_id, candidate_id FROM task_candidates
                WHERE task_id IN (SELECT id FROM tasks WHERE \(condition)) ORDER BY candidate_id
                """,
            arguments: arguments)
        let candidates = Dictionary(grouping: links) { $0["task_id"] as Int64 }
        return try db.cachedRows(sql: "SELECT * FROM tasks WHERE \(condition) ORDER BY id", arguments: arguments).map {
            try TaskRecord($0, candidateIDs: candidates[$0["id"], default: []].map { $0["candidate_id"] })
        }
    }

    /// Condition on `tasks`: no candidate of the task has an evaluation on the task's evaluation set.
    static let hasNoEvaluation = """
        NOT EXISTS (
            SELECT 1 FROM task_candidates c JOIN evaluations e ON e.candidate_id = c.candidate_id
            WHERE c.task_id = tasks.id AND e.evaluation_set = tasks.evaluation_set)
        """

    static func task(_ id: Int64, in db: Database) throws -> TaskRecord {
        guard let task = try tasks(in: db, where: "id = ?", arguments: [id]).first else {
            throw HistoryError.noSuchRecord(kind: "task", identity: String(id))
        }
        return task
    }

    private static func openTask(_ id: Int64, in db: Database) throws -> TaskRecord {
        let task = try task(id, in: db)
        guard task.state == .pending || task.state == .leased else {
            throw HistoryError.taskClosed(id: id, state: task.state.rawValue)
        }
        return task
    }

    static func activeLeases(of runID: Int64, expiringBy instant: Double, in db: Database) throws -> [LeaseRecord] {
        try db.cachedRows(
            sql: """
                SELECT l.* FROM leases l JOIN tasks t ON t.id = l.task_id
                WHERE l.ended_at IS NULL AND l.expires_at <= ? AND t.run_id = ? ORDER BY l.id
                """,
            arguments: [instant, runID]
        ).map { try LeaseRecord($0) }
    }

    static func insert(
        _ task: NewTask, candidateIDs: [Int64], generation: Int?, evaluationSet: String, run: Int64, at instant: Double,
        in db: Database
    ) throws -> Int64 {
        try db.executeCached(
            sql: """
                INSERT INTO tasks (run_id, generation, evaluation_set, kind, shard, images, created_at)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                run, generation, evaluationSet, task.kind.rawValue, ImageKey.encode(task.images),
                task.candidates.count * task.images.count, instant,
            ])
        let taskID = db.lastInsertedRowID
        let link = try db.cachedStatement(sql: "INSERT INTO task_candidates (task_id, candidate_id) VALUES (?, ?)")
        for index in task.candidates {
            precondition(
                candidateIDs.indices.contains(index), "task names candidate \(index) of \(candidateIDs.count)")
            try link.execute(arguments: [taskID, candidateIDs[index]])
        }
        return taskID
    }

    private static func fail(_ taskID: Int64, reason: String, at instant: Double, in db: Database) throws {
        try db.executeCached(
            sql: "UPDATE tasks SET state = 'failed', failure = ?, finished_at = ? WHERE id = ?",
            arguments: [reason, instant, taskID])
        try db.executeCached(
            sql: "UPDATE leases SET ended_at = ?, outcome = 'superseded' WHERE task_id = ? AND ended_at IS NULL",
            arguments: [instant, taskID])
    }

    private static func end(_ lease: LeaseKey, outcome: LeaseOutcome, at instant: Double, in db: Database) throws {
        try db.executeCached(
            sql: "UPDATE leases SET ended_at = ?, outcome = ? WHERE task_id = ? AND epoch = ? AND ended_at IS NULL",
            arguments: [instant, outcome.rawValue, lease.taskID, lease.epoch])
        guard db.changesCount > 0 else { return }
        if outcome == .failed {
            try db.executeCached(
                sql: "UPDATE tasks SET failures = failures + 1 WHERE id = ?", arguments: [lease.taskID])
            try db.executeCached(
                sql: """
                    UPDATE workers SET failures = failures + 1
                    WHERE id = (SELECT worker_id FROM leases WHERE task_id = ? AND epoch = ?)
                    """,
                arguments: [lease.taskID, lease.epoch])
        }
        try db.executeCached(
            sql: """
                UPDATE tasks SET state = 'pending' WHERE id = ? AND state = 'leased'
                    AND NOT EXISTS (SELECT 1 FROM leases WHERE task_id = tasks.id AND ended_at IS NULL)
                """,
            arguments: [lease.taskID])
    }
}
