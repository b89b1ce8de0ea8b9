import Basics
import JSON
import ModelConfiguration

/// A schedule with what a published schedule file says besides: the format of the original ECAD implementation.
///
/// A file is one JSON object: `cache_schedule` with the decisions, `config` with the run they were made for, and
/// `metrics` written back by tools. The decisions are read strictly; `metrics` and top-level keys without a meaning
/// are kept as they are, so that a file read and written again loses nothing.
///
/// ```swift
/// let file = try ScheduleFile(path: "ours_fast.json")
/// print(file.schedule.shape, file.schedule.genome.sha256)
/// ```
public struct ScheduleFile: Hashable, Sendable {
    /// The decisions.
    public let schedule: Schedule
    /// Descriptive numbers that no logic reads back (`attributes`).
    public let attributes: JSONObject
    /// Everything beside `cache_schedule`, in the file's order: `config`, `metrics` and unknown keys.
    public internal(set) var sections: JSONObject

    /// The run configuration (`config`); empty when absent.
    public var configuration: JSONObject { sections["config"]?.object ?? [:] }

    /// What tools wrote back (`metrics`): `by_inference_step`, `total_macs`, `latency` and others.
    public var metrics: JSONObject {
        get { sections["metrics"]?.object ?? [:] }
        set { sections["metrics"] = .object(newValue) }
    }

    /// Makes a file for a schedule.
    ///
    /// For a TGATE schedule the configuration's `pipeline` is set to what the original demands.
    ///
    /// - Parameters:
    ///   - schedule: The decisions.
    ///   - attributes: Descriptive numbers; nil for those that the original's search writes.
    ///   - configuration: The run configuration (`config`).
    public init(schedule: Schedule, attributes: JSONObject? = nil, configuration: JSONObject = [:]) {
        var configuration = configuration
        if let gateStep = schedule.gateStep {
            configuration["pipeline"] = [
                "name": "tgate", "kwargs": ["gate_step": JSONValue(gateStep)],
            ]
        }
        self.schedule = schedule
        self.attributes = attributes ?? schedule.affectedAttributes
        sections = ["config": .object(configuration), "metrics": [:]]
    }

    init(schedule: Schedule, attributes: JSONObject, sections: JSONObject) {
        self.schedule = schedule
        self.attributes = attributes
        self.sections = sections
    }

    /// The family that the file most likely belongs to.
    ///
    /// FLUX is certain. PixArt-alpha and PixArt-Sigma schedules have one shape, and a file names its model only where
    /// it overrides a default; without such a hint PixArt-alpha is assumed, as most published files are for it.
    public var likelyFamily: ModelFamily {
        if schedule.shape.isFlux { return .flux }
        let names = [
            configuration["pipeline"]?.object?["name"], configuration["transformer_weights"],
            configuration["pipeline_weights"],
        ]
        return names.contains { $0?.string?.lowercased().contains("sigma") ?? false } ? .pixartSigma : .pixartAlpha
    }

    /// Label of a candidate of a search, as the original names them: `NAME_gen_GGG_cand_CCC`.
    public static func candidateName(run: String, generation: Int, candidate: Int) -> String {
        "\(run)_gen_\("\(generation)".leftPadded(to: 3, with: "0"))_cand_\("\(candidate)".leftPadded(to: 3, with: "0"))"
    }
}

extension ScheduleFile {
    /// Reads a schedule file.
    ///
    /// - Throws: `FileError`, `JSONError`.
    public init(path: String) throws {
        try self.init(parsing: try FileContents.read(path), file: path)
    }

    /// Writes the file, replacing what the path holds.
    ///
    /// - Throws: `FileError`.
    public func write(to path: String) throws(FileError) {
        try FileContents.write(text, to: path)
    }
}
