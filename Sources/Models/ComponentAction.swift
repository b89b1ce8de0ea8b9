import Tensors

/// What a transformer block does about one component (attention or feed forward) at one step.
public enum ComponentAction: Sendable, Equatable {
    /// Compute the output; no later step needs it.
    case compute
    /// Compute the output into a cache slot, because the next step reuses it.
    case computeAndKeep(slot: Int)
    /// Use the output that an earlier step left in a cache slot; compute nothing.
    case reuse(slot: Int)
}

/// The kept component outputs of one trajectory.
public struct ComponentCache {
    /// One matrix [rows, D] for each slot.
    public let slots: [Matrix]

    /// Allocates the slots once, before the first step.
    ///
    /// - Parameters:
    ///   - slotCount: The largest number of outputs that are kept at the same time.
    ///   - rows: Rows of a component output: images x guidance halves x tokens.
    ///   - columns: D, the width of the hidden states.
    public init(slotCount: Int, rows: Int, columns: Int) {
        slots = (0..<slotCount).map { _ in Matrix(rows: rows, columns: columns) }
    }

    /// The component's output by the rule of the action: computed, computed and kept, or reused.
    @inline(__always)
    func output(_ action: ComponentAction, rows: Range<Int>, scratch: Matrix, compute: (Matrix) -> Void) -> Matrix {
        let output =
            switch action {
            case .compute: scratch
            case .computeAndKeep(let slot), .reuse(let slot): slots[slot].rows(rows)
            }
        if case .reuse = action { return output }
        compute(output)
        return output
    }
}
