import Basics
import JSON
import ModelConfiguration

/// A published schedule file: a schedule and its metadata, in the format of the original ECAD implementation.
///
/// A file is one JSON object: `cache_schedule` with the decisions, `config` with the run they were made for, and
/// `metrics` written back by tools. Decisions are read strictly; `metrics` and unknown top-level keys are preserved,
/// so that a file that is read and written again loses nothing.
///
/// ```swift
/// let file = try ScheduleFile(path: "ours_fast.json")
/// print(file.schedule.shape, file.schedule.genome.sha256)
/// ```
public struct ScheduleFile: Hashable, Sendable {
    /// The decisions.
    public let schedule: Schedule
    /// Descriptive numbers that nothing reads back (`attributes`).
    public let attributes: JSONObject
    /// All sections other than `cache_schedule`, in order: `config`, `metrics` and unknown keys.
    public internal(set) var sections: JSONObject

    /// The run configuration (`config`); empty when absent.
    public var configuration: JSONObject { sections["config"]?.object ?? [:] }

    /// Measurements that tools add (`metrics`): `by_inference_step`, `total_macs`, `latency` and others.
    public var metrics: JSONObject {
        get { sections["metrics"]?.object ?? [:] }
        set { sections["metrics"] = .object(newValue) }
    }

    /// Makes a file for a schedule.
    ///
    /// For a TGATE schedule, `pipeline` is set in the configuration, as the original requires.
    ///
    /// - Parameters:
    ///   - schedule: The decisions.
    ///   - attributes: Descriptive numbers; nil for those of the original's search.
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
    /// FLUX is certain. PixArt-alpha and PixArt-Sigma share a shape, and a file names its model only to override a
    /// default; without a name, PixArt-alpha is assumed, as for most published files.
    public var likelyFamily: ModelFamily {
        if schedule.shape.isFlux { return .flux }
        let names = [
            configuration["pipeline"]?.object?["name"], configuration["transformer_weights"],
            configuration["pipeline_weights"],
        ]
        return names.contains { $0?.string?.lowercased().contains("sigma") ?? false } ? .pixartSigma : .pixartAlpha
    }

    /// The name of a candidate in the original's search: `NAME_gen_GGG_cand_CCC`.
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

extension ScheduleFile {
    /// The text in the layout of the original's search: 4 spaces of indentation, keys in ascending order.
    ///
    /// The order of blocks is part of the format: the original decodes FLUX schedules in the order of their keys.
    public var text: String {
        let shape = schedule.shape
        var section = JSONObject()
        section["num_blocks"] = JSONValue(shape.blockCount - shape.singleBlockCount)
        section["num_inference_steps"] = JSONValue(shape.stepCount)
        section["name"] = .string(schedule.name)
        section["attributes"] = .object(attributes)
        section["schedule"] = .object(
            JSONObject(
                distinct: (0..<shape.stepCount).map { step in
                    JSONObject.Member(key: Self.stepKey(step), value: stepValue(step))
                }))
        if shape.isFlux { section["num_single_blocks"] = JSONValue(shape.singleBlockCount) }
        let first = JSONObject.Member(key: "cache_schedule", value: .object(section))
        return JSONValue.object(JSONObject(distinct: [first] + sections.members)).indentedText
    }

    static func stepKey(_ step: Int) -> String { "\(step)".leftPadded(to: 3, with: "0") }

    private func stepValue(_ step: Int) -> JSONValue {
        let shape = schedule.shape
        return .object(
            JSONObject(
                distinct: (0..<shape.blockCount).map { block in
                    JSONObject.Member(key: shape.blockKey(block), value: blockValue(step: step, block: block))
                }))
    }

    private func blockValue(step: Int, block: Int) -> JSONValue {
        var members: [JSONObject.Member] = []
        for (slot, component) in schedule.shape.blocks[block].components.enumerated() {
            let decision = schedule[schedule.shape.index(step: step, block: block, slot: slot)]
            members.append(JSONObject.Member(key: component.rawValue, value: .bool(decision == .recompute)))
        }
        if let gateStep = schedule.gateStep {
            members.append(
                JSONObject.Member(
                    key: "custom_compute_attn",
                    value: ["name": "compute_attn_tgate", "kwargs": ["gate_step": JSONValue(gateStep)]]))
        }
        return .object(JSONObject(distinct: members))
    }
}

extension Schedule {
    /// The attributes of the original's search: the numbers of steps, blocks and pairs of both with any reuse.
    ///
    /// For FLUX, double-stream and single-stream blocks are counted separately.
    var affectedAttributes: JSONObject {
        var steps: Set<Int> = []
        var blocks: Set<Int> = []
        var pairs: Set<Int> = []
        for gene in decisions.indices where decisions[gene] != .recompute {
            let (pair, _) = gene.quotientAndRemainder(dividingBy: BlockKind.componentCount)
            pairs.insert(pair)
            steps.insert(pair / shape.blockCount)
            blocks.insert(pair % shape.blockCount)
        }
        let singles = blocks.count { shape.blocks[$0] == .fluxSingle }
        var attributes: JSONObject = [
            "num_affected_steps": JSONValue(steps.count),
            "num_affected_blocks": JSONValue(blocks.count - singles),
        ]
        if shape.isFlux { attributes["num_affected_blocks_single"] = JSONValue(singles) }
        attributes["total_num_affected_blocks"] = JSONValue(pairs.count)
        return attributes
    }
}
