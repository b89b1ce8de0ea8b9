import Foundation
import GRDB

extension RunHistory {
    /// The tasks that wait for a worker.
    ///
    /// - Parameter runID: The run.
    /// - Returns: In the order in which they were entered.
    /// - Throws: `HistoryError`.
    public func pendingTasks(of runID: Int64) throws -> [TaskRecord] {
        try read { db in
            try Self.tasks(in: db, where: "run_id = ? AND state = 'pending'", arguments: [runID])
        }
    }

    /// One task.
    ///
    /// - Parameter id: The task.
    /// - Returns: The task as it stands.
    /// - Throws: `HistoryError.noSuchRecord`.
    public func task(_ id: Int64) throws -> TaskRecord {
        try read { db in
            guard let task = try Self.tasks(in: db, where: "id = ?", arguments: [id]).first else {
                throw HistoryError.noSuchRecord(kind: "task", identity: String(id))
            }
            return task
        }
    }

    /// Gives a task to a worker; a task that another worker has may be given again (a hedge).
    ///
    /// - Parameters:
    ///   - taskID: The task.
    ///   - workerID: The worker.
    ///   - expiresAt: Unix seconds.
    ///   - instant: Unix seconds.
    /// - Returns: The lease's name.
    /// - Throws: `HistoryError.taskClosed` for a task that is done or failed.
    public func recordLease(
        of taskID: Int64, to workerID: Int64, expiresAt: Double, at instant: Double = now()
    ) throws -> LeaseKey {
        try write { db in
            try Self.requireOpen(taskID, in: db)
            try db.executeCached(
                sql: "UPDATE tasks SET state = 'leased', attempts = attempts + 1 WHERE id = ?", arguments: [taskID])
            try db.executeCached(
                sql: """
                    INSERT INTO leases (task_id, worker_id, epoch, leased_at, expires_at)
                    SELECT id, ?, attempts, ?, ? FROM tasks WHERE id = ?
                    """,
                arguments: [workerID, instant, expiresAt, taskID])
            let epoch = try Int.fetchOne(
                db.cachedStatement(sql: "SELECT attempts FROM tasks WHERE id = ?"), arguments: [taskID])
            return LeaseKey(taskID: taskID, epoch: epoch ?? 0)
        }
    }

    /// Puts off the end of leases whose workers showed a sign of life.
    ///
    /// - Parameters:
    ///   - leases: The leases; one transaction for all.
    ///   - expiresAt: Unix seconds.
    /// - Returns: Those that have ended already: their workers may stop.
    /// - Throws: `HistoryError`.
    public func renewLeases(_ leases: [LeaseKey], expiresAt: Double) throws -> [LeaseKey] {
        guard !leases.isEmpty else { return [] }
        return try write { db in
            let statement = try db.cachedStatement(
                sql: "UPDATE leases SET expires_at = ? WHERE task_id = ? AND epoch = ? AND ended_at IS NULL")
            return try leases.filter { lease in
                try statement.execute(arguments: [expiresAt, lease.taskID, lease.epoch])
                return db.changesCount == 0
            }
        }
    }

    /// Ends a lease that brought no result; the task waits again unless another worker has it.
    ///
    /// A lease that has ended already stays as it is.
    ///
    /// - Parameters:
    ///   - lease: The lease.
    ///   - outcome: How it ended.
    ///   - instant: Unix seconds.
    /// - Returns: Where the task stands now, for the coordinator to decide whether to give it up.
    /// - Throws: `HistoryError.noSuchRecord`.
    public func endLease(
        _ lease: LeaseKey, outcome: LeaseOutcome, at instant: Double = now()
    ) throws -> TaskStanding {
        try write { db in
            try Self.end(lease, outcome: outcome, at: instant, in: db)
            return try Self.standing(of: lease.taskID, in: db)
        }
    }

    /// Ends all leases of a run that have expired; their tasks wait again.
    ///
    /// - Parameters:
    ///   - runID: The run.
    ///   - instant: Unix seconds; leases that expire then or earlier are ended. Infinity ends all.
    ///   - endedAt: Unix seconds to note as their end.
    /// - Returns: The leases ended.
    /// - Throws: `HistoryError`.
    public func expireLeases(
        of runID: Int64, expiringBy instant: Double, at endedAt: Double = now()
    ) throws -> [LeaseRecord] {
        try write { db in
            let expired = try Self.openLeases(of: runID, expiringBy: instant, in: db)
            for lease in expired {
                try Self.end(lease.key, outcome: .expired, at: endedAt, in: db)
            }
            return expired
        }
    }

    /// Gives a task up; leases on it end, and results that still arrive for it are ignored.
    ///
    /// - Parameters:
    ///   - taskID: The task.
    ///   - reason: One line for people.
    ///   - instant: Unix seconds.
    /// - Throws: `HistoryError.taskClosed` for a task that is done or failed.
    public func failTask(_ taskID: Int64, reason: String, at instant: Double = now()) throws {
        try write { db in
            try Self.requireOpen(taskID, in: db)
            try db.executeCached(
                sql: "UPDATE tasks SET state = 'failed', failure = ?, finished_at = ? WHERE id = ?",
                arguments: [reason, instant, taskID])
            try db.executeCached(
                sql: """
                    UPDATE leases SET ended_at = ?, outcome = 'superseded' WHERE task_id = ? AND ended_at IS NULL
                    """,
                arguments: [instant, taskID])
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

    static func openLeases(of runID: Int64, expiringBy instant: Double, in db: Database) throws -> [LeaseRecord] {
        try db.cachedRows(
            sql: """
                SELECT l.* FROM leases l JOIN tasks t ON t.id = l.task_id
                WHERE l.ended_at IS NULL AND l.expires_at <= ? AND t.run_id = ? ORDER BY l.id
                """,
            arguments: [instant, runID]
        ).map {
            LeaseRecord(
                key: LeaseKey(taskID: $0["task_id"], epoch: $0["epoch"]), workerID: $0["worker_id"],
                leasedAt: $0["leased_at"], expiresAt: $0["expires_at"])
        }
    }

    private static func requireOpen(_ taskID: Int64, in db: Database) throws {
        let state = try standing(of: taskID, in: db).state
        guard state == .pending || state == .leased else {
            throw HistoryError.taskClosed(id: taskID, state: state.rawValue)
        }
    }

    private static func standing(of taskID: Int64, in db: Database) throws -> TaskStanding {
        guard
            let row = try Row.fetchOne(
                db.cachedStatement(sql: "SELECT state, attempts, failures FROM tasks WHERE id = ?"), arguments: [taskID]
            ),
            let state = TaskState(rawValue: row["state"])
        else { throw HistoryError.noSuchRecord(kind: "task", identity: String(taskID)) }
        return TaskStanding(state: state, attempts: row["attempts"], failures: row["failures"])
    }

    private static func end(
        _ lease: LeaseKey, outcome: LeaseOutcome, at instant: Double, in db: Database
    ) throws {
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

extension TaskRecord {
    init(_ row: Row, candidateIDs: [Int64]) throws {
        let payload: Data? = row["payload"]
        self.init(
            id: row["id"], runID: row["run_id"], generation: row["generation"], evaluationSet: row["evaluation_set"],
            kind: TaskKind(rawValue: row["kind"]) ?? .evaluate, state: TaskState(rawValue: row["state"]) ?? .failed,
            candidateIDs: candidateIDs, images: try ImageKey.keys(json: row["shard"]),
            payload: payload.map { Array($0) }, attempts: row["attempts"], failures: row["failures"])
    }
}
