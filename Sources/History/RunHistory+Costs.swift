import GRDB

/// A cost table about to be entered in the history.
public struct NewCostTable: Sendable {
    /// Who measured it; `nil` for one that the configuration names.
    public var workerID: Int64?
    /// The table as JSON.
    public var costs: String
    /// Seconds of the uncached reference beside it, for all images of a batch.
    public var uncachedSeconds: Double?
    /// How far the table is from what it was made of: median of the relative errors, without sign.
    public var fitError: Double?

    /// Describes a table.
    public init(workerID: Int64?, costs: String, uncachedSeconds: Double? = nil, fitError: Double? = nil) {
        self.workerID = workerID
        self.costs = costs
        self.uncachedSeconds = uncachedSeconds
        self.fitError = fitError
    }
}

/// A cost table as the history holds it.
public struct CostTableRecord: Hashable, Sendable {
    /// The row's identity.
    public let id: Int64
    /// Who measured it; `nil` for one that the configuration names.
    public let workerID: Int64?
    /// The kind of machine that it holds for: processor, BLAS, threads, engine.
    public let workerClass: String
    /// The table as JSON.
    public let costs: String
    /// Seconds of the uncached reference beside it.
    public let uncachedSeconds: Double?
    /// Median of the relative errors of the fit.
    public let fitError: Double?
    /// Whether the run's cost objective and modelled ratios come from it; true for one table of a run.
    public let isObjective: Bool
    /// Unix seconds.
    public let measuredAt: Double
}

extension RunHistory {
    /// Enters a cost table; the first of a run is the one that its objectives use, for good.
    ///
    /// A worker's table that equals its last one is not entered again.
    ///
    /// - Parameters:
    ///   - table: The table.
    ///   - runID: The run.
    ///   - instant: Unix seconds.
    /// - Returns: Whether it is the run's first.
    /// - Throws: `HistoryError`.
    @discardableResult
    public func enterCostTable(_ table: NewCostTable, of runID: Int64, at instant: Double = now()) throws -> Bool {
        try write { db in
            let last = try String.fetchOne(
                db,
                sql: "SELECT costs FROM cost_tables WHERE run_id = ? AND worker_id IS ? ORDER BY id DESC LIMIT 1",
                arguments: [runID, table.workerID])
            guard last != table.costs else { return false }
            let isFirst =
                try Int.fetchOne(db, sql: "SELECT count(*) FROM cost_tables WHERE run_id = ?", arguments: [runID]) == 0
            let workerClass = try String.fetchOne(
                db,
                sql:
                    "SELECT cpu || ', ' || blas || ', ' || threads || ' threads, ' || engine_version FROM workers WHERE id = ?",
                arguments: [table.workerID])
            try db.execute(
                sql: """
                    INSERT INTO cost_tables (run_id, worker_id, worker_class, costs, uncached_seconds, fit_error,
                        is_objective, measured_at)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    runID, table.workerID, workerClass ?? "configuration", table.costs, table.uncachedSeconds,
                    table.fitError, isFirst, instant,
                ])
            return isFirst
        }
    }

    /// The cost tables of a run.
    ///
    /// - Parameter runID: The run.
    /// - Returns: In the order in which they were entered.
    /// - Throws: `HistoryError`.
    public func costTables(of runID: Int64) throws -> [CostTableRecord] {
        try read { db in
            try Row.fetchAll(db, sql: "SELECT * FROM cost_tables WHERE run_id = ? ORDER BY id", arguments: [runID]).map
            {
                CostTableRecord(
                    id: $0["id"], workerID: $0["worker_id"], workerClass: $0["worker_class"], costs: $0["costs"],
                    uncachedSeconds: $0["uncached_seconds"], fitError: $0["fit_error"],
                    isObjective: $0["is_objective"], measuredAt: $0["measured_at"])
            }
        }
    }
}
