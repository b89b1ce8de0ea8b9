import ModelConfiguration
import Models
import Schedules

/// A schedule worked out for the engine: what every component does at every step, and in which slot its output is kept.
///
/// An output is kept only while a later step reuses it, and outputs whose lives do not overlap share a slot: the cache
/// holds no more than the schedule needs at once.
public struct CacheLayout: Sendable, Equatable {
    /// From here on a TGATE schedule (arXiv 2404.02747) runs without guidance, on frozen cross attention.
    struct Gate: Sendable, Equatable {
        /// The first step without guidance.
        let step: Int
        /// The slots of the cross-attention outputs: before the gate step, their two halves are replaced by the mean.
        let slots: [Int]
    }

    /// For each step the action of each component, block by block.
    let actions: [[ComponentAction]]
    /// The slots that the cache needs.
    let slots: [ComponentExtent]
    /// The gate of a TGATE schedule.
    let gate: Gate?

    /// Lays a schedule out.
    ///
    /// - Throws: ``DiffusionError/reuseAcrossGate(step:block:component:)`` for a TGATE schedule that reuses self
    ///   attention or feed forward from before the gate, which the original cannot run either: the batch is half as
    ///   large after it.
    public init(_ schedule: Schedule) throws {
        let shape = schedule.shape
        let plan = CachePlan(schedule)
        let gateStep = schedule.gateStep.flatMap { $0 < shape.stepCount ? $0 : nil }
        var slotOfComponent = [Int?](repeating: nil, count: shape.genesPerStep)
        var freeSlots: [ComponentExtent: [Int]] = [:]
        var slots: [ComponentExtent] = []
        var gate: Gate?
        actions = try (0..<shape.stepCount).map { step in
            let actions = try (0..<shape.genesPerStep).map { index -> ComponentAction in
                let cell = shape.cell(at: step * shape.genesPerStep + index)
                let isKept = plan.keeps(step: cell.step, block: cell.block, component: cell.component)
                if let gateStep, step + 1 == gateStep, isKept, cell.component != .attn2 {
                    throw DiffusionError.reuseAcrossGate(
                        step: gateStep, block: cell.block, component: cell.component.rawValue)
                }
                switch plan.action(step: cell.step, block: cell.block, component: cell.component) {
                case .reuse:
                    guard let slot = slotOfComponent[index] else {
                        preconditionFailure("a plan reuses only what an earlier step kept")
                    }
                    if !isKept {
                        // Its last reader: the block has used it up before another component takes the slot.
                        slotOfComponent[index] = nil
                        freeSlots[slots[slot], default: []].append(slot)
                    }
                    return .reuse(slot: slot)
                case .compute where isKept:
                    let extent = cell.component.extent
                    let slot = freeSlots[extent, default: []].popLast() ?? slots.count
                    if slot == slots.count { slots.append(extent) }
                    slotOfComponent[index] = slot
                    return .computeAndKeep(slot: slot)
                case .compute: return .compute
                case .skip: return .skip
                }
            }
            if step + 1 == gateStep {
                gate = Gate(step: step + 1, slots: slotOfComponent.compactMap(\.self))
            }
            return actions
        }
        self.slots = slots
        self.gate = gate
    }
}

extension Component {
    /// The size of the component's output.
    fileprivate var extent: ComponentExtent {
        switch self {
        case .attn1, .attn2, .ff, .fullAttn, .singleAttn, .singleProjOut: .tokens
        case .fullFF: .imageTokens
        case .fullFFContext: .textTokens
        case .singleProjMLP: .expandedTokens
        }
    }
}
