import Basics
import GRDB

/// A worker's description of itself.
public struct WorkerDescription: Hashable, Sendable {
    /// Identity: the same name is the same worker.
    public var name: String
    /// Host name.
    public var host: String
    /// Processor model.
    public var cpu: String
    /// BLAS library, version and kernel.
    public var blas: String
    /// Number of compute threads, at least 1.
    public var threads: Int
    /// Release of the worker program.
    public var engineVersion: String
    /// `native` or `torch`.
    public var engine: String
    /// Class of devices on which equal work takes equal time.
    public var deviceClass: String

    /// A description; `threads` is at least 1, and a `deviceClass` of nil is that of processor, BLAS and threads.
    public init(
        name: String, host: String, cpu: String, blas: String, threads: Int, engineVersion: String,
        engine: String = "native", deviceClass: String? = nil
    ) {
        self.name = name
        self.host = host
        self.cpu = cpu
        self.blas = blas
        self.threads = threads
        self.engineVersion = engineVersion
        self.engine = engine
        self.deviceClass = deviceClass ?? "\(cpu), \(blas), \(threads.counted("thread"))"
    }
}

/// Workers, their connected time and their quarantine.
public struct WorkerStore: Sendable {
    let history: RunHistory

    /// Inserts a worker or updates its description and returns its row id, which is the same for the same name.
    public func upsert(_ worker: WorkerDescription, at instant: Double = RunHistory.now()) throws -> Int64 {
        try history.write { db in
            try db.executeCached(
                sql: """
                    INSERT INTO workers (name, host, cpu, blas, threads, engine_version, engine, device_class,
                        first_seen, last_seen)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                    ON CONFLICT (name) DO UPDATE SET host = excluded.host, cpu = excluded.cpu, blas = excluded.blas,
                        threads = excluded.threads, engine_version = excluded.engine_version, engine = excluded.engine,
                        device_class = excluded.device_class, last_seen = excluded.last_seen
                    """,
                arguments: [
                    worker.name, worker.host, worker.cpu, worker.blas, worker.threads, worker.engineVersion,
                    worker.engine, worker.deviceClass, instant, instant,
                ])
            let id = try Int64.fetchOne(
                db.cachedStatement(sql: "SELECT id FROM workers WHERE name = ?"), arguments: [worker.name])
            guard let id else { throw HistoryError.noSuchRecord(kind: "worker", identity: worker.name) }
            return id
        }
    }

    /// Adds to a worker's connected time and updates when it was last seen; throws `HistoryError.noSuchRecord`.
    public func addConnectedSeconds(
        _ seconds: Double, to workerID: Int64, at instant: Double = RunHistory.now()
    ) throws {
        try history.write { db in
            try db.executeCached(
                sql: "UPDATE workers SET connected_seconds = connected_seconds + ?, last_seen = ? WHERE id = ?",
                arguments: [seconds, instant, workerID])
            try db.requireChange("worker", workerID)
        }
    }

    /// A worker's device class, if the run's latencies are of another one: that of its cost table, or else of the first
    /// other worker that measured a calibration image.
    public func otherDeviceClass(than workerID: Int64, in runID: Int64) throws -> (own: String, other: String)? {
        try history.read { db in
            let row = try Row.fetchOne(
                db,
                sql: """
                    SELECT w.device_class AS own, o.device_class AS other
                    FROM workers w JOIN workers o ON o.id = coalesce(
                        (SELECT worker_id FROM cost_tables WHERE run_id = :run AND is_objective = 1),
                        (SELECT worker_id FROM tasks WHERE run_id = :run AND state = 'done' AND kind = 'evaluate'
                            AND evaluation_set = 'calibration' AND worker_id <> :worker ORDER BY id LIMIT 1))
                    WHERE w.id = :worker AND \(Self.comparable("w.device_class")) <> \(Self.comparable("o.device_class"))
                    """, arguments: ["run": runID, "worker": workerID])
            return row.map { ($0["own"], $0["other"]) }
        }
    }

    /// An SQL expression that is equal for equal device classes: earlier releases wrote "1 threads", and a worker's row
    /// keeps that until the worker registers again.
    private static func comparable(_ column: String) -> String {
        "replace(\(column) || ';', ', 1 threads;', ', 1 thread;')"
    }

    // MARK: - Quarantine

    /// Marks a worker as not trusted and removes its results on one evaluation set.
    ///
    /// Results for candidates that already have an evaluation are kept, because the search has used them. Returns the
    /// tasks that are pending again, and the number of evaluated candidates that contain the worker's results.
    public func quarantine(
        _ workerID: Int64, reason: String, run runID: Int64, on evaluationSet: String = RunHistory.calibration,
        at instant: Double = RunHistory.now()
    ) throws -> (tasks: [TaskRecord], keptCandidates: Int) {
        try history.write { db in
            try db.executeCached(
                sql: "UPDATE workers SET quarantined_at = ?, quarantine_reason = ? WHERE id = ?",
                arguments: [instant, reason, workerID])
            let ids = try Int64.fetchAll(
                db,
                sql: """
                    SELECT id FROM tasks WHERE run_id = ? AND evaluation_set = ? AND worker_id = ? AND state = 'done'
                        AND \(TaskStore.hasNoEvaluation)
                    """,
                arguments: [runID, evaluationSet, workerID])
            for id in ids {
                try db.executeCached(
                    sql: """
                        DELETE FROM image_scores WHERE (candidate_id, prompt_id, seed) IN
                            (SELECT candidate_id, prompt_id, seed FROM image_timings WHERE task_id = ?)
                        """,
                    arguments: [id])
                try db.executeCached(sql: "DELETE FROM image_timings WHERE task_id = ?", arguments: [id])
                try db.executeCached(
                    sql: """
                        UPDATE tasks SET state = 'pending', worker_id = NULL, seconds = NULL, finished_at = NULL
                        WHERE id = ?
                        """,
                    arguments: [id])
            }
            let kept = try Int.fetchOne(
                db,
                sql: """
                    SELECT count(DISTINCT c.candidate_id) FROM tasks t JOIN task_candidates c ON c.task_id = t.id
                    WHERE t.run_id = ? AND t.evaluation_set = ? AND t.worker_id = ? AND t.state = 'done'
                    """,
                arguments: [runID, evaluationSet, workerID])
            let tasks = try ids.map { try TaskStore.task($0, in: db) }
            try ResultStore.updateStatistics(of: tasks.flatMap(\.candidateIDs), in: db)
            return (tasks, kept ?? 0)
        }
    }

    /// Why a worker is in quarantine; nil if it is not.
    public func quarantineReason(of workerID: Int64) throws -> String? {
        try history.read { db in
            try String.fetchOne(
                db.cachedStatement(sql: "SELECT quarantine_reason FROM workers WHERE id = ?"), arguments: [workerID])
        }
    }

    /// The same for a worker's name; nil for a name that has never registered.
    public func quarantineReason(ofName name: String) throws -> String? {
        try history.read { db in
            try String.fetchOne(
                db.cachedStatement(sql: "SELECT quarantine_reason FROM workers WHERE name = ?"), arguments: [name])
        }
    }
}
