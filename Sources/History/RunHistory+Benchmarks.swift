import Foundation
import GRDB

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
            db, sql: "SELECT id, genome FROM candidates WHERE run_id = ? AND label = ? AND generation IS NULL",
            arguments: [run, entry.label])
        guard let known else {
            return try enter(
                entry.candidate, generation: nil, label: entry.label, run: run, genomeBytes: genomeBytes, in: db)
        }
        let genome: Data = known["genome"]
        guard Array(genome) == entry.candidate.genome else {
            throw HistoryError.refused(record: "the schedule '\(entry.label)' is known with another genome")
        }
        return known["id"]
    }
}
