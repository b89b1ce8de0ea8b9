import Basics
import JSON
import ModelConfiguration

extension ScheduleFile {
    /// The file's text, as the original's search writes it: 4 spaces of indentation, keys in ascending order.
    ///
    /// The order of blocks is part of the format: the original decodes FLUX schedules in the order of their keys.
    public var text: String {
        let shape = schedule.shape
        var section = JSONObject()
        section["num_blocks"] = JSONValue(shape.blockCount - shape.singleBlockCount)
        section["num_inference_steps"] = JSONValue(shape.stepCount)
        section["name"] = .string(schedule.name)
        section["attributes"] = .object(attributes)
        section["schedule"] = .object(
            JSONObject(
                distinct: (0..<shape.stepCount).map { step in
                    JSONObject.Member(key: Self.stepKey(step), value: stepValue(step))
                }))
        if shape.isFlux { section["num_single_blocks"] = JSONValue(shape.singleBlockCount) }
        let first = JSONObject.Member(key: "cache_schedule", value: .object(section))
        return JSONValue.object(JSONObject(distinct: [first] + sections.members)).indentedText
    }

    static func stepKey(_ step: Int) -> String { "\(step)".leftPadded(to: 3, with: "0") }

    private func stepValue(_ step: Int) -> JSONValue {
        let shape = schedule.shape
        return .object(
            JSONObject(
                distinct: (0..<shape.blockCount).map { block in
                    JSONObject.Member(key: shape.blockKey(block), value: blockValue(step: step, block: block))
                }))
    }

    private func blockValue(step: Int, block: Int) -> JSONValue {
        var members: [JSONObject.Member] = []
        for (slot, component) in schedule.shape.blocks[block].components.enumerated() {
            let decision = schedule[schedule.shape.index(step: step, block: block, slot: slot)]
            members.append(JSONObject.Member(key: component.rawValue, value: .bool(decision == .recompute)))
        }
        if let gateStep = schedule.gateStep {
            members.append(
                JSONObject.Member(
                    key: "custom_compute_attn",
                    value: ["name": "compute_attn_tgate", "kwargs": ["gate_step": JSONValue(gateStep)]]))
        }
        return .object(JSONObject(distinct: members))
    }
}

extension Schedule {
    /// The attributes that the original's search writes: how many steps, blocks and both hold any reuse.
    ///
    /// FLUX counts double-stream and single-stream blocks apart.
    var affectedAttributes: JSONObject {
        var steps: Set<Int> = []
        var blocks: Set<Int> = []
        var pairs: Set<Int> = []
        for gene in decisions.indices where decisions[gene] != .recompute {
            let (pair, _) = gene.quotientAndRemainder(dividingBy: BlockKind.componentCount)
            pairs.insert(pair)
            steps.insert(pair / shape.blockCount)
            blocks.insert(pair % shape.blockCount)
        }
        let singles = blocks.count { shape.blocks[$0] == .fluxSingle }
        var attributes: JSONObject = [
            "num_affected_steps": JSONValue(steps.count),
            "num_affected_blocks": JSONValue(blocks.count - singles),
        ]
        if shape.isFlux { attributes["num_affected_blocks_single"] = JSONValue(singles) }
        attributes["total_num_affected_blocks"] = JSONValue(pairs.count)
        return attributes
    }
}
