import Foundation
import GRDB

/// A schedule to benchmark.
public struct NewBenchmarkEntry: Sendable {
    /// Name of the schedule, such as its file name; unique in the run.
    public var label: String
    /// Genome and origin of the schedule.
    public var candidate: NewCandidate

    /// A schedule; `label` must be unique in the run.
    public init(label: String, candidate: NewCandidate) {
        self.label = label
        self.candidate = candidate
    }
}

/// Statistics of one scorer over the images of a benchmarked schedule.
public struct ScoreStatistics: Hashable, Sendable {
    /// Name of the scorer.
    public let scorer: String
    /// Mean over the images.
    public let mean: Double
    /// Standard error of the mean; nil for a single image.
    public let standardError: Double?
    /// 5th percentile, linearly interpolated.
    public let p5: Double
    /// Lowest score.
    public let worst: Double
    /// Prompt of the image with the lowest score.
    public let worstPrompt: String
    /// Number of images.
    public let images: Int
}

extension ScoreStatistics {
    init(_ row: Row) {
        scorer = row["scorer"]
        mean = row["mean"]
        standardError = row["standard_error"]
        p5 = row["p5"]
        worst = row["worst"]
        worstPrompt = row["worst_prompt"]
        images = row["images"]
    }
}

/// A benchmarked schedule with its measurements on one prompt set.
public struct BenchmarkRecord: Hashable, Sendable {
    /// Row id of the candidate.
    public let candidateID: Int64
    /// Name of the schedule.
    public let label: String
    /// Name of a heuristic or a file name.
    public let origin: String
    /// Multiply-accumulate operations to denoise one image.
    public let macs: Int64?
    /// Measured seconds / uncached seconds; nil until all images are measured.
    public let latencyRatio: Double?
    /// Statistics of each scorer, ordered by name.
    public let scores: [ScoreStatistics]
}

/// Schedules measured on prompt sets of their own, apart from the search.
public struct BenchmarkStore: Sendable {
    /// The label of the uncached schedule.
    public static let uncached = "uncached"

    let history: RunHistory

    /// Inserts schedules and the tasks that measure them on an evaluation set other than `calibration`.
    ///
    /// An evaluation set or a schedule of an earlier benchmark of the run is reused, so that measurements accumulate.
    /// Throws `HistoryError.refused` if the stored set has other prompts or images of another engine or precision, or a
    /// stored label another genome, and `.genomeLength`.
    public func begin(
        on evaluationSet: String, of runID: Int64, prompts: [String], entries: [NewBenchmarkEntry], tasks: [NewTask],
        engine: String = "native", precision: String = "float32", at instant: Double = RunHistory.now()
    ) throws -> InsertedIDs {
        try history.write { db in
            let genes = try SearchStore.geneCount(of: runID, in: db)
            try Self.insertIfMissing(prompts, of: evaluationSet, run: runID, in: db)
            try RunStore.insertEvaluationSet(
                evaluationSet, run: runID, engine: engine, precision: precision, in: db)
            let candidateIDs = try entries.map { try Self.insertIfMissing($0, run: runID, geneCount: genes, in: db) }
            let taskIDs = try tasks.map {
                try TaskStore.insert(
                    $0, candidateIDs: candidateIDs, generation: nil, evaluationSet: evaluationSet, run: runID,
                    at: instant, in: db)
            }
            return InsertedIDs(candidateIDs: candidateIDs, taskIDs: taskIDs)
        }
    }

    /// Inserts the uncached schedule and the tasks that measure it on the calibration prompts, for the scores that a loss is
    /// relative to.
    ///
    /// Returns nil, and inserts nothing, if it has tasks on these prompts. Throws `HistoryError.refused` if the label
    /// belongs to another genome, and `.genomeLength`.
    public func beginUncached(
        of runID: Int64, candidate: NewCandidate, tasks: [NewTask], at instant: Double = RunHistory.now()
    ) throws -> InsertedIDs? {
        try history.write { db in
            let id = try Self.insertIfMissing(
                NewBenchmarkEntry(label: Self.uncached, candidate: candidate), run: runID,
                geneCount: SearchStore.geneCount(of: runID, in: db), in: db)
            guard try !Self.isMeasuredByCalibration(id, in: db) else { return nil }
            let taskIDs = try tasks.map {
                try TaskStore.insert(
                    $0, candidateIDs: [id], generation: nil, evaluationSet: RunHistory.calibration, run: runID,
                    at: instant, in: db)
            }
            return InsertedIDs(candidateIDs: [id], taskIDs: taskIDs)
        }
    }

    /// The uncached schedule, if it has tasks on the calibration prompts and no totals yet.
    public func unsettledUncached(of runID: Int64) throws -> Int64? {
        try history.read { db in
            let id = try Int64.fetchOne(
                db,
                sql: """
                    SELECT id FROM candidates c WHERE run_id = ? AND label = ? AND generation IS NULL AND NOT EXISTS (
                        SELECT 1 FROM evaluations e WHERE e.candidate_id = c.id AND e.evaluation_set = ?)
                    """, arguments: [runID, Self.uncached, RunHistory.calibration])
            return try id.flatMap { try Self.isMeasuredByCalibration($0, in: db) ? $0 : nil }
        }
    }

    private static func isMeasuredByCalibration(_ candidate: Int64, in db: Database) throws -> Bool {
        try Bool.fetchOne(
            db,
            sql: """
                SELECT EXISTS (SELECT 1 FROM task_candidates tc JOIN tasks t ON t.id = tc.task_id
                    WHERE tc.candidate_id = ? AND t.evaluation_set = ?)
                """, arguments: [candidate, RunHistory.calibration]) ?? false
    }

    /// All benchmarked schedules of a run, ordered by row id, with their measurements on one evaluation set so far.
    public func records(on evaluationSet: String, of runID: Int64) throws -> [BenchmarkRecord] {
        try history.read { db in
            let scores = try Row.fetchAll(
                db,
                sql: """
                    SELECT candidate_id, scorer, mean, standard_error, p5, worst, worst_prompt, images
                    FROM benchmark_scores WHERE run_id = ? AND prompt_set = ? ORDER BY candidate_id, scorer
                    """,
                arguments: [runID, evaluationSet])
            let statistics = Dictionary(grouping: scores) { $0["candidate_id"] as Int64 }
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT c.id, c.label, c.origin, coalesce(e.macs, c.macs) AS macs, e.latency_ratio
                    FROM candidates c LEFT JOIN evaluations e ON e.candidate_id = c.id AND e.evaluation_set = ?
                    WHERE c.run_id = ? AND c.generation IS NULL ORDER BY c.id
                    """,
                arguments: [evaluationSet, runID])
            return rows.map { row in
                BenchmarkRecord(
                    candidateID: row["id"], label: row["label"], origin: row["origin"], macs: row["macs"],
                    latencyRatio: row["latency_ratio"],
                    scores: statistics[row["id"], default: []].map { ScoreStatistics($0) })
            }
        }
    }

    private static func insertIfMissing(
        _ prompts: [String], of evaluationSet: String, run: Int64, in db: Database
    ) throws {
        guard evaluationSet != RunHistory.calibration else {
            throw HistoryError.refused(record: "evaluation set '\(evaluationSet)' is reserved for the search")
        }
        let stored = try RunStore.prompts(of: evaluationSet, run: run, in: db)
        guard stored.isEmpty || stored == prompts else {
            throw HistoryError.refused(
                record: "evaluation set '\(evaluationSet)' already exists with other prompts; expected another --name")
        }
        if stored.isEmpty { try RunStore.insertPrompts(prompts, of: evaluationSet, run: run, in: db) }
    }

    private static func insertIfMissing(
        _ entry: NewBenchmarkEntry, run: Int64, geneCount: Int, in db: Database
    ) throws -> Int64 {
        let stored = try Row.fetchOne(
            db,
            sql: "SELECT id, genome, gate_step FROM candidates WHERE run_id = ? AND label = ? AND generation IS NULL",
            arguments: [run, entry.label])
        guard let stored else {
            return try SearchStore.insert(
                entry.candidate, generation: nil, label: entry.label, run: run, geneCount: geneCount, in: db)
        }
        let genome: Data = stored["genome"]
        let gateStep: Int? = stored["gate_step"]
        guard Array(genome) == entry.candidate.genome, gateStep == entry.candidate.gateStep else {
            throw HistoryError.refused(record: "schedule '\(entry.label)' already exists with another genome")
        }
        return stored["id"]
    }
}
