import ModelConfiguration

/// How much of each kind of work an engine does for a schedule: what a ``CostTable`` puts a price on.
public struct ScheduleWork: Hashable, Sendable {
    /// What is done about the instances of one component over all blocks and the steps of a phase.
    public struct Counts: Hashable, Sendable {
        /// Instances computed.
        public var computed = 0
        /// Of those, instances whose output is kept for a later step.
        public var kept = 0
        /// Instances read from the cache.
        public var read = 0

        /// No work.
        public init() {}
    }

    /// The steps that see the latents alike: with guidance, or without it after TGATE's gate.
    public struct Phase: Hashable, Sendable {
        /// Number of steps.
        public var stepCount = 0
        /// Counts of every component of the shape.
        public var components: [Component: Counts] = [:]
    }

    /// The steps before TGATE's gate; all steps without one.
    public let full: Phase
    /// The steps from TGATE's gate on, which run without guidance on half the batch.
    public let gated: Phase

    /// Counts a schedule's work.
    ///
    /// - Complexity: O(genes).
    public init(_ schedule: Schedule) {
        self.init(schedule, plan: CachePlan(schedule), steps: 0..<schedule.shape.stepCount)
    }

    /// The work of each step by itself.
    ///
    /// - Complexity: O(genes).
    public static func steps(of schedule: Schedule) -> [ScheduleWork] {
        let plan = CachePlan(schedule)
        return (0..<schedule.shape.stepCount).map { ScheduleWork(schedule, plan: plan, steps: $0..<($0 + 1)) }
    }

    private init(_ schedule: Schedule, plan: CachePlan, steps: Range<Int>) {
        let shape = schedule.shape
        let gate = min(schedule.gateStep ?? shape.stepCount, shape.stepCount)
        var counts = [[Counts]](
            repeating: Array(repeating: Counts(), count: Component.allCases.count), count: 2)
        let number = Dictionary(uniqueKeysWithValues: Component.allCases.enumerated().map { ($1, $0) })
        let kinds = shape.blocks.flatMap(\.components).map { number[$0] ?? 0 }
        for gene in (steps.lowerBound * shape.genesPerStep)..<(steps.upperBound * shape.genesPerStep) {
            let (step, place) = gene.quotientAndRemainder(dividingBy: shape.genesPerStep)
            let phase = step < gate ? 0 : 1
            switch plan.action(at: gene) {
            case .compute:
                counts[phase][kinds[place]].computed += 1
                if plan.keeps(at: gene) { counts[phase][kinds[place]].kept += 1 }
            case .reuse: counts[phase][kinds[place]].read += 1
            case .skip: break
            }
        }
        func phase(_ index: Int, stepCount: Int) -> Phase {
            let present = Set(kinds)
            let components = Component.allCases.enumerated().filter { present.contains($0.offset) }
            return Phase(
                stepCount: stepCount,
                components: Dictionary(uniqueKeysWithValues: components.map { ($1, counts[index][$0]) }))
        }
        full = phase(0, stepCount: steps.count { $0 < gate })
        gated = phase(1, stepCount: steps.count { $0 >= gate })
    }
}
