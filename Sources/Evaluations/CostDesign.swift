import Basics
import ModelConfiguration
import Schedules

/// The schedules whose steps' times tell what the parts of a model cost.
enum CostDesign {
    /// A dozen schedules that spread over what a search may ask for: caching in whole steps, and scattered, of every
    /// component much in one step and little in the next.
    ///
    /// The same for a shape every time. Counts of the components vary independently of each other from step to step, or
    /// a fit could not tell their prices apart.
    ///
    /// - Parameters:
    ///   - shape: The model's blocks and steps.
    ///   - hasGate: Whether TGATE schedules are among them.
    /// - Returns: The schedules; the uncached one is not among them.
    static func schedules(for shape: ScheduleShape, hasGate: Bool) -> [Schedule] {
        var generator = SplitMix64(seed: 0x9E37_79B9_7F4A_7C15)
        // The last interval computes the first step alone: the search goes as far.
        var schedules = Set([2, 3, 5, shape.stepCount]).sorted().filter { $0 <= shape.stepCount }.compactMap {
            try? Heuristic.fora(interval: $0).schedule(for: shape)
        }
        for _ in 0..<6 { schedules.append(scattered(Schedule(shape: shape), from: 1, &generator)) }
        schedules.append(scattered(Schedule(shape: shape), from: 1, share: 0.95, &generator))
        guard hasGate, shape.stepCount > 3 else { return schedules }
        let half = shape.stepCount / 2
        for (gate, share) in [(1, 0.0), (1, nil), (half, nil), (1, 0.8)] {
            // The step of the gate cannot reuse what was computed for twice the batch.
            let schedule = Schedule(shape: shape, gateStep: gate)
            schedules.append(scattered(schedule, from: gate + 1, share: share, &generator))
        }
        return schedules
    }

    /// Reuses a share of each component's instances from a step on, drawn one by one.
    ///
    /// Without a given share another one is drawn for each component and step. TGATE freezes cross attention by itself.
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
