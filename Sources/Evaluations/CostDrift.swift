import Schedules

/// Notices when a cost table no longer tells the time of what its own machine measures.
public struct CostDrift: Sendable {
    /// Candidates looked at together.
    static let window = 16
    /// The median relative error, of either sign, that calls for a new table.
    static let tolerance = 0.04

    private let table: CostTable
    private var errors: [Double] = []

    /// Watches a table.
    public init(_ table: CostTable) {
        self.table = table
    }

    /// Looks at a task's results.
    public mutating func note(_ results: [ImageResult], of task: EvaluationTask) {
        for (id, schedule) in task.candidates {
            guard let schedule, let modelled = table.ratio(of: schedule),
                let result = results.first(where: { $0.candidateID == id }), let reference = result.referenceSeconds,
                reference > 0, result.denoiseSeconds > 0
            else { continue }
            errors.append(modelled / (result.denoiseSeconds / reference) - 1)
        }
        errors.removeFirst(max(0, errors.count - Self.window))
    }

    /// Whether the latest candidates were, on the whole, not modelled as they were measured.
    public var hasDrifted: Bool {
        errors.count == Self.window && abs(Evaluator.median(errors)) > Self.tolerance
    }
}
