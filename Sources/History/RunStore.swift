import Basics
import Foundation
import GRDB

/// Runs with their configuration, genes, prompts, canary, reuse errors and cost tables.
public struct RunStore: Sendable {
    let history: RunHistory

    // MARK: - Creating and updating

    /// Inserts a run with its genes and calibration prompts and returns its row id; the status is `running`.
    public func create(_ run: NewRun, at instant: Double = RunHistory.now()) throws -> Int64 {
        try history.write { db in
            try db.execute(
                sql: """
                    INSERT INTO runs (name, configuration, cost_objective, quality_objective, shape, gene_count,
                        model_hash, seed, reference_cost, reference_quality, evaluation_key, status, created_at)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'running', ?)
                    """,
                arguments: [
                    run.name, run.configuration, run.costObjective, run.qualityObjective, run.shape, run.genes.count,
                    run.modelHash, run.seed, run.reference?.cost, run.reference?.quality, run.evaluationKey, instant,
                ])
            let runID = db.lastInsertedRowID
            let gene = try db.cachedStatement(
                sql: "INSERT INTO genes (run_id, gene, step, block, component) VALUES (?, ?, ?, ?, ?)")
            for (index, cell) in run.genes.enumerated() {
                try gene.execute(arguments: [runID, index, cell.step, cell.block, cell.component])
            }
            try Self.insertPrompts(run.prompts, of: RunHistory.calibration, run: runID, in: db)
            try Self.insertEvaluationSet(
                RunHistory.calibration, run: runID, engine: run.engine, precision: run.precision, in: db)
            return runID
        }
    }

    /// Replaces the resolved configuration, TOML; an `evaluationKey` of nil leaves the stored key unchanged.
    public func setConfiguration(_ configuration: String, evaluationKey: String? = nil, of runID: Int64) throws {
        try history.write { db in
            try db.execute(
                sql: "UPDATE runs SET configuration = ?, evaluation_key = coalesce(?, evaluation_key) WHERE id = ?",
                arguments: [configuration, evaluationKey, runID])
            try db.requireChange("run", runID)
        }
    }

    /// Replaces the resolved configuration, TOML, and the hashes of a run whose files are identified in a new way.
    ///
    /// Runs with equal evaluations, such as the original of a fork, keep them in common.
    public func replaceHashes(
        _ configuration: String, modelHash: String, evaluationKey: String, of runID: Int64
    ) throws {
        try history.write { db in
            try db.execute(
                sql: """
                    UPDATE runs SET evaluation_key = :key
                    WHERE evaluation_key = (SELECT evaluation_key FROM runs WHERE id = :run)
                    """, arguments: ["key": evaluationKey, "run": runID])
            try db.execute(
                sql: "UPDATE runs SET configuration = ?, model_hash = ?, evaluation_key = ? WHERE id = ?",
                arguments: [configuration, modelHash, evaluationKey, runID])
            try db.requireChange("run", runID)
        }
    }

    /// Sets the status; `.running` clears the end time, all others set it.
    public func setStatus(_ status: RunStatus, of runID: Int64, at instant: Double = RunHistory.now()) throws {
        try history.write { db in
            try db.execute(
                sql: "UPDATE runs SET status = ?, finished_at = ? WHERE id = ?",
                arguments: [status.rawValue, status == .running ? nil : instant, runID])
            try db.requireChange("run", runID)
        }
    }

    // MARK: - Reading

    /// Reads the state to resume a run from, in one snapshot; the latest run if `runID` is nil.
    ///
    /// Throws `HistoryError.noSuchRecord` if there is no such run.
    public func snapshot(_ runID: Int64? = nil) throws -> RunSnapshot {
        try history.read { db in
            let row = try Row.fetchOne(
                db, sql: "SELECT * FROM runs WHERE id = coalesce(?, (SELECT max(id) FROM runs))", arguments: [runID])
            guard let row else {
                throw HistoryError.noSuchRecord(kind: "run", identity: runID.map { String($0) } ?? "at all")
            }
            let run = try RunRecord(row)
            let generation = try Row.fetchOne(
                db, sql: "SELECT * FROM generations WHERE run_id = ? ORDER BY number DESC LIMIT 1", arguments: [run.id]
            ).map { GenerationRecord($0) }
            return RunSnapshot(
                run: run, generation: generation,
                candidates: try SearchStore.candidates(
                    in: db, where: "c.run_id = ? AND c.generation = ?", arguments: [run.id, generation?.number]),
                tasks: try TaskStore.tasks(
                    in: db, where: "run_id = ? AND (generation = ? OR state IN ('pending', 'leased'))",
                    arguments: [run.id, generation?.number]),
                openLeases: try TaskStore.activeLeases(of: run.id, expiringBy: .infinity, in: db))
        }
    }

    /// The prompts of an evaluation set, ordered by index.
    public func prompts(of runID: Int64, in evaluationSet: String = RunHistory.calibration) throws -> [String] {
        try history.read { db in try Self.prompts(of: evaluationSet, run: runID, in: db) }
    }

    static func prompts(of evaluationSet: String, run: Int64, in db: Database) throws -> [String] {
        try String.fetchAll(
            db, sql: "SELECT text FROM prompts WHERE run_id = ? AND evaluation_set = ? ORDER BY prompt_index",
            arguments: [run, evaluationSet])
    }

    /// Row ids of a set's prompts, by prompt index.
    static func promptIDs(of evaluationSet: String, run: Int64, in db: Database) throws -> [Int64] {
        let statement = try db.cachedStatement(
            sql: "SELECT id FROM prompts WHERE run_id = ? AND evaluation_set = ? ORDER BY prompt_index")
        return try Int64.fetchAll(statement, arguments: [run, evaluationSet])
    }

    static func insertPrompts(_ prompts: [String], of evaluationSet: String, run: Int64, in db: Database) throws {
        let statement = try db.cachedStatement(
            sql: "INSERT INTO prompts (run_id, evaluation_set, prompt_index, text) VALUES (?, ?, ?, ?)")
        for (index, text) in prompts.enumerated() {
            try statement.execute(arguments: [run, evaluationSet, index, text])
        }
    }

    // MARK: - Canary

    /// The canary values that a run's workers must reproduce; nil until the first worker has been accepted.
    public func canary(of runID: Int64) throws -> [Float]? {
        try history.read { db in
            let data = try Data.fetchOne(
                db.cachedStatement(sql: "SELECT canary FROM runs WHERE id = ?"), arguments: [runID])
            guard let data else { return nil }
            guard let canary = [Float](littleEndian: data) else {
                throw CorruptValue(
                    table: "runs", row: runID, column: "canary", found: "\(data.count) bytes",
                    expected: "32-bit floats")
            }
            return canary
        }
    }

    /// Stores the canary values that a run's workers must reproduce.
    public func setCanary(_ canary: [Float], of runID: Int64) throws {
        try history.write { db in
            try db.executeCached(
                sql: "UPDATE runs SET canary = ? WHERE id = ?", arguments: [canary.littleEndianData, runID])
            try db.requireChange("run", runID)
        }
    }

    // MARK: - Reuse errors

    /// The images of a run in which it was measured what reuse changes, ordered by prompt and seed.
    public func reuseErrors(of runID: Int64) throws -> [MeasuredReuseErrors] {
        try history.read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT p.prompt_index, e.* FROM reuse_errors e JOIN prompts p ON p.id = e.prompt_id
                    WHERE e.run_id = ? ORDER BY p.prompt_index, e.seed
                    """, arguments: [runID]
            ).map { row in
                let (prompt, data): (Int64, Data) = (row["prompt_id"], row["errors"])
                guard let values = [Float](littleEndian: data) else {
                    throw CorruptValue(
                        table: "reuse_errors", row: prompt, column: "errors", found: "\(data.count) bytes",
                        expected: "32-bit floats")
                }
                return MeasuredReuseErrors(
                    image: ImageKey(prompt: row["prompt_index"], seed: row["seed"]), values: values,
                    workerID: row["worker_id"], seconds: row["seconds"], imageEquivalents: row["image_equivalents"])
            }
        }
    }

    /// Stores what reuse changes in an image; the first measurement of an image stays.
    public func insertReuseErrors(
        _ measured: MeasuredReuseErrors, of runID: Int64, at instant: Double = RunHistory.now()
    ) throws {
        try history.write { db in
            let prompts = try Self.promptIDs(of: RunHistory.calibration, run: runID, in: db)
            guard prompts.indices.contains(measured.image.prompt) else {
                throw HistoryError.noSuchRecord(kind: "prompt", identity: String(measured.image.prompt))
            }
            try db.execute(
                sql: """
                    INSERT INTO reuse_errors (run_id, prompt_id, seed, errors, worker_id, seconds, image_equivalents,
                        measured_at)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
                    """,
                arguments: [
                    runID, prompts[measured.image.prompt], measured.image.seed, measured.values.littleEndianData,
                    measured.workerID, measured.seconds, measured.imageEquivalents, instant,
                ])
        }
    }

    /// Records what all images of an evaluation set are computed with.
    ///
    /// Throws `HistoryError.refused` if the set has images of another engine or precision.
    static func insertEvaluationSet(
        _ name: String, run runID: Int64, engine: String, precision: String, in db: Database
    ) throws {
        try db.executeCached(
            sql: "INSERT OR IGNORE INTO evaluation_sets (run_id, name, engine, precision) VALUES (?, ?, ?, ?)",
            arguments: [runID, name, engine, precision])
        let row = try Row.fetchOne(
            db, sql: "SELECT engine, precision FROM evaluation_sets WHERE run_id = ? AND name = ?",
            arguments: [runID, name])
        guard let row, row["engine"] == engine, row["precision"] == precision else {
            let stored = row.map { "\($0["engine"] as String), \($0["precision"] as String)" } ?? "nothing"
            throw HistoryError.refused(
                record: "evaluation set '\(name)' is measured with \(stored), not with \(engine), \(precision)")
        }
    }

    // MARK: - Cost tables

    /// The cost tables of a run, ordered by row id.
    public func costTables(of runID: Int64) throws -> [CostTableRecord] {
        try history.read { db in
            try Row.fetchAll(
                db, sql: "SELECT * FROM cost_tables WHERE run_id = ? ORDER BY id", arguments: [runID]
            ).map { CostTableRecord($0) }
        }
    }

    /// Inserts a cost table and returns whether it is the run's first, which its objectives use from then on.
    ///
    /// A table equal to the latest of the same worker is not inserted again.
    @discardableResult
    public func insertCostTable(
        _ table: NewCostTable, of runID: Int64, at instant: Double = RunHistory.now()
    ) throws -> Bool {
        try history.write { db in
            let latest = try String.fetchOne(
                db,
                sql: "SELECT costs FROM cost_tables WHERE run_id = ? AND worker_id IS ? ORDER BY id DESC LIMIT 1",
                arguments: [runID, table.workerID])
            guard latest != table.costs else { return false }
            let isFirst =
                try Int.fetchOne(db, sql: "SELECT count(*) FROM cost_tables WHERE run_id = ?", arguments: [runID]) == 0
            let workerClass = try String.fetchOne(
                db,
                sql: """
                    SELECT device_class || ', ' || engine_version FROM workers WHERE id = ?
                    """,
                arguments: [table.workerID])
            try db.execute(
                sql: """
                    INSERT INTO cost_tables (run_id, worker_id, worker_class, costs, uncached_seconds, fit_error,
                        is_objective, measured_at)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    runID, table.workerID, workerClass ?? "configuration", table.costs, table.uncachedSeconds,
                    table.fitError, isFirst, instant,
                ])
            return isFirst
        }
    }

    // MARK: - Fork

    /// Copies a run, as it was at the end of a generation, into a new run directory and opens the copy for writing.
    ///
    /// Later generations become a run of their own with a row id below all others, so that their measurements can be
    /// reused. The copy gets its final name once it is complete; its status is `running`. Throws
    /// `HistoryError.noSuchRecord` unless the generation is finished, and `.alreadyExists`.
    public func fork(
        _ runID: Int64, from generation: Int, into folder: String, at instant: Double = RunHistory.now()
    ) throws -> RunHistory {
        let isFinished = try history.read { db in
            try Bool.fetchOne(
                db, sql: "SELECT finished_at IS NOT NULL FROM generations WHERE run_id = ? AND number = ?",
                arguments: [runID, generation]) ?? false
        }
        guard isFinished else {
            throw HistoryError.noSuchRecord(kind: "finished generation", identity: String(generation))
        }
        let copy = DatabaseFile(folder: folder)
        guard access(copy.path, F_OK) != 0 else { throw HistoryError.alreadyExists(file: copy.path) }
        let draft = DatabaseFile(folder: folder + "/fork.partial")
        try? FileManager.default.removeItem(atPath: draft.folder)
        try RunHistory.prepareFolder(of: draft)
        try history.backup(to: draft.path)
        let fork = try RunHistory.open(in: draft.folder)
        try fork.write { db in
            try Self.archiveGenerations(after: generation, of: runID, in: db)
            try db.execute(
                sql: "UPDATE runs SET status = 'running', finished_at = NULL WHERE id = ?", arguments: [runID])
            try db.execute(
                sql: "INSERT INTO events (run_id, at, kind, text) VALUES (?, ?, 'forked', ?)",
                arguments: [runID, instant, "from generation \(generation) of \(history.file)"])
        }
        try fork.close()
        guard rename(draft.path, copy.path) == 0 else {
            throw HistoryError.notWritable(file: copy.path, reason: String(cString: strerror(errno)))
        }
        try DatabaseFile.synchronize(copy.folder)
        try? FileManager.default.removeItem(atPath: draft.folder)
        return try RunHistory.open(in: folder)
    }

    /// Moves later generations to a run of their own; open tasks and candidates without evaluation are deleted.
    private static func archiveGenerations(after number: Int, of runID: Int64, in db: Database) throws {
        try db.execute(
            sql: """
                DELETE FROM candidates
                WHERE run_id = ?
                    AND NOT EXISTS (SELECT 1 FROM evaluations e WHERE e.candidate_id = candidates.id)
                    AND id IN (
                        SELECT tc.candidate_id FROM task_candidates tc JOIN tasks t ON t.id = tc.task_id
                        WHERE t.state IN ('pending', 'leased'))
                """,
            arguments: [runID])
        try db.execute(
            sql: "DELETE FROM tasks WHERE run_id = ? AND state IN ('pending', 'leased')", arguments: [runID])
        try db.execute(
            sql: """
                INSERT INTO runs (id, name, configuration, cost_objective, quality_objective, shape, gene_count,
                    model_hash, seed, reference_cost, reference_quality, evaluation_key, status, created_at, finished_at)
                SELECT (SELECT min(id) FROM runs) - 1, name || ', after generation ' || ?, configuration,
                    cost_objective, quality_objective, shape, gene_count, model_hash, seed, reference_cost,
                    reference_quality, evaluation_key, 'stopped', created_at, coalesce(finished_at, created_at)
                FROM runs WHERE id = ?
                """,
            arguments: [number, runID])
        let archive = db.lastInsertedRowID
        try db.execute(
            sql: """
                INSERT INTO genes (run_id, gene, step, block, component)
                SELECT ?, gene, step, block, component FROM genes WHERE run_id = ?
                """,
            arguments: [archive, runID])
        try db.execute(
            sql: """
                INSERT INTO evaluation_sets (run_id, name, engine, precision)
                SELECT ?, name, engine, precision FROM evaluation_sets WHERE run_id = ? AND name = 'calibration'
                """,
            arguments: [archive, runID])
        try db.execute(
            sql: """
                INSERT INTO generations (run_id, number, search_state, started_at, finished_at, hypervolume, evaluations,
                    wall_seconds)
                SELECT ?, number, search_state, started_at, finished_at, hypervolume, evaluations, wall_seconds
                FROM generations WHERE run_id = ? AND number > ?
                """,
            arguments: [archive, runID, number])
        for table in ["candidates", "tasks"] {
            try db.execute(
                sql: "UPDATE \(table) SET run_id = ? WHERE run_id = ? AND generation > ?",
                arguments: [archive, runID, number])
        }
        try db.execute(sql: "DELETE FROM generations WHERE run_id = ? AND number > ?", arguments: [runID, number])
    }
}
