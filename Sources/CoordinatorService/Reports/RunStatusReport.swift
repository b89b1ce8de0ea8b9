import Foundation
import History

/// Where a run stands, read from its history while the coordinator may be at work.
public struct RunStatusReport: Sendable, Encodable {
    /// running, finished, stopped or failed; a killed coordinator leaves "running".
    public let status: String
    /// The generation at hand, from 1, and how many the configuration asks for.
    public let generation, generations: Int
    /// Candidates evaluated so far.
    public let evaluations: Int
    /// Tasks of the generation at hand that are not done.
    public let openTasks: Int
    /// Members of the front.
    public let front: Int
    /// The hypervolume after the last complete generation.
    public let hypervolume: Double?
    /// Bytes of the database's log, which is emptied when the coordinator closes it.
    public let walBytes: Int

    private enum CodingKeys: String, CodingKey {
        case status, generation, generations, evaluations, front, hypervolume
        case openTasks = "open_tasks"
        case walBytes = "wal_bytes"
    }

    /// Reads the state of a run folder.
    ///
    /// - Throws: `HistoryError`, ``CoordinatorError``.
    public init(folder: String) throws {
        let history = try RunHistory.openReadOnly(in: folder)
        let snapshot = try history.runs.snapshot()
        let configuration = try RunConfiguration(
            text: snapshot.run.configuration, file: history.file, folder: folder)
        status = snapshot.run.status.rawValue
        generation = (snapshot.generation?.number ?? 0) + 1
        generations = configuration.generations
        evaluations = try history.search.candidates(of: snapshot.run.id).count { $0.evaluation != nil }
        openTasks = snapshot.tasks.count { $0.isOpen }
        front = try history.search.front(of: snapshot.run.id).count
        hypervolume = try history.search.generations(of: snapshot.run.id).last { $0.isFinished }?.hypervolume
        walBytes = history.walBytes
    }

    /// A few lines for people.
    public var text: String {
        [
            "status       \(status)", "generation   \(generation) of \(generations)", "evaluations  \(evaluations)",
            "open tasks   \(openTasks)", "front        \(front)",
            "hypervolume  " + (hypervolume.map { String(format: "%.4f", $0) } ?? "-"), "log          \(walBytes) bytes",
        ].joined(separator: "\n")
    }

    /// The same as JSON.
    ///
    /// - Throws: `EncodingError`.
    public func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }
}
