import JSON
import ModelConfiguration

extension ScheduleFile {
    /// Reads a schedule file's text.
    ///
    /// Stricter than the original, which takes a missing or misspelt `cache_schedule` for "recompute everything", an
    /// unknown custom function for the default, and ignores unknown keys: all these are refused here. Steps beyond
    /// `num_inference_steps` are tolerated and dropped, as there.
    ///
    /// - Parameters:
    ///   - bytes: The JSON text, UTF-8.
    ///   - file: What an error message calls it.
    /// - Throws: `JSONError`, naming the file and the place in it.
    public init(parsing bytes: some Sequence<UInt8>, file: String) throws(JSONError) {
        let root = JSONCursor(root: try JSONValue(parsing: bytes, file: file), file: file)
        if let graph = try root.optional("dit_schedule") {
            throw .unknownKey(
                file: file, path: graph.path, expected: "only cache_schedule; rewritten block graphs do not run here")
        }
        let section = try root.required(
            "cache_schedule", hint: "without it the original would silently recompute everything")
        var gate = try Self.pipelineGate(in: root)
        let (schedule, attributes) = try Self.cacheSchedule(section, gate: &gate)
        var sections = try root.object()
        sections["cache_schedule"] = nil
        if let metrics = try root.optional("metrics") { _ = try metrics.object() }
        self.init(schedule: schedule, attributes: attributes, sections: sections)
    }

    private static func cacheSchedule(
        _ section: JSONCursor, gate: inout GateReading
    ) throws(JSONError) -> (Schedule, JSONObject) {
        try section.allowOnly([
            "num_blocks", "num_single_blocks", "num_inference_steps", "name", "attributes", "schedule",
        ])
        let shape = try shape(section)
        var decisions = [Decision?](repeating: nil, count: shape.geneCount)
        let steps = try section.required("schedule")
        for (key, step) in try steps.members() {
            let index = try stepIndex(key, step)
            // Steps past the last are read for mistakes, then dropped.
            let row = try stepDecisions(step, shape: shape, gate: &gate)
            guard index < shape.stepCount else { continue }
            let first = index * shape.genesPerStep
            guard decisions[first] == nil else {
                throw step.mismatch("one entry for step \(index)")
            }
            decisions.replaceSubrange(first..<first + row.count, with: row)
        }
        for index in 0..<shape.stepCount where decisions[index * shape.genesPerStep] == nil {
            throw steps.missing(stepKey(index), hint: "num_inference_steps is \(shape.stepCount)")
        }
        let schedule = Schedule(
            shape: shape, decisions: decisions.compactMap(\.self),
            name: try section.optional("name")?.string() ?? "", gateStep: try gate.gateStep())
        return (schedule, try section.optional("attributes")?.object() ?? [:])
    }

    private static func shape(_ section: JSONCursor) throws(JSONError) -> ScheduleShape {
        let steps = try section.required("num_inference_steps").int(in: 1...ScheduleShape.stepLimit)
        let blockField = try section.required("num_blocks")
        guard let singleField = try section.optional("num_single_blocks") else {
            return .pixart(blocks: try blockField.int(in: 1...ScheduleShape.blockLimit), steps: steps)
        }
        let full = try blockField.int(in: 0...ScheduleShape.blockLimit)
        let single = try singleField.int(in: (full == 0 ? 1 : 0)...max(1, ScheduleShape.blockLimit - full))
        return .flux(fullBlocks: full, singleBlocks: single, steps: steps)
    }

    private static func stepIndex(_ key: String, _ step: JSONCursor) throws(JSONError) -> Int {
        guard !key.isEmpty, key.utf8.allSatisfy({ $0 >= UInt8(ascii: "0") && $0 <= UInt8(ascii: "9") }),
            let index = Int(key)
        else {
            throw .unknownKey(file: step.file, path: step.path, expected: "a step number such as \"003\"")
        }
        return index
    }

    private static func hint(_ kind: BlockKind) -> String {
        kind == .pixart ? "a FLUX file needs num_single_blocks in cache_schedule" : ""
    }

    private static func stepDecisions(
        _ step: JSONCursor, shape: ScheduleShape, gate: inout GateReading
    ) throws(JSONError) -> [Decision] {
        var row = [Decision?](repeating: nil, count: shape.genesPerStep)
        // Blocks stand in ascending order in every known file, so the next key is nearly always the expected one.
        let keys = (0..<shape.blockCount).map(shape.blockKey)
        var expected = 0
        for (key, block) in try step.members() {
            if expected >= keys.count || keys[expected] != key {
                guard let found = keys.firstIndex(of: key) else {
                    let singles = shape.singleBlockCount
                    let range = "blocks \"0\" to \"\(shape.blockCount - singles - 1)\""
                    throw .unknownKey(
                        file: block.file, path: block.path,
                        expected: singles > 0 ? range + " and \"single_0\" to \"single_\(singles - 1)\"" : range)
                }
                expected = found
            }
            let kind = shape.blocks[expected]
            for (slot, component) in kind.components.enumerated() {
                let recompute = try block.required(component.rawValue, hint: hint(kind)).bool()
                row[expected * BlockKind.componentCount + slot] = recompute ? .recompute : .reuse
            }
            try gate.readBlock(block, kind: kind)
            expected += 1
        }
        for block in keys.indices where row[block * BlockKind.componentCount] == nil {
            throw step.missing(keys[block], hint: "every step needs all \(shape)")
        }
        return row.compactMap(\.self)
    }
}
