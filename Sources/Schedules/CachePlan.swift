import ModelConfiguration

/// What a denoising engine has to do for a schedule: what to run, what to read from the cache and what to hold.
///
/// Gives the images of the original implementation, which computes and holds more than it needs: it keeps every
/// component's last output, and runs FLUX attention and MLPs whose result nothing consumes.
public struct CachePlan: Sendable {
    /// What happens to a component at a step.
    public enum Action: UInt8, Sendable {
        /// Its output is computed.
        case compute
        /// Its cached output is used.
        case reuse
        /// Its output is not needed at this step, neither fresh nor cached.
        case skip
    }

    /// The blocks and steps planned for.
    public let shape: ScheduleShape
    private var actions: [Action]
    private var kept: [Bool]

    /// Plans a schedule.
    public init(_ schedule: Schedule) {
        let shape = schedule.shape
        let decisions = schedule.effective.decisions
        var actions = [Action](repeating: .skip, count: decisions.count)
        var kept = [Bool](repeating: false, count: decisions.count)
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
                        actions[gene] = isConsumed || neededLater ? .compute : .skip
                        neededLater = false
                    case .reuse:
                        actions[gene] = isConsumed ? .reuse : .skip
                        neededLater = neededLater || isConsumed
                    }
                }
            }
        }
        self.shape = shape
        self.actions = actions
        self.kept = kept
    }

    /// What happens to a component at a step.
    public func action(step: Int, block: Int, component: Component) -> Action {
        actions[shape.index(step: step, block: block, component: component)]
    }

    /// Whether a later step reads the output that the component has after this step, computed or cached.
    ///
    /// Where this is false the cache may be released at once.
    public func keeps(step: Int, block: Int, component: Component) -> Bool {
        kept[shape.index(step: step, block: block, component: component)]
    }

    func action(at gene: Int) -> Action { actions[gene] }

    func keeps(at gene: Int) -> Bool { kept[gene] }
}
