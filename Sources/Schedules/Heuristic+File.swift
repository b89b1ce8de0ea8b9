import JSON
import ModelConfiguration

extension Heuristic {
    /// Makes the schedule file that the original's generator writes, with its name and attributes.
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
            // The original counts the steps that do recompute.
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
    /// PixArt files say nothing of the size of 256 pixels, the original's default.
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
