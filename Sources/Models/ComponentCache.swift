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
}

/// Tokens of a component's output, with the weights of their channels in the residual stream.
public struct ComponentContribution {
    /// The output of one image, or of one half of guidance: `[tokens, channels]`.
    public let output: Matrix
    /// The squared factor between each channel of the output and the residual stream.
    public let squaredGains: [Float]
}

extension Matrix {
    /// The squares of a `[1, D]` matrix.
    var squares: [Float] { (0..<columns).map { self[0, $0] * self[0, $0] } }
}
