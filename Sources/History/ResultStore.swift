import Foundation
import GRDB

/// Results of tasks: scores and timings of images, thumbnails, and comparisons with recomputed results.
public struct ResultStore: Sendable {
    let history: RunHistory

    // MARK: - Results

    /// Stores a worker's result once: inserts its scores and timings, marks the task done and ends its leases.
    ///
    /// The result may be acknowledged once the surrounding transaction is committed. A result whose lease has expired
    /// is accepted; a second result of a task changes nothing. A result may lack images of its task: the caller decides whether to accept that.
    /// Throws `HistoryError.resultOutsideTask` for candidates or images that are not the task's, `.refused` for values
    /// that are not finite and `.noSuchRecord` for an unknown task or worker.
    public func commit(_ result: TaskResult, at instant: Double = RunHistory.now()) throws -> CommitOutcome {
        try history.write { db in
            let task = try TaskStore.task(result.taskID, in: db)
            switch task.state {
            case .done: return .alreadyDone
            case .failed: return .taskFailed
            case .pending, .leased: break
            }
            try Self.verify(result, belongsTo: task)
            let promptIDs = try RunStore.promptIDs(of: task.evaluationSet, run: task.runID, in: db)
            try Self.insert(result.scores, promptIDs: promptIDs, in: db)
            try Self.insert(result.timings, promptIDs: promptIDs, of: result, in: db)
            try Self.updateStatistics(of: task.candidateIDs, in: db)
            for thumbnail in result.thumbnails { try Self.insert(thumbnail, promptIDs: promptIDs, in: db) }
            try Self.closeTask(of: result, at: instant, in: db)
            return .committed
        }
    }

    /// The scores and timings of a candidate on an evaluation set.
    ///
    /// Their order is independent of the order of arrival, so that sums are reproducible to the last bit.
    public func measurements(
        of candidateID: Int64, on evaluationSet: String = RunHistory.calibration
    ) throws -> CandidateMeasurements {
        try history.read { db in
            let scores = try db.cachedRows(
                sql: """
                    SELECT s.*, p.prompt_index FROM image_scores s JOIN prompts p ON p.id = s.prompt_id
                    WHERE s.candidate_id = ? AND p.evaluation_set = ? ORDER BY s.scorer, p.prompt_index, s.seed
                    """,
                arguments: [candidateID, evaluationSet])
            let timings = try db.cachedRows(
                sql: """
                    SELECT t.*, p.prompt_index FROM image_timings t JOIN prompts p ON p.id = t.prompt_id
                    WHERE t.candidate_id = ? AND p.evaluation_set = ? ORDER BY p.prompt_index, t.seed, t.task_id
                    """,
                arguments: [candidateID, evaluationSet])
            return CandidateMeasurements(
                scores: scores.map {
                    ImageScore(
                        candidateID: candidateID, image: ImageKey(prompt: $0["prompt_index"], seed: $0["seed"]),
                        scorer: $0["scorer"], value: $0["value"])
                },
                timings: timings.map {
                    ImageTiming(
                        candidateID: candidateID, image: ImageKey(prompt: $0["prompt_index"], seed: $0["seed"]),
                        denoiseSeconds: $0["denoise_seconds"], referenceSeconds: $0["reference_seconds"],
                        decodeSeconds: $0["decode_seconds"])
                })
        }
    }

    /// The mean scores by prompt of the evaluated candidates of a run's search, on the calibration prompts.
    ///
    /// - Parameters:
    ///   - runID: The run.
    ///   - names: Names of the scorer, former ones included.
    /// - Returns: By candidate, one score for each prompt in the order of the prompts; candidates with a prompt that has no
    ///   score are left out.
    /// - Throws: `HistoryError`.
    public func promptScores(of runID: Int64, scorer names: [String]) throws -> [Int64: [Double]] {
        try history.read { db in
            let count = try RunStore.promptIDs(of: RunHistory.calibration, run: runID, in: db).count
            let marks = names.map { _ in "?" }.joined(separator: ", ")
            let rows = try Row.fetchCursor(
                db,
                sql: """
                    SELECT s.candidate_id, p.prompt_index, avg(s.value) AS score
                    FROM candidates c
                    JOIN evaluations e ON e.candidate_id = c.id AND e.evaluation_set = '\(RunHistory.calibration)'
                    JOIN image_scores s ON s.candidate_id = c.id AND s.scorer IN (\(marks))
                    JOIN prompts p ON p.id = s.prompt_id AND p.evaluation_set = '\(RunHistory.calibration)'
                    WHERE c.run_id = ? AND c.generation IS NOT NULL
                    GROUP BY s.candidate_id, p.prompt_index ORDER BY s.candidate_id, p.prompt_index
                    """, arguments: StatementArguments(names) + [runID])
            var scores: [Int64: [Double]] = [:]
            while let row = try rows.next() { scores[row["candidate_id"], default: []].append(row["score"]) }
            return scores.filter { $0.value.count == count }
        }
    }

    /// The done tasks on an evaluation set none of whose candidates has an evaluation yet, ordered by row id.
    ///
    /// `workerID` is the worker whose result is stored.
    public func unsettledTasks(
        of runID: Int64, on evaluationSet: String
    ) throws -> [(task: TaskRecord, workerID: Int64)] {
        try history.read { db in
            let condition = """
                run_id = ? AND evaluation_set = ? AND state = 'done' AND worker_id IS NOT NULL
                AND \(TaskStore.hasNoEvaluation)
                """
            let workers = try db.cachedRows(
                sql: "SELECT id, worker_id FROM tasks WHERE \(condition) ORDER BY id",
                arguments: [runID, evaluationSet])
            let tasks = try TaskStore.tasks(in: db, where: condition, arguments: [runID, evaluationSet])
            return zip(tasks, workers).map { ($0, $1["worker_id"]) }
        }
    }

    // MARK: - Rechecks

    /// Stores the comparison of a task's result with that of a second worker; replaces an earlier one of the same pair.
    public func recordRecheck(_ recheck: RecheckRecord, at instant: Double = RunHistory.now()) throws {
        try history.write { db in
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

    /// The rechecks of a run's tasks, oldest first.
    public func rechecks(of runID: Int64) throws -> [RecheckRecord] {
        try history.read { db in
            try db.cachedRows(
                sql: """
                    SELECT r.* FROM rechecks r JOIN tasks t ON t.id = r.task_id
                    WHERE t.run_id = ? ORDER BY r.at, r.task_id, r.worker_id
                    """,
                arguments: [runID]
            ).map { RecheckRecord($0) }
        }
    }

    // MARK: - Thumbnails

    /// Stores a PNG thumbnail of an image, replacing an earlier one; a `candidateID` of nil is the uncached reference.
    ///
    /// Throws `HistoryError.noSuchRecord` for a prompt that is not in the evaluation set.
    public func storeThumbnail(
        _ png: [UInt8], of candidateID: Int64?, image: ImageKey, in evaluationSet: String = RunHistory.calibration,
        run runID: Int64
    ) throws {
        try history.write { db in
            let promptIDs = try RunStore.promptIDs(of: evaluationSet, run: runID, in: db)
            try Self.insert(Thumbnail(candidateID: candidateID, image: image, png: png), promptIDs: promptIDs, in: db)
        }
    }

    private static func insert(_ thumbnail: Thumbnail, promptIDs: [Int64], in db: Database) throws {
        try db.executeCached(
            sql: """
                INSERT INTO thumbnails (candidate_id, prompt_id, seed, png) VALUES (?, ?, ?, ?)
                ON CONFLICT (prompt_id, seed, ifnull(candidate_id, 0)) DO UPDATE SET png = excluded.png
                """,
            arguments: [
                thumbnail.candidateID, try promptID(thumbnail.image, promptIDs), thumbnail.image.seed,
                Data(thumbnail.png),
            ])
    }

    /// The images of the uncached model that are stored.
    public func storedReferences(of runID: Int64) throws -> Set<ImageKey> {
        try history.read { db in
            let rows = try db.cachedRows(
                sql: """
                    SELECT p.prompt_index, t.seed FROM thumbnails t JOIN prompts p ON p.id = t.prompt_id
                    WHERE t.candidate_id IS NULL AND p.run_id = ? AND p.evaluation_set = ?
                    """, arguments: [runID, RunHistory.calibration])
            return Set(rows.map { ImageKey(prompt: $0["prompt_index"], seed: $0["seed"]) })
        }
    }

    /// Deletes the images of evaluated candidates except the given ones; those of candidates whose evaluation is not
    /// complete, and of the uncached model, stay.
    ///
    /// - Parameters:
    ///   - candidates: Candidates in the order of their importance; as many as fit keep their images.
    ///   - byteLimit: Bytes of the images of candidates that stay at most.
    ///   - runID: The run.
    /// - Throws: `HistoryError`.
    public func pruneThumbnails(keeping candidates: [Int64], byteLimit: Int, of runID: Int64) throws {
        try history.write { db in
            let rows = try db.cachedRows(
                sql: """
                    SELECT t.candidate_id, sum(length(t.png)) AS bytes FROM thumbnails t
                    JOIN evaluations e ON e.candidate_id = t.candidate_id AND e.evaluation_set = ?
                    JOIN candidates c ON c.id = t.candidate_id
                    WHERE c.run_id = ? GROUP BY t.candidate_id
                    """, arguments: [RunHistory.calibration, runID])
            var pruned = Dictionary(
                uniqueKeysWithValues: rows.map { ($0["candidate_id"] as Int64, $0["bytes"] as Int) })
            var left = byteLimit
            for candidate in candidates {
                guard let bytes = pruned[candidate], bytes <= left else { continue }
                pruned[candidate] = nil
                left -= bytes
            }
            for candidate in pruned.keys {
                try db.executeCached(sql: "DELETE FROM thumbnails WHERE candidate_id = ?", arguments: [candidate])
            }
        }
    }

    /// The thumbnails of a candidate, or of the uncached reference if nil, ordered by prompt and seed.
    public func thumbnails(
        of candidateID: Int64?, in evaluationSet: String = RunHistory.calibration, run runID: Int64
    ) throws -> [Thumbnail] {
        try history.read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT p.prompt_index, t.seed, t.png FROM thumbnails t JOIN prompts p ON p.id = t.prompt_id
                    WHERE t.candidate_id IS ? AND p.run_id = ? AND p.evaluation_set = ?
                    ORDER BY p.prompt_index, t.seed
                    """,
                arguments: [candidateID, runID, evaluationSet]
            ).map { row in
                let png: Data = row["png"]
                return Thumbnail(
                    candidateID: candidateID, image: ImageKey(prompt: row["prompt_index"], seed: row["seed"]),
                    png: Array(png))
            }
        }
    }

    // MARK: - Rows

    private static func verify(_ result: TaskResult, belongsTo task: TaskRecord) throws {
        let candidates = Set(task.candidateIDs)
        let images = Set(task.images)
        let measured =
            result.scores.map { ($0.candidateID, $0.image) } + result.timings.map { ($0.candidateID, $0.image) }
        for (candidate, image) in measured where !candidates.contains(candidate) || !images.contains(image) {
            throw HistoryError.resultOutsideTask(
                id: task.id, found: "candidate \(candidate), prompt \(image.prompt), seed \(image.seed)")
        }
    }

    private static func insert(_ scores: [ImageScore], promptIDs: [Int64], in db: Database) throws {
        // Overlapping tasks score the same image twice: the first score stays.
        let statement = try db.cachedStatement(
            sql: """
                INSERT INTO image_scores (candidate_id, prompt_id, seed, scorer, value) VALUES (?, ?, ?, ?, ?)
                ON CONFLICT (candidate_id, prompt_id, seed, scorer) DO NOTHING
                """)
        for score in scores {
            try statement.execute(arguments: [
                score.candidateID, try promptID(score.image, promptIDs), score.image.seed, score.scorer, score.value,
            ])
        }
    }

    /// Computes the statistics of candidates whose scores have changed.
    static func updateStatistics(of candidateIDs: [Int64], in db: Database) throws {
        let removal = try db.cachedStatement(sql: "DELETE FROM score_statistics WHERE candidate_id = ?")
        let insertion = try db.cachedStatement(
            sql: "INSERT INTO score_statistics \(Schema.scoreStatistics(where: "s.candidate_id = ?"))")
        for id in candidateIDs {
            try removal.execute(arguments: [id])
            try insertion.execute(arguments: [id])
        }
    }

    private static func insert(
        _ timings: [ImageTiming], promptIDs: [Int64], of result: TaskResult, in db: Database
    ) throws {
        let statement = try db.cachedStatement(
            sql: """
                INSERT INTO image_timings (candidate_id, prompt_id, seed, task_id, worker_id, denoise_seconds,
                    reference_seconds, decode_seconds)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """)
        for timing in timings {
            try statement.execute(arguments: [
                timing.candidateID, try promptID(timing.image, promptIDs), timing.image.seed, result.taskID,
                result.workerID, timing.denoiseSeconds, timing.referenceSeconds, timing.decodeSeconds,
            ])
        }
    }

    private static func closeTask(of result: TaskResult, at instant: Double, in db: Database) throws {
        try db.executeCached(
            sql: "UPDATE workers SET busy_seconds = busy_seconds + ?, last_seen = max(last_seen, ?) WHERE id = ?",
            arguments: [result.seconds, instant, result.workerID])
        try db.requireChange("worker", result.workerID)
        try db.executeCached(
            sql: "UPDATE tasks SET state = 'done', worker_id = ?, seconds = ?, finished_at = ? WHERE id = ?",
            arguments: [result.workerID, result.seconds, instant, result.taskID])
        try db.executeCached(
            sql: """
                UPDATE leases SET ended_at = ?, outcome = CASE worker_id WHEN ? THEN 'done' ELSE 'superseded' END
                WHERE task_id = ? AND ended_at IS NULL
                """,
            arguments: [instant, result.workerID, result.taskID])
    }

    private static func promptID(_ image: ImageKey, _ promptIDs: [Int64]) throws -> Int64 {
        guard promptIDs.indices.contains(image.prompt) else {
            throw HistoryError.noSuchRecord(kind: "prompt", identity: String(image.prompt))
        }
        return promptIDs[image.prompt]
    }
}
