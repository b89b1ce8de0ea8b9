import Schedules

/// A measured cost table and the quality of its fit.
public struct MeasuredCosts: Sendable {
    /// The fitted costs.
    public let table: CostTable
    /// Median duration of the uncached reference for a whole batch, in seconds.
    public let uncachedSeconds: Double
    /// Median absolute relative error over the schedules that the table was fitted to.
    public let fitError: Double
}

/// Latencies of schedules relative to the uncached reference.
public struct MeasuredRatios: Sendable {
    /// Per schedule, the median ratio to the mean of the references before and after it.
    public let ratios: [Double]
    /// Median duration of the uncached reference for a whole batch, in seconds.
    public let uncachedSeconds: Double
    /// Per schedule and step, the median ratio of the step to the mean of the whole references before and after the run.
    let steps: [[Double]]
}

/// Detects when a cost table no longer predicts the latencies that its own machine measures.
public struct CostDrift: Sendable {
    /// The number of latest candidates considered.
    static let window = 16
    /// The absolute value of the median relative error above which a new table is needed.
    static let tolerance = 0.04

    private let table: CostTable
    private var errors: [Double] = []

    /// Starts without measurements.
    public init(_ table: CostTable) {
        self.table = table
    }

    /// Compares a task's measured latencies with the table.
    public mutating func record(_ results: [ImageResult], of task: EvaluationTask) {
        for (id, schedule) in task.candidates {
            guard let schedule, let modelled = table.ratio(of: schedule),
                let result = results.first(where: { $0.candidateID == id }), let reference = result.referenceSeconds,
                reference > 0, result.denoiseSeconds > 0
            else { continue }
            errors.append(modelled / (result.denoiseSeconds / reference) - 1)
        }
        errors.removeFirst(max(0, errors.count - Self.window))
    }

    /// Whether the table's predictions for the latest candidates are off by more than the tolerance.
    public var hasDrifted: Bool {
        errors.count == Self.window && abs(Evaluator.median(errors)) > Self.tolerance
    }
}
