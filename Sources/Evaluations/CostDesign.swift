import Basics
import ModelConfiguration
import Schedules

/// The schedules that are timed to fit a cost table.
enum CostDesign {
    /// About a dozen schedules that cover the search space: whole cached steps, and randomly scattered reuse with a
    /// different share per component and step.
    ///
    /// Deterministic for a shape. The components' counts vary independently between steps, which makes their costs
    /// identifiable.
    ///
    /// - Parameters:
    ///   - shape: The model's blocks and steps.
    ///   - hasGate: Whether to include TGATE schedules.
    /// - Returns: The schedules, without the uncached one.
    static func schedules(for shape: ScheduleShape, hasGate: Bool) -> [Schedule] {
        var generator = SplitMix64(seed: 0x9E37_79B9_7F4A_7C15)
        // The last interval computes only the first step, as the search may.
        var schedules = Set([2, 3, 5, shape.stepCount]).sorted().filter { $0 <= shape.stepCount }.compactMap {
            try? Heuristic.fora(interval: $0).schedule(for: shape)
        }
        for _ in 0..<6 { schedules.append(scattered(Schedule(shape: shape), from: 1, &generator)) }
        schedules.append(scattered(Schedule(shape: shape), from: 1, share: 0.95, &generator))
        guard hasGate, shape.stepCount > 3 else { return schedules }
        let half = shape.stepCount / 2
        for (gate, share) in [(1, 0.0), (1, nil), (half, nil), (1, 0.8)] {
            // The gate step cannot reuse outputs of the guided batch, which is twice as large.
            let schedule = Schedule(shape: shape, gateStep: gate)
            schedules.append(scattered(schedule, from: gate + 1, share: share, &generator))
        }
        return schedules
    }

    /// Reuses a random share of each component's instances from a step onwards.
    ///
    /// If `share` is nil, a new one is drawn per component and step. Cross-attention is left to TGATE if there is a gate.
    private static func scattered(
        _ schedule: Schedule, from first: Int, share: Double? = nil, _ generator: inout SplitMix64
    ) -> Schedule {
        var schedule = schedule
        let shape = schedule.shape
        for step in first..<max(first, shape.stepCount) {
            for component in Component.allCases where schedule.gateStep == nil || component != .attn2 {
                let share = share ?? generator.unit()
                for block in 0..<shape.blockCount
                where shape.blocks[block] == component.blockKind && generator.unit() < share {
                    schedule[step: step, block: block, component: component] = .reuse
                }
            }
        }
        return schedule
    }
}
