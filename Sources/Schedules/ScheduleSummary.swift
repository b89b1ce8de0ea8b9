import Basics
import JSON
import ModelConfiguration

/// What `ecad schedule info` says of a schedule.
public struct ScheduleSummary: Hashable, Sendable {
    /// The file, as given.
    public let file: String
    /// The schedule.
    public let contents: ScheduleFile

    /// Makes the summaries of a file's schedules.
    ///
    /// - Throws: As ``ScheduleDocument/init(path:)``.
    public static func read(_ path: String) throws -> [ScheduleSummary] {
        try ScheduleDocument(path: path).files.map { ScheduleSummary(file: path, contents: $0) }
    }

    /// The members `file`, `family`, `steps`, `genes`, `recomputed` and `genome_sha256`.
    public var json: JSONValue {
        let genome = contents.schedule.genome
        return [
            "file": .string(file), "family": .string(contents.likelyFamily.rawValue),
            "steps": JSONValue(contents.schedule.shape.stepCount), "genes": JSONValue(genome.geneCount),
            "recomputed": JSONValue(genome.recomputeCount), "genome_sha256": .string(genome.sha256),
        ]
    }
}

/// What `ecad schedule macs` says of a schedule.
public struct MultiplyAddsSummary: Hashable, Sendable {
    /// The file, as given.
    public let file: String
    /// The schedule's label.
    public let name: String
    /// The counts.
    public let counts: MultiplyAdds
    /// Share of the counts without attention products that recomputing everything would have, 0 to 1.
    public let shareOfUncached: Double

    /// Counts the multiply-adds of a schedule.
    ///
    /// - Throws: `FileError` for a schedule of another shape than the model's.
    public init(file: String, schedule: Schedule, model: ModelArchitecture) throws(FileError) {
        do {
            counts = try model.macs(schedule)
            let uncached = try model.macs(Schedule(shape: schedule.shape))
            shareOfUncached = Double(counts.total) / Double(uncached.total)
        } catch {
            throw FileError(path: file, problem: "\(error)")
        }
        self.file = file
        name = schedule.name
    }

    /// The members `file`, `total_macs`, `macs_by_step` and `total_macs_with_attention`.
    public var json: JSONValue {
        [
            "file": .string(file), "total_macs": JSONValue(counts.total),
            "macs_by_step": .array(counts.byStep.map { JSONValue($0) }),
            "total_macs_with_attention": JSONValue(counts.totalWithAttention),
        ]
    }
}
