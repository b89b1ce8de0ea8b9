import Basics
import JSON
import ModelConfiguration

/// A file of schedules in either format: a published JSON file with one, or a compact file with a front.
public enum ScheduleDocument: Hashable, Sendable {
    /// A published JSON file.
    case published(ScheduleFile)
    /// A compact file.
    case compact(CompactScheduleFile)

    /// The file name extension of compact files.
    public static let compactEnding = ".ecad"

    /// Reads a file; its content determines the format.
    ///
    /// - Throws: `FileError`, `JSONError`, ``SchedulesError``.
    public init(path: String) throws {
        let bytes = try FileContents.read(path)
        self =
            CompactScheduleFile.isCompact(bytes)
            ? .compact(try CompactScheduleFile(parsing: bytes, file: path))
            : .published(try ScheduleFile(parsing: bytes, file: path))
    }

    /// The schedules as published files.
    ///
    /// Cost and quality in a compact file become `cost` and `quality` in `metrics`, each with `name` and `value`;
    /// multiply-adds also become `total_macs`, which the original reads.
    public var files: [ScheduleFile] {
        switch self {
        case .published(let file): [file]
        case .compact(let compact): compact.entries.map { $0.file(in: compact) }
        }
    }

    fileprivate var compact: CompactScheduleFile? {
        if case .compact(let compact) = self { compact } else { nil }
    }

    /// Writes the file, replacing what the path holds.
    ///
    /// - Throws: `FileError`.
    public func write(to path: String) throws(FileError) {
        switch self {
        case .published(let file): try file.write(to: path)
        case .compact(let compact): try FileContents.write([compact.bytes], to: path)
        }
    }

    /// One of the file's schedules.
    ///
    /// - Parameters:
    ///   - entry: Its index in a compact file; nil for the only one.
    ///   - path: The file's name in errors.
    /// - Returns: The schedule as a published file.
    /// - Throws: ``SchedulesError/scheduleChoice(file:count:found:)`` if the index is out of range, or missing and the
    ///   file has several schedules.
    public func file(entry: Int?, path: String) throws(SchedulesError) -> ScheduleFile {
        let files = files
        guard let entry = entry ?? (files.count == 1 ? 0 : nil), files.indices.contains(entry) else {
            throw .scheduleChoice(file: path, count: files.count, found: entry.map { "\($0)" } ?? "none")
        }
        return files[entry]
    }

    /// Reads the settings under which a model directory would run the schedules.
    ///
    /// The image size is that of the schedules' configuration, by default the model's native size.
    ///
    /// - Parameters:
    ///   - folder: A model directory in the diffusers layout.
    ///   - path: The file's name in errors.
    /// - Returns: The settings.
    /// - Throws: `FileError`, `JSONError`, `ModelConfigurationError`; also if the schedules do not match the model.
    public func settings(modelFolder folder: String, path: String) throws -> MeasurementSettings {
        guard let first = files.first else {
            throw SchedulesError.compactContents(problem: "no schedules; expected at least one")
        }
        let settings = try MeasurementSettings(
            modelFolder: folder, height: first.configuration["height"]?.int,
            width: first.configuration["width"]?.int, stepCount: first.schedule.shape.stepCount)
        let shape = try settings.model.architecture.shape(stepCount: settings.stepCount)
        guard shape == first.schedule.shape else {
            let mismatch = SchedulesError.shapeMismatch(schedule: "\(first.schedule.shape)", model: "\(shape)")
            throw FileError(path: path, problem: "\(mismatch)")
        }
        return settings
    }

    /// Rejects a compact file that was measured under other settings.
    ///
    /// - Throws: ``SchedulesError/settingsMismatch(file:expected:found:)``.
    public func check(_ settings: MeasurementSettings, path: String) throws(SchedulesError) {
        try compact?.check(settings, file: path)
    }
}

extension CompactScheduleFile {
    /// Packs published files with the costs and qualities in their metrics.
    ///
    /// These are `cost` (by default `total_macs`) and `quality`, as ``ScheduleDocument/files`` writes them. Other metrics
    /// are dropped.
    ///
    /// - Parameters:
    ///   - files: The schedules.
    ///   - provenance: Their origin.
    ///   - settings: The settings under which they were measured.
    /// - Throws: ``SchedulesError/compactContents(problem:)`` for no schedules, schedules of several shapes, and costs
    ///   or qualities of several kinds.
    public init(
        packing files: [ScheduleFile], provenance: String = "", settings: MeasurementSettings? = nil
    ) throws(SchedulesError) {
        let costs = files.map { $0.measurement("cost") ?? $0.macMeasurement }
        let qualities = files.map { $0.measurement("quality") }
        try self.init(
            entries: zip(files, zip(costs, qualities)).map { file, measured in
                Entry(file, cost: measured.0?.value, quality: measured.1?.value)
            },
            costName: try Self.commonName(of: costs, "costs"),
            qualityName: try Self.commonName(of: qualities, "qualities"), provenance: provenance, settings: settings)
    }

    /// Packs all schedules of several files.
    ///
    /// - Parameters:
    ///   - documents: The files.
    ///   - provenance: The schedules' origin; nil to join those of the compact files.
    ///   - settings: The settings under which they were measured; nil for those of the files, if all agree.
    /// - Throws: As ``init(packing:provenance:settings:)``, and for files measured under different settings
    ///   if none are given.
    public init(
        merging documents: [ScheduleDocument], provenance: String? = nil, settings: MeasurementSettings? = nil
    ) throws(SchedulesError) {
        let provenances = documents.compactMap { $0.compact?.provenance }.filter { !$0.isEmpty }
        let hashes = Set(documents.map { $0.compact?.settingsHash })
        guard settings != nil || hashes.compactMap(\.self).count <= 1 else {
            throw .compactContents(problem: "the files were measured under different settings")
        }
        let packed = try CompactScheduleFile(packing: documents.flatMap(\.files))
        try self.init(
            entries: packed.entries, costName: packed.costName, qualityName: packed.qualityName,
            provenance: provenance ?? provenances.joined(separator: "; "),
            settingsHash: settings?.hash ?? (hashes.count == 1 ? hashes.first ?? nil : nil))
    }

    private static func commonName(of measurements: [Measurement?], _ what: String) throws(SchedulesError) -> String {
        let names = Set(measurements.compactMap { $0?.name }).sorted()
        guard names.count <= 1 else {
            throw .compactContents(
                problem: "\(what) of the kinds \(names.joined(separator: " and ")); expected one kind")
        }
        return names.first ?? ""
    }
}

/// A measured value in a published file's `metrics`.
private struct Measurement {
    let name: String
    let value: Double
}

extension ScheduleFile {
    fileprivate func measurement(_ key: String) -> Measurement? {
        guard let object = metrics[key]?.object, let name = object["name"]?.string, let value = object["value"]?.double
        else { return nil }
        return Measurement(name: name, value: value)
    }

    fileprivate var macMeasurement: Measurement? {
        metrics["total_macs"]?.double.map { Measurement(name: "macs", value: $0) }
    }
}

extension CompactScheduleFile.Entry {
    fileprivate func file(in compact: CompactScheduleFile) -> ScheduleFile {
        func value(_ value: Double) -> JSONValue { Int(exactly: value).map { JSONValue($0) } ?? .number("\(value)") }
        var file = ScheduleFile(schedule: schedule, attributes: attributes, sections: sections)
        var metrics: JSONObject = [:]
        if let cost {
            metrics["cost"] = ["name": .string(compact.costName), "value": value(cost)]
            if compact.costName == "macs" { metrics["total_macs"] = value(cost) }
        }
        if let quality { metrics["quality"] = ["name": .string(compact.qualityName), "value": value(quality)] }
        file.metrics = metrics
        return file
    }
}

/// The summary that `ecad schedule info` prints.
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
            "step_mask": .bool(contents.schedule.isStepMask),
        ]
    }
}

/// The summary that `ecad schedule macs` prints.
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
