import ModelConfiguration

/// A schedule worked out for the engine: what every component does at every step, and in which cache slot its output is
/// stored.
///
/// Executing the plan yields the same images as the original implementation with less work and memory: the original stores every
/// component's last output and computes FLUX attention and MLPs that nothing consumes. Here an output is stored only
/// while a later step reads it, and outputs whose lifetimes do not overlap share a slot.
public struct ExecutionPlan: Sendable, Equatable {
    /// The step from which a TGATE schedule (arXiv 2404.02747) runs without guidance, on frozen cross-attention.
    public struct Gate: Sendable, Equatable {
        /// The first step without guidance.
        public let step: Int
        /// The slots of the cross-attention outputs; before the gate step, the unconditional half of the batch is
        /// replaced with the mean of both halves.
        public let slots: [Int]
    }

    /// The action of each component at each step, block by block.
    public let actions: [[ComponentAction]]
    /// The sizes of the cache slots.
    public let slots: [ComponentExtent]
    /// The gate of a TGATE schedule; nil if guidance lasts to the end.
    public let gate: Gate?

    /// Plans a schedule.
    ///
    /// - Throws: ``SchedulesError/reuseAcrossGate(step:block:component:)`` for a TGATE schedule that reuses
    ///   self-attention or feed-forward from before the gate. The batch is half as large after it, so the original
    ///   cannot run such a schedule either.
    public init(_ schedule: Schedule) throws(SchedulesError) {
        let shape = schedule.shape
        let lifetimes = OutputLifetimes(schedule)
        let gateStep = schedule.gateStep.flatMap { $0 < shape.stepCount ? $0 : nil }
        var slotOfComponent = [Int?](repeating: nil, count: shape.genesPerStep)
        var freeSlots: [ComponentExtent: [Int]] = [:]
        var slots: [ComponentExtent] = []
        var gate: Gate?
        var actions: [[ComponentAction]] = []
        actions.reserveCapacity(shape.stepCount)
        for step in 0..<shape.stepCount {
            var row: [ComponentAction] = []
            row.reserveCapacity(shape.genesPerStep)
            for index in 0..<shape.genesPerStep {
                let gene = step * shape.genesPerStep + index
                let cell = shape.cell(at: gene)
                let isKept = lifetimes.isKept(gene)
                if let gateStep, step + 1 == gateStep, isKept, cell.component != .attn2 {
                    throw .reuseAcrossGate(step: gateStep, block: cell.block, component: cell.component)
                }
                if lifetimes.isRead(gene) {
                    guard let slot = slotOfComponent[index] else {
                        preconditionFailure("only stored outputs are read")
                    }
                    if !isKept {
                        // The last reader: the block has consumed it before another component writes to the slot.
                        slotOfComponent[index] = nil
                        freeSlots[slots[slot], default: []].append(slot)
                    }
                    row.append(.reuse(slot: slot))
                } else if lifetimes.isComputed(gene), isKept {
                    let extent = cell.component.extent
                    let slot = freeSlots[extent, default: []].popLast() ?? slots.count
                    if slot == slots.count { slots.append(extent) }
                    slotOfComponent[index] = slot
                    row.append(.computeAndKeep(slot: slot))
                } else {
                    row.append(lifetimes.isComputed(gene) ? .compute : .skip)
                }
            }
            if step + 1 == gateStep { gate = Gate(step: step + 1, slots: slotOfComponent.compactMap(\.self)) }
            actions.append(row)
        }
        self.actions = actions
        self.slots = slots
        self.gate = gate
    }
}

/// Which component outputs of a schedule are computed, read from the cache, and stored.
struct OutputLifetimes {
    private let decisions: [Decision]
    private var needed: [Bool]
    private var kept: [Bool]

    /// Finds the lifetimes in one backward pass over the steps, in time linear in the genes.
    init(_ schedule: Schedule) {
        let shape = schedule.shape
        decisions = schedule.effective.decisions
        needed = [Bool](repeating: false, count: decisions.count)
        kept = [Bool](repeating: false, count: decisions.count)
        let outSlot = Component.singleProjOut.slot
        for block in 0..<shape.blockCount {
            for slot in 0..<BlockKind.componentCount {
                // Attention and MLP of a single-stream block reach the output only through a computed projection.
                let feedsProjection = shape.blocks[block] == .fluxSingle && slot != outSlot
                var neededLater = false
                for step in (0..<shape.stepCount).reversed() {
                    let gene = shape.index(step: step, block: block, slot: slot)
                    let isConsumed =
                        !feedsProjection
                        || decisions[shape.index(step: step, block: block, slot: outSlot)] == .recompute
                    kept[gene] = neededLater
                    switch decisions[gene] {
                    case .recompute:
                        needed[gene] = isConsumed || neededLater
                        neededLater = false
                    case .reuse:
                        needed[gene] = isConsumed
                        neededLater = neededLater || isConsumed
                    }
                }
            }
        }
    }

    /// Whether the output is computed at the gene's step, for this step or a later one.
    func isComputed(_ gene: Int) -> Bool { needed[gene] && decisions[gene] == .recompute }

    /// Whether the cached output is used at the gene's step.
    func isRead(_ gene: Int) -> Bool { needed[gene] && decisions[gene] == .reuse }

    /// Whether a later step reads the output that the component has after the gene's step, computed or cached.
    func isKept(_ gene: Int) -> Bool { kept[gene] }
}
