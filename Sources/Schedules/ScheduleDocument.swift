import Basics
import JSON
import ModelConfiguration

/// A file of schedules in either format: a published JSON file with one, or a compact file with a front.
public enum ScheduleDocument: Hashable, Sendable {
    /// A published JSON file.
    case published(ScheduleFile)
    /// A compact file.
    case compact(CompactScheduleFile)

    /// The name ending of compact files.
    public static let compactEnding = ".ecad"

    /// Reads a file in the format that its content has.
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
    /// What a compact file knows of a schedule's cost and quality stands in `metrics`, as `cost` and `quality` with
    /// `name` and `value`; multiply-adds also as `total_macs`, where the original looks for them.
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
    ///   - entry: Its position in a compact file; nil for the only one.
    ///   - path: What an error message calls the file.
    /// - Returns: The schedule as a published file.
    /// - Throws: ``SchedulesError/scheduleChoice(file:count:found:)`` when there is no such schedule, or when there
    ///   are several and none is chosen.
    public func file(entry: Int?, path: String) throws(SchedulesError) -> ScheduleFile {
        let files = files
        guard let entry = entry ?? (files.count == 1 ? 0 : nil), files.indices.contains(entry) else {
            throw .scheduleChoice(file: path, count: files.count, found: entry.map { "\($0)" } ?? "none")
        }
        return files[entry]
    }

    /// Reads the settings under which a model directory would run the schedules.
    ///
    /// The image size is that of the schedules' configuration, or else the model's native one.
    ///
    /// - Parameters:
    ///   - folder: A model directory in the diffusers layout.
    ///   - path: What an error message calls the file.
    /// - Returns: The settings.
    /// - Throws: ``SchedulesError`` for what is no such model, and for schedules of another shape than the model's.
    public func settings(modelFolder folder: String, path: String) throws -> MeasurementSettings {
        guard let first = files.first else {
            throw SchedulesError.compactContents(problem: "it needs at least one schedule")
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

    /// Refuses a compact file whose measurements hold for other settings.
    ///
    /// - Throws: ``SchedulesError/settingsMismatch(file:expected:found:)``.
    public func check(_ settings: MeasurementSettings, path: String) throws(SchedulesError) {
        try compact?.check(settings, file: path)
    }
}

extension CompactScheduleFile {
    /// Packs published files, with the costs and qualities that their metrics state.
    ///
    /// Those are `cost` and `quality` as ``ScheduleDocument/files`` writes them, and failing a cost `total_macs`.
    /// Other metrics are left out.
    ///
    /// - Parameters:
    ///   - files: The schedules.
    ///   - provenance: Where they come from.
    ///   - settings: What the measurements hold for.
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
    ///   - provenance: Where the schedules come from; nil for what compact files among them say.
    ///   - settings: What the measurements hold for; nil for what the files say, if all say the same.
    /// - Throws: As ``init(packing:provenance:settings:)``, and for files whose measurements hold for different
    ///   settings when none are given.
    public init(
        merging documents: [ScheduleDocument], provenance: String? = nil, settings: MeasurementSettings? = nil
    ) throws(SchedulesError) {
        let provenances = documents.compactMap { $0.compact?.provenance }.filter { !$0.isEmpty }
        let hashes = Set(documents.map { $0.compact?.settingsHash })
        guard settings != nil || hashes.compactMap(\.self).count <= 1 else {
            throw .compactContents(problem: "the files' measurements hold for different settings")
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
            throw .compactContents(problem: "all \(what) need one kind, found \(names.joined(separator: " and "))")
        }
        return names.first ?? ""
    }
}

/// A value that `metrics` of a published file state.
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
