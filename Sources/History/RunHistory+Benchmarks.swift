import Foundation
import GRDB

/// What a scorer says of a benchmarked schedule.
public struct ScoreStatistics: Hashable, Sendable {
    /// The scorer's name.
    public let scorer: String
    /// The mean over the images.
    public let mean: Double
    /// The mean's standard error; nil for a single image.
    public let standardError: Double?
    /// The 5th percentile, linear between images.
    public let p5: Double
    /// The lowest score, and the prompt of its image.
    public let worst: Double
    /// The prompt of the lowest score.
    public let worstPrompt: String
    /// The number of images.
    public let images: Int
}

/// A benchmarked schedule with what was measured of it on one prompt set.
public struct BenchmarkRecord: Hashable, Sendable {
    /// The candidate.
    public let candidateID: Int64
    /// The schedule's name.
    public let label: String
    /// Where it comes from.
    public let origin: String
    /// Multiply-accumulate operations of one image's denoising.
    public let macs: Int64?
    /// Candidate seconds / uncached seconds, measured; nil before all images are there.
    public let latencyRatio: Double?
    /// What each scorer says, by name.
    public let scores: [ScoreStatistics]
}

/// A schedule about to be benchmarked.
public struct NewBenchmarkEntry: Sendable {
    /// The schedule's name, its file's for one; unique in the run.
    public var label: String
    /// The schedule.
    public var candidate: NewCandidate

    /// Names a schedule.
    ///
    /// - Parameters:
    ///   - label: The schedule's name, its file's for one.
    ///   - candidate: The schedule.
    public init(label: String, candidate: NewCandidate) {
        self.label = label
        self.candidate = candidate
    }
}

extension RunHistory {
    /// Enters schedules to be measured on an evaluation set of their own, apart from the search.
    ///
    /// A set or a schedule that an earlier benchmark of the run entered is used again, so that their results add up.
    ///
    /// - Parameters:
    ///   - evaluationSet: The prompt set's name, other than `calibration`.
    ///   - runID: The run.
    ///   - prompts: The set's prompts.
    ///   - entries: The schedules.
    ///   - tasks: What measures them.
    ///   - instant: Unix seconds.
    /// - Returns: The identities given.
    /// - Throws: `HistoryError.refused` when the set or a label is known with other prompts or another genome,
    ///   `.genomeLength`.
    public func beginBenchmark(
        on evaluationSet: String, of runID: Int64, prompts: [String], entries: [NewBenchmarkEntry], tasks: [NewTask],
        at instant: Double = now()
    ) throws -> EnteredWork {
        try write { db in
            let bytes = try Self.genomeBytes(of: runID, in: db)
            try Self.enterOnce(prompts, of: evaluationSet, run: runID, in: db)
            let candidateIDs = try entries.map { try Self.enterOnce($0, run: runID, genomeBytes: bytes, in: db) }
            let taskIDs = try tasks.map {
                try Self.enter(
                    $0, candidateIDs: candidateIDs, generation: nil, evaluationSet: evaluationSet, run: runID,
                    at: instant, in: db)
            }
            return EnteredWork(candidateIDs: candidateIDs, taskIDs: taskIDs)
        }
    }

    /// The tasks of a benchmark that wait for a worker or are with one.
    ///
    /// - Parameters:
    ///   - evaluationSet: The prompt set's name.
    ///   - runID: The run.
    /// - Returns: In the order in which they were entered.
    /// - Throws: `HistoryError`.
    public func openTasks(on evaluationSet: String, of runID: Int64) throws -> [TaskRecord] {
        try read { db in
            try Self.tasks(
                in: db, where: "run_id = ? AND evaluation_set = ? AND state IN ('pending', 'leased')",
                arguments: [runID, evaluationSet])
        }
    }

    /// What was measured of the schedules of a benchmark so far.
    ///
    /// - Parameters:
    ///   - evaluationSet: The prompt set's name.
    ///   - runID: The run.
    /// - Returns: All schedules of the run that have a label, in the order in which they were entered.
    /// - Throws: `HistoryError`.
    public func benchmarkRecords(on evaluationSet: String, of runID: Int64) throws -> [BenchmarkRecord] {
        try read { db in
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
                    scores: statistics[row["id"], default: []].map {
                        ScoreStatistics(
                            scorer: $0["scorer"], mean: $0["mean"], standardError: $0["standard_error"], p5: $0["p5"],
                            worst: $0["worst"], worstPrompt: $0["worst_prompt"], images: $0["images"])
                    })
            }
        }
    }

    private static func enterOnce(
        _ prompts: [String], of evaluationSet: String, run: Int64, in db: Database
    ) throws {
        guard evaluationSet != calibration else {
            throw HistoryError.refused(record: "the evaluation set '\(calibration)' belongs to the search")
        }
        let known = try String.fetchAll(
            db, sql: "SELECT text FROM prompts WHERE run_id = ? AND evaluation_set = ? ORDER BY prompt_index",
            arguments: [run, evaluationSet])
        guard known.isEmpty || known == prompts else {
            throw HistoryError.refused(record: "the evaluation set '\(evaluationSet)' is known with other prompts")
        }
        if known.isEmpty { try enterPrompts(prompts, of: evaluationSet, run: run, in: db) }
    }

    private static func enterOnce(
        _ entry: NewBenchmarkEntry, run: Int64, genomeBytes: (genes: Int, bytes: Int), in db: Database
    ) throws -> Int64 {
        let known = try Row.fetchOne(
            db,
            sql: "SELECT id, genome, gate_step FROM candidates WHERE run_id = ? AND label = ? AND generation IS NULL",
            arguments: [run, entry.label])
        guard let known else {
            return try enter(
                entry.candidate, generation: nil, label: entry.label, run: run, genomeBytes: genomeBytes, in: db)
        }
        let genome: Data = known["genome"]
        let gateStep: Int? = known["gate_step"]
        guard Array(genome) == entry.candidate.genome, gateStep == entry.candidate.gateStep else {
            throw HistoryError.refused(record: "the schedule '\(entry.label)' is known with another genome")
        }
        return known["id"]
    }
}
