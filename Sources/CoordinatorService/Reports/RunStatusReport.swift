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
    /// As configured; nil if a budget ends the run.
    private let generations: Int?
    private let evaluations: Int
    /// Images spent, as counted by `search.budget_images`, and the budget.
    private let images: Int
    private let budgetImages: Int?
    /// Unfinished tasks of the current generation.
    private let openTasks: Int
    /// Members of the front.
    private let front: Int
    /// After the last completed generation.
    private let hypervolume: Double?
    /// Size of the write-ahead log, which is truncated when the coordinator closes the database.
    private let walBytes: Int
    private let outlook: RunOutlook

    private enum CodingKeys: String, CodingKey {
        case status, coordinator, engine, precision, generation, generations, evaluations, images, front, hypervolume
        case outlook
        case budgetImages = "budget_images"
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
        generations = configuration.generationLimit
        let candidates = try history.search.candidates(of: snapshot.run.id)
        evaluations = candidates.count { $0.evaluation != nil }
        let prompts = try history.runs.prompts(of: snapshot.run.id).count
        let budget = try ImageBudget(configuration, promptCount: prompts, of: snapshot.run.id, in: history)
        images = Int(budget.spent(withOpen: try history.search.openCandidateCount(of: snapshot.run.id)).rounded(.up))
        budgetImages = budget.limit
        openTasks = snapshot.tasks.count { $0.isOpen }
        front = try history.search.front(of: snapshot.run.id).count
        hypervolume = try history.search.generations(of: snapshot.run.id).last { $0.isFinished }?.hypervolume
        walBytes = history.walBytes
        outlook = try RunOutlook(history, snapshot.run, configuration)
    }

    /// Whether the run has not ended and no coordinator works on it.
    public var isInterrupted: Bool { status == "interrupted" }

    /// Aligned lines, without a final newline.
    public var text: String {
        var lines = [
            "status       \(status)" + (coordinator.map { " (\($0))" } ?? ""),
            "engine       \(engine), \(precision)",
            "generation   \(generation)" + (generations.map { " of \($0)" } ?? ""), "evaluations  \(evaluations)",
            "images       \(ImageBudget.text(images))" + (budgetImages.map { " of \(ImageBudget.text($0))" } ?? ""),
            "open tasks   \(openTasks)", "front        \(front)",
            "hypervolume  " + (hypervolume.map { String(format: "%.4f", $0) } ?? "-"), "SQLite log   \(walBytes) bytes",
        ]
        lines += outlook.lines
        if let warning = outlook.warning { lines.append("warning: \(warning)") }
        return lines.joined(separator: "\n")
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
