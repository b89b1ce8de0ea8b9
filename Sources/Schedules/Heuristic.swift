import ModelConfiguration

/// A rule that makes a schedule for any number of steps and blocks: the published baselines.
///
/// FORA is arXiv 2407.01425, TGATE arXiv 2404.02747; the evenly and middle families come with the original ECAD.
/// Interval rules count absolute steps, so that step 0 always recomputes.
public enum Heuristic: Hashable, Sendable {
    /// Everything is recomputed ("default").
    case uncached
    /// Every component is recomputed at steps divisible by the interval.
    case fora(interval: Int)
    /// Attention is recomputed at steps divisible by the interval, everything else always.
    case foraAttention(interval: Int)
    /// TGATE: no guidance and a frozen mean of cross attention from the gate step on.
    case tgate(GateRule)
    /// TGATE's decisions alone, with the guidance kept.
    case tgateNoAverage(GateRule)
    /// One part is reused at evenly spread steps in evenly spread blocks.
    case evenly(Part, blocks: Int, steps: Int)
    /// One part is reused at evenly spread steps in the blocks around the middle one.
    case middle(Part, blocks: Int, steps: Int)

    /// When attention is recomputed before and after TGATE's gate.
    public struct GateRule: Hashable, Sendable {
        /// First step after the gate (m), from 1.
        public let gateStep: Int
        /// Before the gate, self attention is recomputed at steps divisible by this (k, `sp_interval`).
        public let interval: Int
        /// After the gate, self attention is recomputed at steps divisible by this (`fi_interval`).
        public let intervalAfterGate: Int
        /// Number of first steps with full self attention.
        public let warmup: Int

        /// Makes a rule; the published ones have an interval of 1 after the gate and 2 steps of warm-up.
        public init(gateStep: Int, interval: Int, intervalAfterGate: Int = 1, warmup: Int = 2) {
            self.gateStep = gateStep
            self.interval = interval
            self.intervalAfterGate = intervalAfterGate
            self.warmup = warmup
        }
    }

    /// The part of a block that the evenly and middle families reuse.
    public enum Part: String, CaseIterable, Sendable {
        /// PixArt's cross attention.
        case crossAttention = "ca"
        /// PixArt's self attention.
        case selfAttention = "sa"
        /// PixArt's feed forward.
        case feedForward = "ff"
        /// All of a FLUX block but its attention.
        case fluxFeedForward = "mlp_ff"
        /// A FLUX block's attention.
        case fluxAttention = "single_full_attn"

        var components: [Component] {
            switch self {
            case .crossAttention: [.attn2]
            case .selfAttention: [.attn1]
            case .feedForward: [.ff]
            case .fluxFeedForward: [.fullFF, .fullFFContext, .singleProjMLP, .singleProjOut]
            case .fluxAttention: [.fullAttn, .singleAttn]
            }
        }
    }

    /// Makes the schedule for a transformer and a number of steps.
    ///
    /// - Throws: ``SchedulesError/heuristicParameter(heuristic:parameter:expected:found:)`` when a parameter is out of
    ///   range, ``SchedulesError/heuristicUnsupported(heuristic:shape:)`` when the rule speaks of components that the
    ///   transformer lacks.
    public func schedule(for shape: ScheduleShape) throws(SchedulesError) -> Schedule {
        try validate(for: shape)
        var schedule = Schedule(shape: shape, name: name(isFlux: shape.isFlux))
        if case .tgate(let rule) = self { schedule.gateStep = rule.gateStep }
        let cells = try affectedCells(shape)
        for step in 0..<shape.stepCount {
            for block in 0..<shape.blockCount {
                for component in shape.blocks[block].components
                where reuses(component, step: step, isAffected: cells.steps[step] && cells.blocks[block]) {
                    schedule[step: step, block: block, component: component] = .reuse
                }
            }
        }
        return schedule
    }

    private func reuses(_ component: Component, step: Int, isAffected: Bool) -> Bool {
        switch self {
        case .uncached: return false
        case .fora(let interval): return step % interval != 0
        case .foraAttention(let interval): return component.isAttention && step % interval != 0
        case .tgate(let rule), .tgateNoAverage(let rule):
            let isBeforeGate = step < rule.gateStep
            switch component {
            case .attn1 where isBeforeGate: return step >= rule.warmup && step % rule.interval != 0
            case .attn1: return step % rule.intervalAfterGate != 0
            case .attn2: return !isBeforeGate
            default: return false
            }
        case .evenly(let part, _, _), .middle(let part, _, _):
            return isAffected && part.components.contains(component)
        }
    }

    /// Which steps and blocks the evenly and middle families touch; all false for the others.
    private func affectedCells(_ shape: ScheduleShape) throws(SchedulesError) -> (steps: [Bool], blocks: [Bool]) {
        var steps = [Bool](repeating: false, count: shape.stepCount)
        var blocks = [Bool](repeating: false, count: shape.blockCount)
        switch self {
        case .evenly(_, let blockCount, let stepCount):
            for step in Self.centred(shape.stepCount, count: stepCount) { steps[step] = true }
            for block in Self.spread(from: 0, to: shape.blockCount - 1, count: blockCount) { blocks[block] = true }
        case .middle(_, let blockCount, let stepCount):
            for step in Self.centred(shape.stepCount, count: stepCount) { steps[step] = true }
            let first = shape.blockCount / 2 - blockCount / 2
            for block in first..<first + blockCount { blocks[block] = true }
        case .uncached, .fora, .foraAttention, .tgate, .tgateNoAverage: break
        }
        return (steps, blocks)
    }

    /// Integers spread over a closed range with both ends, rounded half to even as the original does.
    public static func spread(from low: Int, to high: Int, count: Int) -> [Int] {
        guard count > 1 else { return count == 1 ? [low] : [] }
        let distance = Double(high - low) / Double(count - 1)
        return (0..<count).map { Int((Double(low) + Double($0) * distance).rounded(.toNearestOrEven)) }
    }

    /// Steps spread over a run with equal gaps to both of its ends.
    static func centred(_ stepCount: Int, count: Int) -> [Int] {
        guard count > 0 else { return [] }
        let distance = Double(stepCount + 1) / Double(count + 1)
        return (1...count).map { Int((Double($0) * distance - 1).rounded(.up)) }
    }

    private func validate(for shape: ScheduleShape) throws(SchedulesError) {
        func check(_ parameter: String, _ value: Int, in range: ClosedRange<Int>) throws(SchedulesError) {
            guard range.contains(value) else {
                throw .heuristicParameter(
                    heuristic: kind.rawValue, parameter: parameter,
                    expected: "\(range.lowerBound) to \(range.upperBound)", found: "\(value)")
            }
        }
        var needed: [Component] = []
        switch self {
        case .uncached: break
        case .fora(let interval), .foraAttention(let interval):
            try check("n", interval, in: 1...ScheduleShape.stepLimit)
        case .tgate(let rule), .tgateNoAverage(let rule):
            try check("m", rule.gateStep, in: 1...ScheduleShape.stepLimit)
            try check("k", rule.interval, in: 1...ScheduleShape.stepLimit)
            try check("fi", rule.intervalAfterGate, in: 1...ScheduleShape.stepLimit)
            try check("warmup", rule.warmup, in: 0...ScheduleShape.stepLimit)
            needed = [.attn1]
        case .evenly(let part, let blocks, let steps), .middle(let part, let blocks, let steps):
            try check("blocks", blocks, in: 1...shape.blockCount)
            try check("steps", steps, in: 1...shape.stepCount)
            needed = part.components
        }
        let isMiddleOfFlux = kind == .middle && shape.isFlux
        guard !isMiddleOfFlux, needed.allSatisfy({ ($0.blockKind != .pixart) == shape.isFlux }) else {
            throw .heuristicUnsupported(heuristic: description, shape: shape.description)
        }
    }
}
