import Basics

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

    /// Short label with the parameters, such as "fora-3" or "tgate-no-average-10-1".
    public var description: String {
        switch self {
        case .uncached: kind.rawValue
        case .fora(let interval), .foraAttention(let interval): "\(kind.rawValue)-\(interval)"
        case .tgate(let rule), .tgateNoAverage(let rule): "\(kind.rawValue)-\(rule.gateStep)-\(rule.interval)"
        case .evenly(let part, let blocks, let steps), .middle(let part, let blocks, let steps):
            "\(kind.rawValue)-\(part.rawValue)-\(blocks)-\(steps)"
        }
    }

    /// Makes a heuristic from its name and parameters as a command line gives them.
    ///
    /// - Parameters:
    ///   - name: A ``Kind``.
    ///   - parameters: `n` (interval) for fora and fora-attention; `m` (gate step), `k` (interval), and where wanted
    ///     `fi` (1) and `warmup` (2) for the tgate ones; `part`, `blocks` and `steps` for evenly and middle.
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
                    heuristic: name, parameter: key, expected: "an integer", found: parameters[key] ?? "nothing")
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
                    found: parameters["part"] ?? "nothing")
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
