import ModelConfiguration
import Tensors

/// The stored component outputs of one trajectory.
public struct ComponentCache {
    /// One matrix for each slot, allocated once, before the first step.
    public let slots: [Matrix]

    /// Makes a cache; the slots have the extents that the execution plan demands.
    public init(slots: [Matrix]) {
        self.slots = slots
    }

    /// Carries out an action and returns the component's output; for a skipped component that is `scratch`, unchanged.
    @inline(__always)
    func output(_ action: ComponentAction, rows: Range<Int>, scratch: Matrix, compute: (Matrix) -> Void) -> Matrix {
        let output =
            switch action {
            case .compute, .skip: scratch
            case .computeAndKeep(let slot), .reuse(let slot): slots[slot].rows(rows)
            }
        if action.isComputed { compute(output) }
        return output
    }

    /// Carries out an action and adds the component's output to the residual stream; only the output of a computed
    /// component that is not kept need not be stored.
    ///
    /// - Parameters:
    ///   - action: The action; not `skip`.
    ///   - rows: The rows of the batch in the cache slots.
    ///   - scratch: Memory for an output that is not kept.
    ///   - residual: The residual stream and the gate.
    ///   - compute: Writes the output and adds it to the residual stream; the last argument is whether a later step reads
    ///     the output.
    @inline(__always)
    func addOutput(
        _ action: ComponentAction, rows: Range<Int>, scratch: Matrix, to residual: ResidualSum,
        compute: (Matrix, Bool) -> Void
    ) {
        switch action {
        case .compute: compute(scratch, false)
        case .computeAndKeep(let slot): compute(slots[slot].rows(rows), true)
        case .reuse(let slot): residual.add(slots[slot].rows(rows))
        case .skip: break
        }
    }
}
