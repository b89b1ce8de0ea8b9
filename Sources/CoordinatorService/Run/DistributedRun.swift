import Evolution
import Foundation
import History
import Messages

/// Work that a coordinator distributes: a calibration, or a benchmark of schedules.
protocol DistributedRun: AnyObject {
    var context: RunContext { get }
    var isFinished: Bool { get }
    /// Increases when the coordinator may spend time on the database's log.
    var generation: Int { get }

    /// The tasks of the history that wait for a result.
    func openTasks() throws -> [TaskRecord]
    /// Settles the candidates that have all their results, and continues as far as possible without the others.
    ///
    /// - Returns: New tasks, which are in the history.
    func advance(_ work: OpenWork) throws -> [TaskRecord]
    /// Creates tasks for workers that are idle otherwise.
    ///
    /// - Returns: New tasks, which are in the history.
    func breedForIdleWorkers(_ work: OpenWork) throws -> [TaskRecord]
    /// Stores a worker's cost table.
    ///
    /// - Throws: `SchedulesError.costTable` for a malformed table, `HistoryError`.
    func record(_ report: CostReport, from worker: Int64) throws
    /// The images of which reuse errors are to be measured.
    func openMeasurements() throws -> [ReuseMeasurement]
    /// Stores measured reuse errors.
    func record(_ errors: ReuseErrors, of measurement: ReuseMeasurement, from worker: Int64, seconds: Double) throws
}

extension DistributedRun {
    var history: RunHistory { context.history }
    var runID: Int64 { context.runID }
    var configuration: RunConfiguration { context.configuration }

    // Only a calibration measures reuse.
    func openMeasurements() throws -> [ReuseMeasurement] { [] }
    func record(_ errors: ReuseErrors, of measurement: ReuseMeasurement, from worker: Int64, seconds: Double) throws {}
}

/// What a run may ask of the scheduler's state.
struct OpenWork {
    let scheduler: Scheduler
    let now: Double
    /// How many schedules new tasks should evaluate.
    let taskSize: TaskSize

    /// Whether no candidate waits for a result.
    var isEmpty: Bool { !scheduler.hasOpenEvaluations(at: now) }

    /// Candidates that wait for a result.
    var candidates: Set<Int64> { scheduler.openCandidates(at: now) }
}
