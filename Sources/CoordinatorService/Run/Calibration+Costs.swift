import Foundation
import History
import Messages
import Schedules

// What the parts of the model cost: measured by the workers, used by the objective.
extension Calibration {
    /// False while candidates wait for the cost table that their cost is modelled by.
    var canEvaluate: Bool { configuration.cost != .latency || costTable != nil }

    /// Images of a batch on which workers are to measure costs; nil where nobody asks for a table.
    var costImageCount: Int? {
        guard configuration.cost != .macs, configuration.costTablePath == nil else { return nil }
        return min(configuration.imagesPerTask, prompts.count * configuration.seedsPerPrompt)
    }

    /// Keeps what a worker measured; the first table of a run is the one that its costs are modelled by.
    ///
    /// - Throws: `SchedulesError.costTable` for what is no table, `HistoryError`.
    func take(_ report: CostReport, from workerID: Int64) throws {
        let table = try CostTable(json: report.table, shape: shape, source: "cost report")
        guard report.uncachedSeconds > 0, report.uncachedSeconds < 1e9, report.fitError >= 0, report.fitError < 1e9
        else { throw SchedulesError.costTable(source: "cost report", problem: "expected seconds and an error") }
        let isFirst = try history.runs.insertCostTable(
            NewCostTable(
                workerID: workerID, costs: report.table, uncachedSeconds: report.uncachedSeconds,
                fitError: report.fitError), of: runID)
        guard isFirst else { return }
        costTable = table
        try proceed()
    }

    /// Reads the table that the configuration names, and keeps it as the run's.
    static func enterConfiguredCosts(
        _ configuration: RunConfiguration, shape: ScheduleShape, in history: RunHistory, run: Int64
    ) throws {
        guard let path = configuration.costTablePath else { return }
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw CoordinatorError.unreadableFile(path: path, what: "the cost table")
        }
        let table = try CostTable(json: text, shape: shape, source: path)
        try history.runs.insertCostTable(NewCostTable(workerID: nil, costs: table.json), of: run)
    }
}
