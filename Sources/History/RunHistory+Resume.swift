import Foundation
import GRDB

/// All that a coordinator needs to go on with a run.
public struct RunSnapshot: Hashable, Sendable {
    /// The run, with its configuration.
    public let run: RunRecord
    /// The generation begun last, `nil` before the first; its search state is the one to go on from.
    public let generation: GenerationRecord?
    /// That generation's candidates in the order of the ask, with the totals of those that are evaluated.
    public let candidates: [CandidateRecord]
    /// That generation's tasks, and the open ones of earlier generations and of benchmarks.
    public let tasks: [TaskRecord]
    /// Leases that have not ended: workers may still deliver, or be gone.
    public let openLeases: [LeaseRecord]
}

extension RunHistory {
    /// Reads what is needed to go on with a run, in one consistent state.
    ///
    /// - Parameter runID: The run; without it, the latest of the file.
    /// - Returns: The run and its latest generation.
    /// - Throws: `HistoryError.noSuchRecord` when there is no such run.
    public func loadRun(_ runID: Int64? = nil) throws -> RunSnapshot {
        try read { db in
            let row = try Row.fetchOne(
                db, sql: "SELECT * FROM runs WHERE id = coalesce(?, (SELECT max(id) FROM runs))", arguments: [runID])
            guard let row else {
                throw HistoryError.noSuchRecord(kind: "run", identity: runID.map { String($0) } ?? "at all")
            }
            let run = RunRecord(row)
            let generation = try Row.fetchOne(
                db, sql: "SELECT * FROM generations WHERE run_id = ? ORDER BY number DESC LIMIT 1", arguments: [run.id]
            ).map { GenerationRecord($0) }
            return RunSnapshot(
                run: run, generation: generation,
                candidates: try Self.candidates(
                    in: db, where: "c.run_id = ? AND c.generation = ?", arguments: [run.id, generation?.number]),
                tasks: try Self.tasks(
                    in: db,
                    where: "run_id = ? AND (generation = ? OR state IN ('pending', 'leased'))",
                    arguments: [run.id, generation?.number]),
                openLeases: try Self.openLeases(of: run.id, expiringBy: .infinity, in: db))
        }
    }

    /// All generations of a run.
    ///
    /// - Parameter runID: The run.
    /// - Returns: In their order.
    /// - Throws: `HistoryError`.
    public func generations(of runID: Int64) throws -> [GenerationRecord] {
        try read { db in
            try Row.fetchAll(
                db, sql: "SELECT * FROM generations WHERE run_id = ? ORDER BY number", arguments: [runID]
            ).map { GenerationRecord($0) }
        }
    }

    /// One candidate.
    ///
    /// - Parameter id: The candidate.
    /// - Returns: The candidate with its totals.
    /// - Throws: `HistoryError.noSuchRecord`.
    public func candidate(_ id: Int64) throws -> CandidateRecord {
        try read { db in
            guard let candidate = try Self.candidates(in: db, where: "c.id = ?", arguments: [id]).first else {
                throw HistoryError.noSuchRecord(kind: "candidate", identity: String(id))
            }
            return candidate
        }
    }

    /// The candidates that the search of a run asked for.
    ///
    /// - Parameter runID: The run.
    /// - Returns: In the order of asking, with the totals of those that are evaluated.
    /// - Throws: `HistoryError`.
    public func candidates(of runID: Int64) throws -> [CandidateRecord] {
        try read { db in
            try Self.candidates(in: db, where: "c.run_id = ? AND c.generation IS NOT NULL", arguments: [runID])
        }
    }

    /// The candidate of a run's search that makes the same images as a genome.
    ///
    /// - Parameters:
    ///   - canonicalHash: The genome's canonical hash.
    ///   - runID: The run.
    /// - Returns: `nil` when the search never asked for one.
    /// - Throws: `HistoryError`.
    public func candidate(canonicalHash: String, of runID: Int64) throws -> CandidateRecord? {
        try read { db in
            try Self.candidates(
                in: db, where: "c.run_id = ? AND c.canonical_hash = ? AND c.generation IS NOT NULL",
                arguments: [runID, canonicalHash]
            ).first
        }
    }

    /// The non-dominated candidates of a run.
    ///
    /// - Parameter runID: The run.
    /// - Returns: In the order of rising speed-up.
    /// - Throws: `HistoryError`.
    public func front(of runID: Int64) throws -> [FrontRecord] {
        try read { db in
            try Row.fetchAll(db, sql: "SELECT * FROM pareto_front WHERE run_id = ?", arguments: [runID]).map {
                FrontRecord(
                    candidateID: $0["candidate_id"], generation: $0["generation"], speedup: $0["speedup"],
                    latencyRatio: $0["latency_ratio"], measuredRatio: $0["measured_ratio"], macs: $0["macs"],
                    cost: $0["cost"], quality: $0["quality"], images: $0["images"])
            }
        }
    }

    static func candidates(
        in db: Database, where condition: String, arguments: StatementArguments
    ) throws -> [CandidateRecord] {
        try db.cachedRows(
            sql: """
                SELECT c.*, e.cost, e.quality, e.latency_ratio, e.modelled_ratio, e.macs AS evaluation_macs, e.images,
                    e.denoise_seconds, e.reference_seconds
                FROM candidates c
                LEFT JOIN evaluations e ON e.candidate_id = c.id AND e.evaluation_set = '\(calibration)'
                WHERE \(condition) ORDER BY c.id
                """,
            arguments: arguments
        ).map { CandidateRecord($0) }
    }
}

extension GenerationRecord {
    init(_ row: Row) {
        let searchState: Data = row["search_state"]
        self.init(
            runID: row["run_id"], number: row["number"], searchState: Array(searchState), startedAt: row["started_at"],
            finishedAt: row["finished_at"], hypervolume: row["hypervolume"], evaluations: row["evaluations"],
            wallSeconds: row["wall_seconds"])
    }
}

extension CandidateRecord {
    init(_ row: Row) {
        let genome: Data = row["genome"]
        let cost: Double? = row["cost"]
        let evaluation = cost.map {
            EvaluationTotals(
                cost: $0, quality: row["quality"], latencyRatio: row["latency_ratio"],
                modelledRatio: row["modelled_ratio"], macs: row["evaluation_macs"], images: row["images"],
                denoiseSeconds: row["denoise_seconds"], referenceSeconds: row["reference_seconds"])
        }
        self.init(
            id: row["id"], runID: row["run_id"], generation: row["generation"], label: row["label"],
            genome: Array(genome), genomeSHA256: row["genome_sha256"], canonicalHash: row["canonical_hash"],
            parentA: row["parent_a"], parentB: row["parent_b"], operator: row["operator"], origin: row["origin"],
            macs: row["macs"], gateStep: row["gate_step"], evaluation: evaluation)
    }
}
