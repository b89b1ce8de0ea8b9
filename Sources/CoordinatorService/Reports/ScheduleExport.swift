import Basics
import Foundation
import History
import JSON
import ModelConfiguration
import Schedules

/// Schedules of a run, exported as schedule files.
public struct ScheduleExport {
    /// Each with image size, guidance scale, cost and quality.
    let files: [ScheduleFile]
    private let settings: MeasurementSettings?
    private let provenance: String

    /// Reads schedules from a history; the coordinator may be running.
    ///
    /// If the run's model directory no longer exists, the files omit the measurement settings.
    ///
    /// - Parameters:
    ///   - folder: The run directory.
    ///   - candidateID: A candidate; nil for the whole front.
    /// - Throws: ``CoordinatorError``, `HistoryError`, `SchedulesError`.
    public init(folder: String, candidate candidateID: Int64? = nil) throws {
        let history = try RunHistory.openReadOnly(in: folder)
        let run = try history.runs.snapshot().run
        let configuration = try RunConfiguration(recorded: run.configuration, file: history.file, folder: folder)
        let shape = try JSONDecoder().decode(ScheduleShape.self, from: Data(run.shape.utf8))
        let hasModel = FileManager.default.fileExists(atPath: "\(configuration.modelPath)/model_index.json")
        let settings =
            hasModel
            ? try MeasurementSettings(
                modelFolder: configuration.modelPath, height: configuration.height, width: configuration.width,
                stepCount: configuration.stepCount) : nil
        var sizes: JSONObject = [:]
        if let height = settings?.model.height ?? configuration.height { sizes["height"] = JSONValue(height) }
        if let width = settings?.model.width ?? configuration.width { sizes["width"] = JSONValue(width) }
        if let scale = configuration.guidanceScale { sizes["guidance_scale"] = .number("\(scale)") }
        let candidateIDs = try candidateID.map { [$0] } ?? history.search.front(of: run.id).map(\.candidateID)
        guard !candidateIDs.isEmpty else {
            throw CoordinatorError.runDirectory(path: folder, reason: "the front is empty")
        }
        files = try candidateIDs.map { id in
            let candidate = try history.search.candidate(id)
            let name = ScheduleFile.candidateName(
                run: run.name, generation: candidate.generation ?? 0, candidate: Int(id))
            let genome = try Genome(bytes: candidate.genome, geneCount: shape.geneCount)
            var file = ScheduleFile(
                schedule: try Schedule(shape: shape, genome: genome, name: name), configuration: sizes)
            file.metrics = Self.metrics(candidate, run: run)
            return file
        }
        self.settings = settings
        provenance = "ecad-coordinator run \(run.name), model \(run.modelHash.prefix(16)), seed \(run.seed)"
    }

    private static func metrics(_ candidate: CandidateRecord, run: RunRecord) -> JSONObject {
        func value(_ name: String, _ value: Double) -> JSONValue {
            ["name": .string(name), "value": .number("\(value)")]
        }
        var metrics: JSONObject = [:]
        if let evaluation = candidate.evaluation, evaluation.cost.isFinite, evaluation.quality.isFinite {
            metrics["cost"] = value(run.costObjective, evaluation.cost)
            metrics["quality"] = value(run.qualityObjective, evaluation.quality)
        }
        if let macs = candidate.evaluation?.macs ?? candidate.macs { metrics["total_macs"] = JSONValue(Int(macs)) }
        return metrics
    }

    /// Writes all schedules to one compact file.
    ///
    /// - Throws: `SchedulesError`.
    public func writeCompact(to path: String) throws {
        let compact = try CompactScheduleFile(packing: files, provenance: provenance, settings: settings)
        try ScheduleDocument.compact(compact).write(to: path)
    }

    /// Writes the published JSON format: the first schedule to a file, or all to a directory, named after themselves.
    ///
    /// - Parameters:
    ///   - path: The file, or the directory, which is created if missing.
    ///   - asFolder: Whether the path is a directory.
    /// - Returns: Names of other JSON files in the directory, such as those of an earlier front.
    /// - Throws: `FileError`, `SchedulesError`.
    public func writePublished(to path: String, asFolder: Bool) throws -> [String] {
        guard asFolder else {
            try files[0].write(to: path)
            return []
        }
        try FileContents.createDirectory(path)
        for file in files { try file.write(to: "\(path)/\(file.schedule.name).json") }
        let own = Set(files.map { "\($0.schedule.name).json" })
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        return names.filter { $0.hasSuffix(".json") && !own.contains($0) }.sorted()
    }
}
