import GRDB

// No genome is evaluated twice in a file: what another run with the same settings measured is taken over.
extension RunHistory {
    /// Candidates of other runs of this file that make the same images under the same settings, and were evaluated.
    ///
    /// - Parameters:
    ///   - canonicalHashes: The hashes asked for.
    ///   - key: The evaluation key of the run that asks.
    ///   - runID: That run.
    /// - Returns: For each hash that is known, a candidate of another run.
    /// - Throws: `HistoryError`.
    public func measuredElsewhere(
        _ canonicalHashes: [String], evaluationKey key: String, besides runID: Int64
    ) throws -> [String: Int64] {
        try read { db in
            let others = try Int64.fetchAll(
                db, sql: "SELECT id FROM runs WHERE evaluation_key = ? AND id <> ? ORDER BY id",
                arguments: [key, runID])
            var found: [String: Int64] = [:]
            guard !others.isEmpty else { return found }
            let statement = try db.cachedStatement(
                sql: """
                    SELECT c.id FROM candidates c JOIN evaluations e ON e.candidate_id = c.id
                    WHERE c.run_id = ? AND c.canonical_hash = ? AND c.generation IS NOT NULL AND e.evaluation_set = ?
                    """)
            for hash in canonicalHashes {
                for other in others where found[hash] == nil {
                    found[hash] = try Int64.fetchOne(statement, arguments: [other, hash, Self.calibration])
                }
            }
            return found
        }
    }

    /// Copies a candidate's scores and timings on the calibration set to one of another run.
    static func takeOver(from source: Int64, to candidate: Int64, run: Int64, in db: Database) throws {
        // Prompts are entered for every run; those of one index have the same text where the settings are the same.
        let prompts = """
            JOIN prompts old ON old.id = m.prompt_id AND old.evaluation_set = '\(calibration)'
            JOIN prompts new ON new.run_id = ? AND new.evaluation_set = old.evaluation_set
                AND new.prompt_index = old.prompt_index
            """
        try db.execute(
            sql: """
                INSERT INTO image_scores (candidate_id, prompt_id, seed, scorer, value)
                SELECT ?, new.id, m.seed, m.scorer, m.value FROM image_scores m \(prompts) WHERE m.candidate_id = ?
                """,
            arguments: [candidate, run, source])
        try db.execute(
            sql: """
                INSERT INTO image_timings (candidate_id, prompt_id, seed, task_id, worker_id, denoise_seconds,
                    reference_seconds, decode_seconds)
                SELECT ?, new.id, m.seed, m.task_id, m.worker_id, m.denoise_seconds, m.reference_seconds,
                    m.decode_seconds
                FROM image_timings m \(prompts) WHERE m.candidate_id = ?
                """,
            arguments: [candidate, run, source])
    }
}
