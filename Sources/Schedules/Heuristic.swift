import Basics
import JSON
import ModelConfiguration

/// A published baseline: a rule that gives a schedule for any number of steps and blocks.
///
/// FORA is arXiv 2407.01425, TGATE arXiv 2404.02747; the evenly and middle families are from the original ECAD.
/// Interval rules count absolute steps, so step 0 always recomputes.
public enum Heuristic: Hashable, Sendable {
    /// Everything is recomputed ("default").
    case uncached
    /// Every component is recomputed at steps divisible by the interval.
    case fora(interval: Int)
    /// Attention is recomputed at steps divisible by the interval, everything else always.
    case foraAttention(interval: Int)
    /// TGATE: no guidance and a frozen mean of cross attention from the gate step on.
    case tgate(GateRule)
    /// TGATE's decisions without its end of guidance.
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

    /// The schedule for a transformer and a number of steps.
    ///
    /// - Throws: ``SchedulesError/heuristicParameter(heuristic:parameter:expected:found:)`` if a parameter is out of
    ///   range, ``SchedulesError/heuristicUnsupported(heuristic:shape:)`` if the transformer lacks
    ///   components of the rule.
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

    /// What has no effect in a run of this many steps; nil if everything has.
    public func warning(stepCount: Int) -> String? {
        switch self {
        case .tgate(let rule), .tgateNoAverage(let rule):
            guard rule.gateStep >= stepCount else { return nil }
            return "heuristic \(kind.rawValue): parameter m is \(rule.gateStep), after the last of \(stepCount) steps: "
                + "no step is gated, and only k and warmup have an effect"
        case .uncached, .fora, .foraAttention, .evenly, .middle: return nil
        }
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

    /// The steps and blocks with reuse in the evenly and middle families; all false for the others.
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
            // A gate after the last step leaves the interval before it, as in published files.
            try check("m", rule.gateStep, in: 1...shape.stepCount)
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

extension Heuristic: CustomStringConvertible {
    /// The heuristics' names on command lines.
    public enum Kind: String, CaseIterable, Sendable {
        /// ``Heuristic/uncached``.
        case uncached = "default"
        /// ``Heuristic/fora(interval:)``.
        case fora
        /// ``Heuristic/foraAttention(interval:)``.
        case foraAttention = "fora-attention"
        /// ``Heuristic/tgate(_:)``.
        case tgate
        /// ``Heuristic/tgateNoAverage(_:)``.
        case tgateNoAverage = "tgate-no-average"
        /// ``Heuristic/evenly(_:blocks:steps:)``.
        case evenly
        /// ``Heuristic/middle(_:blocks:steps:)``.
        case middle
    }

    /// Which heuristic this is, without its parameters.
    public var kind: Kind {
        switch self {
        case .uncached: .uncached
        case .fora: .fora
        case .foraAttention: .foraAttention
        case .tgate: .tgate
        case .tgateNoAverage: .tgateNoAverage
        case .evenly: .evenly
        case .middle: .middle
        }
    }

    /// A short label with the parameters, such as "fora-3" or "tgate-no-average-10-1".
    public var description: String {
        switch self {
        case .uncached: kind.rawValue
        case .fora(let interval), .foraAttention(let interval): "\(kind.rawValue)-\(interval)"
        case .tgate(let rule), .tgateNoAverage(let rule): "\(kind.rawValue)-\(rule.gateStep)-\(rule.interval)"
        case .evenly(let part, let blocks, let steps), .middle(let part, let blocks, let steps):
            "\(kind.rawValue)-\(part.rawValue)-\(blocks)-\(steps)"
        }
    }

    /// Makes a heuristic from the name and parameters of a command line.
    ///
    /// - Parameters:
    ///   - name: A ``Kind``.
    ///   - parameters: `n` (interval) for fora and fora-attention; `m` (gate step), `k` (interval), and
    ///     optionally `fi` (1) and `warmup` (2) for the tgate ones; `part`, `blocks` and `steps` for evenly and middle.
    /// - Throws: ``SchedulesError/unknownHeuristic(name:expected:)`` or
    ///   ``SchedulesError/heuristicParameter(heuristic:parameter:expected:found:)``.
    public init(name: String, parameters: [String: String]) throws(SchedulesError) {
        guard let kind = Kind(rawValue: name) else {
            throw .unknownHeuristic(name: name, expected: Kind.allCases.map(\.rawValue).joined(separator: ", "))
        }
        let known: [String] =
            switch kind {
            case .uncached: []
            case .fora, .foraAttention: ["n"]
            case .tgate, .tgateNoAverage: ["m", "k", "fi", "warmup"]
            case .evenly, .middle: ["part", "blocks", "steps"]
            }
        if let unknown = parameters.keys.filter({ !known.contains($0) }).min() {
            throw .heuristicParameter(
                heuristic: name, parameter: unknown,
                expected: known.isEmpty ? "no parameters" : "only " + known.joined(separator: ", "),
                found: parameters[unknown] ?? "")
        }
        func int(_ key: String, default value: Int? = nil) throws(SchedulesError) -> Int {
            if parameters[key] == nil, let value { return value }
            guard let int = parameters[key].flatMap({ Int($0) }) else {
                throw .heuristicParameter(
                    heuristic: name, parameter: key, expected: "an integer", found: parameters[key] ?? "missing")
            }
            return int
        }
        func rule() throws(SchedulesError) -> GateRule {
            GateRule(
                gateStep: try int("m"), interval: try int("k"), intervalAfterGate: try int("fi", default: 1),
                warmup: try int("warmup", default: 2))
        }
        func part() throws(SchedulesError) -> Part {
            guard let part = parameters["part"].flatMap({ Part(rawValue: $0) }) else {
                throw .heuristicParameter(
                    heuristic: name, parameter: "part",
                    expected: "one of " + Part.allCases.map(\.rawValue).joined(separator: ", "),
                    found: parameters["part"] ?? "missing")
            }
            return part
        }
        switch kind {
        case .uncached: self = .uncached
        case .fora: self = .fora(interval: try int("n"))
        case .foraAttention: self = .foraAttention(interval: try int("n"))
        case .tgate: self = .tgate(try rule())
        case .tgateNoAverage: self = .tgateNoAverage(try rule())
        case .evenly: self = .evenly(try part(), blocks: try int("blocks"), steps: try int("steps"))
        case .middle: self = .middle(try part(), blocks: try int("blocks"), steps: try int("steps"))
        }
    }

    /// The name in published files; it holds the parameters, padded to three digits.
    func name(isFlux: Bool) -> String {
        func padded(_ value: Int) -> String { "\(value)".leftPadded(to: 3, with: "0") }
        return switch self {
        case .uncached: "default"
        case .fora(let interval): "recompute_all_every_\(padded(interval))"
        case .foraAttention(let interval): "recompute_\(isFlux ? "attn" : "ca_sa")_every_\(padded(interval))"
        case .tgate(let rule), .tgateNoAverage(let rule):
            (kind == .tgate ? "tgate" : "tgate_without_ca_avg")
                + "_m_\(padded(rule.gateStep))_sp_\(padded(rule.interval))"
                + "_fi_\(padded(rule.intervalAfterGate))_warmup_\(padded(rule.warmup))"
        case .evenly(let part, let blocks, let steps), .middle(let part, let blocks, let steps):
            "\(kind.rawValue)_cache_\(part.rawValue)_evenly_spaced_affected_\(padded(blocks))"
                + "_affected_steps_\(padded(steps))"
        }
    }
}

extension Heuristic {
    /// The schedule file that the original's generator writes, with its name and attributes.
    ///
    /// - Parameters:
    ///   - shape: The transformer's blocks and the steps.
    ///   - configuration: The run configuration (`config`).
    /// - Returns: The schedule with its name, attributes and configuration.
    /// - Throws: As ``schedule(for:)``.
    public func file(
        for shape: ScheduleShape, configuration: JSONObject = [:]
    ) throws(SchedulesError) -> ScheduleFile {
        let schedule = try schedule(for: shape)
        return ScheduleFile(
            schedule: schedule, attributes: attributes(of: schedule), configuration: configuration)
    }

    private func attributes(of schedule: Schedule) -> JSONObject {
        let shape = schedule.shape
        switch self {
        case .uncached: return [:]
        case .fora(let interval), .foraAttention(let interval):
            var attributes: JSONObject = [
                "num_affected_blocks": JSONValue(shape.blockCount - shape.singleBlockCount)
            ]
            if shape.isFlux { attributes["num_affected_single_blocks"] = JSONValue(shape.singleBlockCount) }
            // The original counts the steps that recompute.
            attributes["num_affected_steps"] = JSONValue((shape.stepCount + interval - 1) / interval)
            let kinds: [BlockKind] = shape.isFlux ? [.fluxSingle, .fluxFull] : [.pixart]
            for component in kinds.flatMap(\.components) {
                let every = kind == .fora || component.isAttention ? interval : 1
                attributes["recompute_\(component.rawValue)_every" + (shape.isFlux ? "_n" : "")] = JSONValue(every)
            }
            return attributes
        case .tgate(let rule), .tgateNoAverage(let rule):
            let affected = (0..<shape.stepCount).count { step in
                [Component.attn1, .attn2].contains {
                    schedule[step: step, block: 0, component: $0] == .reuse
                }
            }
            return [
                "num_affected_blocks": JSONValue(affected > 0 ? shape.blockCount : 0),
                "num_affected_steps": JSONValue(affected),
                "gate_step": JSONValue(rule.gateStep),
                "sp_interval": JSONValue(rule.interval),
                "fi_interval": JSONValue(rule.intervalAfterGate),
                "warmup": JSONValue(rule.warmup),
            ]
        case .evenly(_, let blocks, let steps), .middle(_, let blocks, let steps):
            return [
                shape.isFlux ? "num_total_affected_blocks" : "num_affected_blocks": JSONValue(blocks),
                "num_affected_steps": JSONValue(steps),
            ]
        }
    }
}

extension ModelFamily {
    /// The run configuration (`config`) of the family's published schedule files at a square image size.
    ///
    /// PixArt files omit the size of 256 pixels, the original's default.
    ///
    /// - Parameter size: Edge of the image in pixels.
    /// - Returns: The members of `config`.
    public func configuration(size: Int) -> JSONObject {
        var configuration: JSONObject = [:]
        if self == .pixartSigma { configuration["pipeline"] = ["name": "pixart_sigma", "kwargs": [:]] }
        if size != 256 || self == .flux {
            configuration["height"] = JSONValue(size)
            configuration["width"] = JSONValue(size)
        }
        if self == .flux { configuration["guidance_scale"] = 5 }
        return configuration
    }
}
