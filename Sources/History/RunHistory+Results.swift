import Foundation
import GRDB

extension RunHistory {
    /// Commits a worker's result, once: scores and timings are entered, the task is done, all its leases end.
    ///
    /// A result is welcome even when its lease has expired; a second result of the task, or this one sent again,
    /// changes nothing. When the call returns the result may be acknowledged: it is on disk. A result may lack images
    /// of its task; whether that will do is for the caller to judge beforehand.
    ///
    /// - Parameters:
    ///   - result: The result.
    ///   - instant: Unix seconds.
    /// - Returns: What became of it.
    /// - Throws: `HistoryError.resultOutsideTask` for values that the task did not ask for, `.refused` for values that
    ///   are not finite, `.noSuchRecord` for an unknown task or worker.
    public func commitResult(_ result: TaskResult, at instant: Double = now()) throws -> CommitOutcome {
        try write { db in
            guard let task = try Self.tasks(in: db, where: "id = ?", arguments: [result.taskID]).first else {
                throw HistoryError.noSuchRecord(kind: "task", identity: String(result.taskID))
            }
            switch task.state {
            case .done: return .alreadyDone
            case .failed: return .taskFailed
            case .pending, .leased: break
            }
            try Self.check(result, against: task)
            let promptIDs = try Self.promptIDs(of: task.evaluationSet, run: task.runID, in: db)
            try Self.enter(result.scores, promptIDs: promptIDs, in: db)
            try Self.enter(result.timings, promptIDs: promptIDs, of: result, in: db)
            try Self.close(result, at: instant, in: db)
            return .committed
        }
    }

    /// All that was measured of a candidate on an evaluation set.
    ///
    /// - Parameters:
    ///   - candidateID: The candidate.
    ///   - evaluationSet: The set.
    /// - Returns: Scores and timings in an order that does not depend on who delivered first, so that sums over them
    ///   are reproducible to the last bit.
    /// - Throws: `HistoryError`.
    public func measurements(
        of candidateID: Int64, on evaluationSet: String = calibration
    ) throws -> CandidateMeasurements {
        try read { db in
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

    // MARK: - Rows

    private static func check(_ result: TaskResult, against task: TaskRecord) throws {
        let candidates = Set(task.candidateIDs)
        let images = Set(task.images)
        let measured =
            result.scores.map { ($0.candidateID, $0.image) } + result.timings.map { ($0.candidateID, $0.image) }
        for (candidate, image) in measured where !candidates.contains(candidate) || !images.contains(image) {
            throw HistoryError.resultOutsideTask(
                id: task.id, found: "candidate \(candidate), prompt \(image.prompt), seed \(image.seed)")
        }
    }

    private static func enter(_ scores: [ImageScore], promptIDs: [Int64], in db: Database) throws {
        // The first score of an image stays: where tasks overlap, the second one measured the same picture again.
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

    private static func enter(
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

    private static func close(_ result: TaskResult, at instant: Double, in db: Database) throws {
        try db.executeCached(
            sql: "UPDATE workers SET busy_seconds = busy_seconds + ?, last_seen = max(last_seen, ?) WHERE id = ?",
            arguments: [result.seconds, instant, result.workerID])
        try requireChange(in: db, kind: "worker", identity: result.workerID)
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

    static func promptID(_ image: ImageKey, _ promptIDs: [Int64]) throws -> Int64 {
        guard promptIDs.indices.contains(image.prompt) else {
            throw HistoryError.noSuchRecord(kind: "prompt", identity: String(image.prompt))
        }
        return promptIDs[image.prompt]
    }
}
