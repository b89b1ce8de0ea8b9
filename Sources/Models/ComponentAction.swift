import Tensors

/// What a transformer block does about one component (attention or feed forward) at one step.
public enum ComponentAction: Sendable, Equatable {
    /// Compute the output; no later step needs it.
    case compute
    /// Compute the output into a cache slot, because the next step reuses it.
    case computeAndKeep(slot: Int)
    /// Use the output that an earlier step left in a cache slot; compute nothing.
    case reuse(slot: Int)
    /// Do nothing: neither this step nor a later one consumes what would be computed.
    case skip

    /// True when the component's own computation runs.
    var isComputed: Bool {
        switch self {
        case .compute, .computeAndKeep: true
        case .reuse, .skip: false
        }
    }
}

/// The size of a component's output; outputs of the same extent can share a cache slot.
public enum ComponentExtent: Sendable, Hashable {
    /// D numbers for each token: of PixArt's image, of FLUX's text and image.
    case tokens
    /// D numbers for each image token of FLUX.
    case imageTokens
    /// D numbers for each text token of FLUX.
    case textTokens
    /// 4 D numbers for each token of text and image of FLUX.
    case expandedTokens
}

/// The kept component outputs of one trajectory.
public struct ComponentCache {
    /// One matrix for each slot, allocated once, before the first step.
    public let slots: [Matrix]

    /// A cache of slots with the extents that the schedule needs.
    public init(slots: [Matrix]) {
        self.slots = slots
    }

    /// The component's output by the rule of the action: computed, computed and kept, reused, or for a skipped one the scratch as it is.
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
