import Foundation
import GRDB

/// Generations and candidates of the search, their evaluations and the Pareto front.
public struct SearchStore: Sendable {
    let history: RunHistory

    // MARK: - Generations

    /// Inserts a generation: the search state after its ask, its candidates and the tasks that evaluate them.
    ///
    /// Candidates keep the order of the ask. `isContinued` allows adding to an existing generation, as steady-state
    /// search does. Throws `HistoryError.refused` for an existing generation and for a canonical hash that the run
    /// already has, and `.genomeLength`.
    public func beginGeneration(
        _ number: Int, of runID: Int64, isContinued: Bool = false, searchState: [UInt8], candidates: [NewCandidate],
        tasks: [NewTask], at instant: Double = RunHistory.now()
    ) throws -> InsertedIDs {
        try history.write { db in
            let genes = try Self.geneCount(of: runID, in: db)
            let onConflict =
                isContinued ? " ON CONFLICT (run_id, number) DO UPDATE SET search_state = excluded.search_state" : ""
            try db.execute(
                sql: "INSERT INTO generations (run_id, number, search_state, started_at) VALUES (?, ?, ?, ?)"
                    + onConflict,
                arguments: [runID, number, Data(searchState), instant])
            let candidateIDs = try candidates.map {
                try Self.insert($0, generation: number, label: nil, run: runID, geneCount: genes, in: db)
            }
            let taskIDs = try tasks.map {
                try TaskStore.insert(
                    $0, candidateIDs: candidateIDs, generation: number, evaluationSet: RunHistory.calibration,
                    run: runID, at: instant, in: db)
            }
            return InsertedIDs(candidateIDs: candidateIDs, taskIDs: taskIDs)
        }
    }

    /// Replaces the search state of a generation; throws `HistoryError.noSuchRecord` if it does not exist.
    public func setSearchState(_ searchState: [UInt8], generation number: Int, of runID: Int64) throws {
        try history.write { db in
            try db.executeCached(
                sql: "UPDATE generations SET search_state = ? WHERE run_id = ? AND number = ?",
                arguments: [Data(searchState), runID, number])
            try db.requireChange("generation", Int64(number))
        }
    }

    /// Marks a generation as finished: the search has received its results.
    ///
    /// `searchState` is the state after the tell, `wallSeconds` excludes the time the coordinator was down. Throws
    /// `HistoryError.noSuchRecord` unless the generation exists and is unfinished.
    public func completeGeneration(
        _ number: Int, of runID: Int64, searchState: [UInt8], hypervolume: Double?, wallSeconds: Double,
        at instant: Double = RunHistory.now()
    ) throws {
        try history.write { db in
            try db.execute(
                sql: """
                    UPDATE generations SET search_state = ?, hypervolume = ?, wall_seconds = ?, finished_at = ?,
                        evaluations = (
                            SELECT count(*) FROM candidates c JOIN evaluations e ON e.candidate_id = c.id
                            WHERE c.run_id = generations.run_id AND c.generation = generations.number
                                AND e.evaluation_set = ?)
                    WHERE run_id = ? AND number = ? AND finished_at IS NULL
                    """,
                arguments: [
                    Data(searchState), hypervolume, wallSeconds, instant, RunHistory.calibration, runID, number,
                ])
            try db.requireChange("unfinished generation", Int64(number))
        }
    }

    /// All generations of a run, ordered by number.
    public func generations(of runID: Int64) throws -> [GenerationRecord] {
        try history.read { db in
            try Row.fetchAll(
                db, sql: "SELECT * FROM generations WHERE run_id = ? ORDER BY number", arguments: [runID]
            ).map { GenerationRecord($0) }
        }
    }

    // MARK: - Candidates

    /// One candidate; throws `HistoryError.noSuchRecord`.
    public func candidate(_ id: Int64) throws -> CandidateRecord {
        try history.read { db in
            guard let candidate = try Self.candidates(in: db, where: "c.id = ?", arguments: [id]).first else {
                throw HistoryError.noSuchRecord(kind: "candidate", identity: String(id))
            }
            return candidate
        }
    }

    /// The candidates proposed by a run's search, in the order of the ask.
    public func candidates(of runID: Int64) throws -> [CandidateRecord] {
        try history.read { db in
            try Self.candidates(in: db, where: "c.run_id = ? AND c.generation IS NOT NULL", arguments: [runID])
        }
    }

    /// Number of candidates of a run's search for which images were or are to be generated; the measurements of the others
    /// are another run's.
    public func measuredCandidateCount(of runID: Int64) throws -> Int {
        try history.read { db in
            try Int.fetchOne(
                db,
                sql: """
                    SELECT count(*) FROM candidates c WHERE c.run_id = ? AND c.generation IS NOT NULL
                        AND EXISTS (SELECT 1 FROM task_candidates t WHERE t.candidate_id = c.id)
                    """, arguments: [runID]) ?? 0
        }
    }

    /// Number of candidates of a run's search that wait for a result.
    public func openCandidateCount(of runID: Int64) throws -> Int {
        try history.read { db in
            try Int.fetchOne(
                db,
                sql: """
                    SELECT count(DISTINCT tc.candidate_id) FROM tasks t JOIN task_candidates tc ON tc.task_id = t.id
                    WHERE t.run_id = ? AND t.generation IS NOT NULL AND t.state IN ('pending', 'leased')
                    """, arguments: [runID]) ?? 0
        }
    }

    /// The non-dominated candidates of a run, slowest first.
    public func front(of runID: Int64) throws -> [FrontRecord] {
        try history.read { db in
            try Row.fetchAll(db, sql: "SELECT * FROM pareto_front WHERE run_id = ?", arguments: [runID]).map {
                FrontRecord($0)
            }
        }
    }

    /// Stores the totals of completely measured candidates in one transaction; existing totals are replaced.
    ///
    /// Throws `HistoryError.refused` for values that are not finite.
    public func recordEvaluations(
        _ evaluations: [(candidateID: Int64, totals: EvaluationTotals)],
        on evaluationSet: String = RunHistory.calibration, at instant: Double = RunHistory.now()
    ) throws {
        guard !evaluations.isEmpty else { return }
        try history.write { db in
            let statement = try db.cachedStatement(
                sql: """
                    INSERT INTO evaluations (candidate_id, evaluation_set, cost, quality, latency_ratio, modelled_ratio,
                        macs, images, denoise_seconds, reference_seconds, finished_at)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                    ON CONFLICT (candidate_id, evaluation_set) DO UPDATE SET
                        cost = excluded.cost, quality = excluded.quality, latency_ratio = excluded.latency_ratio,
                        modelled_ratio = excluded.modelled_ratio, macs = excluded.macs, images = excluded.images,
                        denoise_seconds = excluded.denoise_seconds, reference_seconds = excluded.reference_seconds,
                        finished_at = excluded.finished_at
                    """)
            for (candidateID, totals) in evaluations {
                try statement.execute(arguments: [
                    candidateID, evaluationSet, totals.cost, totals.quality, totals.latencyRatio,
                    totals.modelledRatio, totals.macs, totals.images, totals.denoiseSeconds, totals.referenceSeconds,
                    instant,
                ])
            }
        }
    }

    /// Finds evaluated candidates of other runs in this file that have the same canonical hash and evaluation key.
    ///
    /// Returns a row id by hash, for `NewCandidate.measuredAs`.
    public func reusableMeasurements(
        _ canonicalHashes: [String], evaluationKey: String, excluding runID: Int64
    ) throws -> [String: Int64] {
        try history.read { db in
            let runs = try Int64.fetchAll(
                db, sql: "SELECT id FROM runs WHERE evaluation_key = ? AND id <> ? ORDER BY id",
                arguments: [evaluationKey, runID])
            var found: [String: Int64] = [:]
            guard !runs.isEmpty else { return found }
            let statement = try db.cachedStatement(
                sql: """
                    SELECT c.id FROM candidates c JOIN evaluations e ON e.candidate_id = c.id
                    WHERE c.run_id = ? AND c.canonical_hash = ? AND c.generation IS NOT NULL AND e.evaluation_set = ?
                    """)
            for hash in canonicalHashes {
                for run in runs where found[hash] == nil {
                    found[hash] = try Int64.fetchOne(statement, arguments: [run, hash, RunHistory.calibration])
                }
            }
            return found
        }
    }

    // MARK: - Rows

    static func candidates(
        in db: Database, where condition: String, arguments: StatementArguments
    ) throws -> [CandidateRecord] {
        try db.cachedRows(
            sql: """
                SELECT c.*, e.cost, e.quality, e.latency_ratio, e.modelled_ratio, e.macs AS evaluation_macs, e.images,
                    e.denoise_seconds, e.reference_seconds
                FROM candidates c
                LEFT JOIN evaluations e ON e.candidate_id = c.id AND e.evaluation_set = '\(RunHistory.calibration)'
                WHERE \(condition) ORDER BY c.id
                """,
            arguments: arguments
        ).map { CandidateRecord($0) }
    }

    static func geneCount(of runID: Int64, in db: Database) throws -> Int {
        guard let genes = try Int.fetchOne(db, sql: "SELECT gene_count FROM runs WHERE id = ?", arguments: [runID])
        else { throw HistoryError.noSuchRecord(kind: "run", identity: String(runID)) }
        return genes
    }

    static func insert(
        _ candidate: NewCandidate, generation: Int?, label: String?, run: Int64, geneCount: Int, in db: Database
    ) throws -> Int64 {
        let byteCount = (geneCount + 7) / 8
        guard candidate.genome.count == byteCount else {
            throw HistoryError.genomeLength(
                expectedBytes: byteCount, foundBytes: candidate.genome.count, genes: geneCount)
        }
        try db.executeCached(
            sql: """
                INSERT INTO candidates (run_id, generation, label, genome, genome_sha256, canonical_hash, parent_a,
                    parent_b, operator, origin, macs, gate_step, predicted_log_error, predicted_quality, predicted_deviation)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                run, generation, label, Data(candidate.genome), candidate.genomeSHA256, candidate.canonicalHash,
                candidate.parentA, candidate.parentB, candidate.operator, candidate.origin, candidate.macs,
                candidate.gateStep, candidate.prediction?.logError, candidate.prediction?.quality,
                candidate.prediction?.deviation,
            ])
        let id = db.lastInsertedRowID
        if let source = candidate.measuredAs { try reuseMeasurements(of: source, for: id, run: run, in: db) }
        return id
    }

    /// Copies a candidate's calibration scores and timings to a candidate of another run.
    private static func reuseMeasurements(
        of source: Int64, for candidate: Int64, run: Int64, in db: Database
    ) throws {
        // Each run has its own prompt rows; equal evaluation keys imply equal prompts at equal indices.
        let prompts = """
            JOIN prompts old ON old.id = m.prompt_id AND old.evaluation_set = '\(RunHistory.calibration)'
            JOIN prompts new ON new.run_id = ? AND new.evaluation_set = old.evaluation_set
                AND new.prompt_index = old.prompt_index
            """
        try db.execute(
            sql: """
                INSERT INTO image_scores (candidate_id, prompt_id, seed, scorer, value)
                SELECT ?, new.id, m.seed, m.scorer, m.value FROM image_scores m \(prompts) WHERE m.candidate_id = ?
                """,
            arguments: [candidate, run, source])
        try ResultStore.updateStatistics(of: [candidate], in: db)
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
