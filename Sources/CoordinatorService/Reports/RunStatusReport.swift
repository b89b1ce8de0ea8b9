import Basics
import Foundation
import History

/// The state of a run, read from its history; the coordinator may be running.
public struct RunStatusReport: Sendable, Encodable {
    /// running, interrupted, finished, stopped or failed.
    private let status: String
    /// The process that works on the run, such as "pid 812 on head".
    private let coordinator: String?
    /// What its workers compute with.
    private let engine, precision: String
    /// The current generation, 1-based.
    private let generation: Int
    /// As configured.
    private let generations: Int
    private let evaluations: Int
    /// Unfinished tasks of the current generation.
    private let openTasks: Int
    /// Members of the front.
    private let front: Int
    /// After the last completed generation.
    private let hypervolume: Double?
    /// Size of the write-ahead log, which is truncated when the coordinator closes the database.
    private let walBytes: Int

    private enum CodingKeys: String, CodingKey {
        case status, coordinator, engine, precision, generation, generations, evaluations, front, hypervolume
        case openTasks = "open_tasks"
        case walBytes = "wal_bytes"
    }

    /// Opens the history of a run directory.
    ///
    /// - Throws: `HistoryError`, ``CoordinatorError``.
    public init(folder: String) throws {
        let history = try RunHistory.openReadOnly(in: folder)
        let snapshot = try history.runs.snapshot()
        let configuration = try RunConfiguration(
            text: snapshot.run.configuration, file: history.file, folder: folder)
        // A coordinator that was interrupted or killed leaves "running".
        coordinator = RunHistory.coordinator(of: folder)
        let isInterrupted = snapshot.run.status == .running && coordinator == nil
        status = isInterrupted ? "interrupted" : snapshot.run.status.rawValue
        engine = configuration.arithmetic.engine.rawValue
        precision = configuration.arithmetic.precision.rawValue
        generation = (snapshot.generation?.number ?? 0) + 1
        generations = configuration.generations
        evaluations = try history.search.candidates(of: snapshot.run.id).count { $0.evaluation != nil }
        openTasks = snapshot.tasks.count { $0.isOpen }
        front = try history.search.front(of: snapshot.run.id).count
        hypervolume = try history.search.generations(of: snapshot.run.id).last { $0.isFinished }?.hypervolume
        walBytes = history.walBytes
    }

    /// Aligned lines, without a final newline.
    public var text: String {
        [
            "status       \(status)" + (coordinator.map { " (\($0))" } ?? ""),
            "engine       \(engine), \(precision)",
            "generation   \(generation) of \(generations)", "evaluations  \(evaluations)",
            "open tasks   \(openTasks)", "front        \(front)",
            "hypervolume  " + (hypervolume.map { String(format: "%.4f", $0) } ?? "-"), "log          \(walBytes) bytes",
        ].joined(separator: "\n")
    }

    /// A JSON object.
    ///
    /// - Throws: `EncodingError`.
    public func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}
