import Foundation
import History
import JSON
import ModelConfiguration
import Schedules

/// Schedules of a run as files of their own.
public struct ScheduleExport {
    /// The schedules, with size, guidance, cost and quality in their files.
    public let files: [ScheduleFile]
    private let settings: MeasurementSettings?
    private let provenance: String

    /// Reads schedules from a history; the coordinator may be at work.
    ///
    /// Where the run's model directory is no longer there, the files say nothing of the settings measured under.
    ///
    /// - Parameters:
    ///   - folder: The run folder.
    ///   - candidateID: A candidate; nil for the front.
    /// - Throws: ``CoordinatorError``, `HistoryError`, `SchedulesError`.
    public init(folder: String, candidate candidateID: Int64? = nil) throws {
        let history = try RunHistory.openReadOnly(in: folder)
        let run = try history.loadRun().run
        let configuration = try RunConfiguration(text: run.configuration, file: history.file, folder: folder)
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
        sizes["guidance_scale"] = .number("\(configuration.guidanceScale)")
        let identities = try candidateID.map { [$0] } ?? history.front(of: run.id).map(\.candidateID)
        guard !identities.isEmpty else {
            throw CoordinatorError.runFolder(path: folder, reason: "the front is empty")
        }
        files = try identities.map { identity in
            let candidate = try history.candidate(identity)
            let name = ScheduleFile.candidateName(
                run: run.name, generation: candidate.generation ?? 0, candidate: Int(identity))
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

    /// Writes all schedules into one compact file.
    ///
    /// - Throws: `SchedulesError`.
    public func writeCompact(to path: String) throws {
        let compact = try CompactScheduleFile(packing: files, provenance: provenance, settings: settings)
        try ScheduleDocument.compact(compact).write(to: path)
    }

    /// Writes one schedule into a published JSON file, or several into a folder, each under its name.
    ///
    /// - Parameters:
    ///   - path: The file, or the folder, which is created if need be.
    ///   - asFolder: Whether the path is a folder.
    /// - Returns: The files written.
    /// - Throws: ``CoordinatorError/runFolder(path:reason:)``, `SchedulesError`.
    public func writePublished(to path: String, asFolder: Bool) throws -> [String] {
        guard asFolder else {
            try files[0].write(to: path)
            return [path]
        }
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw CoordinatorError.runFolder(path: path, reason: "cannot be created: \(error.localizedDescription)")
        }
        return try files.map { file in
            let target = "\(path)/\(file.schedule.name).json"
            try file.write(to: target)
            return target
        }
    }
}
