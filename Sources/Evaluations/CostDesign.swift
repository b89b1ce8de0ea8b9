import Schedules

/// The schedules whose times tell what the parts of a model cost.
enum CostDesign {
    /// A few dozen schedules that spread over what a search may ask for: caching of single components and of all, in
    /// whole steps and scattered, light and heavy.
    ///
    /// The same for a shape every time. Counts of the components vary independently of each other, or a fit could not
    /// tell their prices apart.
    ///
    /// - Parameters:
    ///   - shape: The model's blocks and steps.
    ///   - hasGate: Whether TGATE schedules are among them.
    /// - Returns: The schedules; the uncached one is not among them.
    static func schedules(for shape: ScheduleShape, hasGate: Bool) -> [Schedule] {
        var generator = SystemIndependentGenerator(state: 0x9E37_79B9_7F4A_7C15)
        let components = Component.allCases.filter { component in shape.blocks.contains(component.blockKind) }
        var schedules = [scattered(shape, &generator) { _ in 0.95 }]
        for interval in [2, 3, 5] where interval <= shape.stepCount {
            if let schedule = try? Heuristic.fora(interval: interval).schedule(for: shape) {
                schedules.append(schedule)
            }
        }
        for component in components {
            schedules.append(scattered(shape, &generator) { $0 == component ? 0.9 : 0.05 })
            schedules.append(scattered(shape, &generator) { $0 == component ? 0.1 : 0.9 })
        }
        for share in [0.3, 0.5, 0.6, 0.7, 0.8, 0.9] {
            schedules.append(scattered(shape, &generator) { _ in share })
        }
        guard hasGate, shape.stepCount > 3 else { return schedules }
        let half = shape.stepCount / 2
        for (gate, attention, feedForward) in [
            (half, 0, 0), (1, 0, 0), (1, 0.8, 0.1), (1, 0.1, 0.8), (half, 0.5, 0.5), (1, 0.8, 0.8),
        ] {
            var schedule = Schedule(shape: shape, gateStep: gate)
            // The step of the gate cannot reuse what was computed for twice the batch.
            for step in (gate + 1)..<max(gate + 1, shape.stepCount) {
                for block in 0..<shape.blockCount {
                    for (component, share) in [(Component.attn1, attention), (.ff, feedForward)]
                    where generator.unit() < share {
                        schedule[step: step, block: block, component: component] = .reuse
                    }
                }
            }
            schedules.append(schedule)
        }
        return schedules
    }

    /// A schedule that reuses a share of each component's instances after the first step, drawn one by one.
    private static func scattered(
        _ shape: ScheduleShape, _ generator: inout SystemIndependentGenerator, share: (Component) -> Double
    ) -> Schedule {
        var schedule = Schedule(shape: shape)
        for gene in shape.genesPerStep..<max(shape.genesPerStep, shape.geneCount)
        where generator.unit() < share(shape.cell(at: gene).component) {
            schedule[gene] = .reuse
        }
        return schedule
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same design on every machine.
struct SystemIndependentGenerator {
    var state: UInt64

    mutating func unit() -> Double {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return Double((z ^ (z >> 31)) >> 11) * 0x1p-53
    }
}
