import Foundation
import GRDB

extension RunHistory {
    /// Enters a run, with its genes and calibration prompts.
    ///
    /// - Parameters:
    ///   - run: The run.
    ///   - instant: Unix seconds.
    /// - Returns: The run's identity.
    /// - Throws: `HistoryError`.
    public func createRun(_ run: NewRun, at instant: Double = now()) throws -> Int64 {
        try write { db in
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
            try Self.enterPrompts(run.prompts, of: Self.calibration, run: runID, in: db)
            return runID
        }
    }

    /// Sets the hypervolume's reference point, for runs that learn it from their first generation.
    ///
    /// - Parameters:
    ///   - reference: The point.
    ///   - runID: The run.
    /// - Throws: `HistoryError`.
    public func setReferencePoint(_ reference: ReferencePoint, of runID: Int64) throws {
        try write { db in
            try db.execute(
                sql: "UPDATE runs SET reference_cost = ?, reference_quality = ? WHERE id = ?",
                arguments: [reference.cost, reference.quality, runID])
            try Self.requireChange(in: db, kind: "run", identity: runID)
        }
    }

    /// Replaces the resolved configuration, for a run that is extended or forked.
    ///
    /// - Parameters:
    ///   - configuration: TOML, all defaults resolved.
    ///   - evaluationKey: As in `NewRun`; nil leaves it as it is.
    ///   - runID: The run.
    /// - Throws: `HistoryError`.
    public func setConfiguration(_ configuration: String, evaluationKey: String? = nil, of runID: Int64) throws {
        try write { db in
            try db.execute(
                sql: "UPDATE runs SET configuration = ?, evaluation_key = coalesce(?, evaluation_key) WHERE id = ?",
                arguments: [configuration, evaluationKey, runID])
            try Self.requireChange(in: db, kind: "run", identity: runID)
        }
    }

    /// Notes how a run ended, or that it goes on.
    ///
    /// - Parameters:
    ///   - status: Where it stands now; `.running` clears the time of its end.
    ///   - runID: The run.
    ///   - instant: Unix seconds.
    /// - Throws: `HistoryError`.
    public func setStatus(_ status: RunStatus, of runID: Int64, at instant: Double = now()) throws {
        try write { db in
            try db.execute(
                sql: "UPDATE runs SET status = ?, finished_at = ? WHERE id = ?",
                arguments: [status.rawValue, status == .running ? nil : instant, runID])
            try Self.requireChange(in: db, kind: "run", identity: runID)
        }
    }

    /// All runs of the file.
    ///
    /// - Returns: Oldest first.
    /// - Throws: `HistoryError`.
    public func runs() throws -> [RunRecord] {
        try read { db in
            try Row.fetchAll(db, sql: "SELECT * FROM runs ORDER BY id").map { RunRecord($0) }
        }
    }

    /// What the genes of a run decide about.
    ///
    /// - Parameter runID: The run.
    /// - Returns: In genome order.
    /// - Throws: `HistoryError`.
    public func genes(of runID: Int64) throws -> [GeneCell] {
        try read { db in
            try Row.fetchAll(
                db, sql: "SELECT step, block, component FROM genes WHERE run_id = ? ORDER BY gene", arguments: [runID]
            ).map { GeneCell(step: $0["step"], block: $0["block"], component: $0["component"]) }
        }
    }

    /// The prompts of an evaluation set.
    ///
    /// - Parameters:
    ///   - runID: The run.
    ///   - evaluationSet: The set.
    /// - Returns: In the order of their indices.
    /// - Throws: `HistoryError`.
    public func prompts(of runID: Int64, in evaluationSet: String = calibration) throws -> [String] {
        try read { db in
            try String.fetchAll(
                db, sql: "SELECT text FROM prompts WHERE run_id = ? AND evaluation_set = ? ORDER BY prompt_index",
                arguments: [runID, evaluationSet])
        }
    }

    static func enterPrompts(_ prompts: [String], of evaluationSet: String, run: Int64, in db: Database) throws {
        let prompt = try db.cachedStatement(
            sql: "INSERT INTO prompts (run_id, evaluation_set, prompt_index, text) VALUES (?, ?, ?, ?)")
        for (index, text) in prompts.enumerated() {
            try prompt.execute(arguments: [run, evaluationSet, index, text])
        }
    }

    /// Row identities of a set's prompts, by prompt index.
    static func promptIDs(of evaluationSet: String, run: Int64, in db: Database) throws -> [Int64] {
        let statement = try db.cachedStatement(
            sql: "SELECT id FROM prompts WHERE run_id = ? AND evaluation_set = ? ORDER BY prompt_index")
        return try Int64.fetchAll(statement, arguments: [run, evaluationSet])
    }

    static func requireChange(in db: Database, kind: String, identity: Int64) throws {
        guard db.changesCount > 0 else {
            throw HistoryError.noSuchRecord(kind: kind, identity: String(identity))
        }
    }
}

extension RunRecord {
    init(_ row: Row) {
        let cost: Double? = row["reference_cost"]
        let quality: Double? = row["reference_quality"]
        var reference: ReferencePoint?
        if let cost, let quality { reference = ReferencePoint(cost: cost, quality: quality) }
        self.init(
            id: row["id"], name: row["name"], configuration: row["configuration"],
            costObjective: row["cost_objective"], qualityObjective: row["quality_objective"], shape: row["shape"],
            geneCount: row["gene_count"], modelHash: row["model_hash"], seed: row["seed"], reference: reference,
            evaluationKey: row["evaluation_key"], status: RunStatus(rawValue: row["status"]) ?? .failed,
            createdAt: row["created_at"],
            finishedAt: row["finished_at"])
    }
}
