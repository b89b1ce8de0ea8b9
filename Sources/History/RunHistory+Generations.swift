import Foundation
import GRDB

extension RunHistory {
    /// Enters a generation: the search's state after its ask, its candidates, and the tasks that evaluate them.
    ///
    /// - Parameters:
    ///   - number: The generation, 0 for the first.
    ///   - runID: The run.
    ///   - isContinued: True to add to a generation that may have been entered before, as steady state does.
    ///   - searchState: The search's state, to resume from.
    ///   - candidates: In the order of the ask.
    ///   - tasks: What evaluates them.
    ///   - instant: Unix seconds.
    /// - Returns: The identities given.
    /// - Throws: `HistoryError.refused` for a generation entered before and for a canonical hash that the run's search
    ///   has evaluated already, `.genomeLength`.
    public func beginGeneration(
        _ number: Int, of runID: Int64, isContinued: Bool = false, searchState: [UInt8], candidates: [NewCandidate],
        tasks: [NewTask],
        at instant: Double = now()
    ) throws -> EnteredWork {
        try write { db in
            let bytes = try Self.genomeBytes(of: runID, in: db)
            let otherwise =
                isContinued ? " ON CONFLICT (run_id, number) DO UPDATE SET search_state = excluded.search_state" : ""
            try db.execute(
                sql: "INSERT INTO generations (run_id, number, search_state, started_at) VALUES (?, ?, ?, ?)"
                    + otherwise,
                arguments: [runID, number, Data(searchState), instant])
            let candidateIDs = try candidates.map {
                try Self.enter($0, generation: number, label: nil, run: runID, genomeBytes: bytes, in: db)
            }
            let taskIDs = try tasks.map {
                try Self.enter(
                    $0, candidateIDs: candidateIDs, generation: number, evaluationSet: Self.calibration, run: runID,
                    at: instant, in: db)
            }
            return EnteredWork(candidateIDs: candidateIDs, taskIDs: taskIDs)
        }
    }

    /// Notes a candidate's totals once all its tasks are done; entering them again replaces them.
    ///
    /// - Parameters:
    ///   - candidateID: The candidate.
    ///   - evaluationSet: What it was evaluated on.
    ///   - totals: The totals.
    ///   - instant: Unix seconds.
    /// - Throws: `HistoryError.refused` for values that are not finite, among others.
    public func finishEvaluation(
        of candidateID: Int64, on evaluationSet: String = calibration, totals: EvaluationTotals,
        at instant: Double = now()
    ) throws {
        try finishEvaluations([(candidateID, totals)], on: evaluationSet, at: instant)
    }

    /// Notes the totals of candidates all of whose tasks are done; entering them again replaces them.
    ///
    /// - Parameters:
    ///   - evaluations: Candidates and their totals; one transaction for all.
    ///   - evaluationSet: What they were evaluated on.
    ///   - instant: Unix seconds.
    /// - Throws: `HistoryError.refused` for values that are not finite, among others.
    public func finishEvaluations(
        _ evaluations: [(candidateID: Int64, totals: EvaluationTotals)], on evaluationSet: String = calibration,
        at instant: Double = now()
    ) throws {
        guard !evaluations.isEmpty else { return }
        try write { db in
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

    /// Keeps the search's state between the beginning and the end of a generation.
    ///
    /// - Parameters:
    ///   - searchState: The search's state.
    ///   - number: The generation entered last.
    ///   - runID: The run.
    /// - Throws: `HistoryError.noSuchRecord`.
    public func setSearchState(_ searchState: [UInt8], generation number: Int, of runID: Int64) throws {
        try write { db in
            let statement = try db.cachedStatement(
                sql: "UPDATE generations SET search_state = ? WHERE run_id = ? AND number = ?")
            try statement.execute(arguments: [Data(searchState), runID, number])
            try Self.requireChange(in: db, kind: "generation", identity: Int64(number))
        }
    }

    /// Notes that the search has been told a generation's results.
    ///
    /// - Parameters:
    ///   - number: The generation, begun and not yet completed.
    ///   - runID: The run.
    ///   - searchState: The search's state after its tell.
    ///   - hypervolume: Of the front, against the run's reference point.
    ///   - wallSeconds: Seconds of work on this generation, without the time the coordinator was down.
    ///   - instant: Unix seconds.
    /// - Throws: `HistoryError.noSuchRecord` unless the generation is open.
    public func completeGeneration(
        _ number: Int, of runID: Int64, searchState: [UInt8], hypervolume: Double?, wallSeconds: Double,
        at instant: Double = now()
    ) throws {
        try write { db in
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
                    Data(searchState), hypervolume, wallSeconds, instant, Self.calibration, runID, number,
                ])
            try Self.requireChange(in: db, kind: "open generation", identity: Int64(number))
        }
    }

    // MARK: - Rows

    static func genomeBytes(of runID: Int64, in db: Database) throws -> (genes: Int, bytes: Int) {
        guard let genes = try Int.fetchOne(db, sql: "SELECT gene_count FROM runs WHERE id = ?", arguments: [runID])
        else {
            throw HistoryError.noSuchRecord(kind: "run", identity: String(runID))
        }
        return (genes, (genes + 7) / 8)
    }

    static func enter(
        _ candidate: NewCandidate, generation: Int?, label: String?, run: Int64, genomeBytes: (genes: Int, bytes: Int),
        in db: Database
    ) throws -> Int64 {
        guard candidate.genome.count == genomeBytes.bytes else {
            throw HistoryError.genomeLength(
                expectedBytes: genomeBytes.bytes, foundBytes: candidate.genome.count, genes: genomeBytes.genes)
        }
        let statement = try db.cachedStatement(
            sql: """
                INSERT INTO candidates (run_id, generation, label, genome, genome_sha256, canonical_hash, parent_a,
                    parent_b, operator, origin, macs, gate_step)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """)
        try statement.execute(arguments: [
            run, generation, label, Data(candidate.genome), candidate.genomeSHA256, candidate.canonicalHash,
            candidate.parentA, candidate.parentB, candidate.operator, candidate.origin, candidate.macs,
            candidate.gateStep,
        ])
        let id = db.lastInsertedRowID
        if let source = candidate.measuredAs { try takeOver(from: source, to: id, run: run, in: db) }
        return id
    }

    static func enter(
        _ task: NewTask, candidateIDs: [Int64], generation: Int?, evaluationSet: String, run: Int64, at instant: Double,
        in db: Database
    ) throws -> Int64 {
        let statement = try db.cachedStatement(
            sql: """
                INSERT INTO tasks (run_id, generation, evaluation_set, kind, shard, images, payload, created_at)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """)
        try statement.execute(arguments: [
            run, generation, evaluationSet, task.kind.rawValue, ImageKey.json(task.images),
            task.candidates.count * task.images.count, task.payload.map { Data($0) }, instant,
        ])
        let taskID = db.lastInsertedRowID
        let link = try db.cachedStatement(sql: "INSERT INTO task_candidates (task_id, candidate_id) VALUES (?, ?)")
        for place in task.candidates {
            precondition(
                candidateIDs.indices.contains(place), "a task names candidate \(place) of \(candidateIDs.count)")
            try link.execute(arguments: [taskID, candidateIDs[place]])
        }
        return taskID
    }
}

extension ImageKey {
    /// The form of `tasks.shard`: an array of `[prompt index, seed]`.
    static func json(_ keys: [ImageKey]) -> String {
        "[" + keys.map { "[\($0.prompt),\($0.seed)]" }.joined(separator: ",") + "]"
    }

    /// Reads the form of `tasks.shard`.
    ///
    /// - Parameter json: The column's text.
    /// - Returns: The images in their order.
    /// - Throws: `HistoryError.corrupt` for any other text.
    static func keys(json: String) throws -> [ImageKey] {
        let pairs = try? JSONDecoder().decode([[Int64]].self, from: Data(json.utf8))
        guard let pairs, pairs.allSatisfy({ $0.count == 2 }) else {
            throw HistoryError.corrupt(file: "tasks.shard", reason: "expected [[prompt, seed], ...], found \(json)")
        }
        return pairs.map { ImageKey(prompt: Int($0[0]), seed: $0[1]) }
    }
}
