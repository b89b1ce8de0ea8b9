import Foundation
import GRDB

extension RunHistory {
    /// Stores a small picture of an image; the same image's earlier picture is replaced.
    ///
    /// - Parameters:
    ///   - png: A PNG file's bytes.
    ///   - candidateID: The candidate; `nil` for the uncached reference.
    ///   - image: Which image.
    ///   - evaluationSet: The set that the image's prompt is of.
    ///   - runID: The run.
    /// - Throws: `HistoryError.noSuchRecord` for an unknown prompt.
    public func storeThumbnail(
        _ png: [UInt8], of candidateID: Int64?, image: ImageKey, in evaluationSet: String = calibration,
        run runID: Int64
    ) throws {
        try write { db in
            let promptIDs = try Self.promptIDs(of: evaluationSet, run: runID, in: db)
            try db.execute(
                sql: """
                    INSERT INTO thumbnails (candidate_id, prompt_id, seed, png) VALUES (?, ?, ?, ?)
                    ON CONFLICT (prompt_id, seed, ifnull(candidate_id, 0)) DO UPDATE SET png = excluded.png
                    """,
                arguments: [candidateID, try Self.promptID(image, promptIDs), image.seed, Data(png)])
        }
    }

    /// The pictures of a candidate, or of the uncached reference.
    ///
    /// - Parameters:
    ///   - candidateID: The candidate; `nil` for the uncached reference.
    ///   - evaluationSet: The set that the images' prompts are of.
    ///   - runID: The run.
    /// - Returns: Ordered by prompt and seed.
    /// - Throws: `HistoryError`.
    public func thumbnails(
        of candidateID: Int64?, in evaluationSet: String = calibration, run runID: Int64
    ) throws -> [Thumbnail] {
        try read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT p.prompt_index, t.seed, t.png FROM thumbnails t JOIN prompts p ON p.id = t.prompt_id
                    WHERE t.candidate_id IS ? AND p.run_id = ? AND p.evaluation_set = ?
                    ORDER BY p.prompt_index, t.seed
                    """,
                arguments: [candidateID, runID, evaluationSet]
            ).map { row in
                let png: Data = row["png"]
                return Thumbnail(
                    candidateID: candidateID, image: ImageKey(prompt: row["prompt_index"], seed: row["seed"]),
                    png: Array(png))
            }
        }
    }
}
