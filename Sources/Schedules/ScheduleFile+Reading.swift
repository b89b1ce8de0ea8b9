import JSON
import ModelConfiguration

extension ScheduleFile {
    /// Reads a schedule file's text.
    ///
    /// Stricter than the original, which interprets a missing or misspelt `cache_schedule` as "recompute everything" and
    /// an unknown custom function as the default, and ignores unknown keys: these are errors here. Steps beyond
    /// `num_inference_steps` are dropped, as in the original.
    ///
    /// - Parameters:
    ///   - bytes: The JSON text, UTF-8.
    ///   - file: The file's name in errors.
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
            // Steps past the last are validated, then dropped.
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
        // Known files list blocks in ascending order, so the next key is nearly always the expected one.
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

extension ScheduleFile {
    /// Pipelines that the original registers.
    private static let pipelines = ["pixart_alpha", "pixart_sigma", "tgate", "flux", "pass_through"]

    /// Validates `config` and reads the gate step of its pipeline.
    static func pipelineGate(in root: JSONCursor) throws(JSONError) -> GateReading {
        guard let configuration = try root.optional("config") else { return GateReading(pipeline: nil) }
        try configuration.allowOnly([
            "transformer_weights", "pipeline_weights", "pipeline", "height", "width", "guidance_scale",
            "image_generator",
            // The original's current generators put these attributes here by mistake.
            "num_affected_blocks", "num_affected_steps", "num_total_affected_blocks",
        ])
        for key in ["transformer_weights", "pipeline_weights", "image_generator"] {
            _ = try configuration.optional(key)?.string()
        }
        for key in ["height", "width"] {
            _ = try configuration.optional(key)?.int(in: 1...65536)
        }
        _ = try configuration.optional("guidance_scale")?.double()
        guard let pipeline = try configuration.optional("pipeline") else { return GateReading(pipeline: nil) }
        try pipeline.allowOnly(["name", "kwargs"])
        let name = try pipeline.required("name")
        guard pipelines.contains(try name.string()) else {
            throw name.mismatch("one of \(pipelines.joined(separator: ", "))")
        }
        guard name.value == "tgate" else {
            try pipeline.optional("kwargs")?.allowOnly([])
            return GateReading(pipeline: nil)
        }
        let keywords = try pipeline.required("kwargs")
        try keywords.allowOnly(["gate_step"])
        return GateReading(pipeline: try gate(keywords))
    }

    /// The gate step in the keyword arguments of a TGATE pipeline or attention.
    fileprivate static func gate(_ keywords: JSONCursor) throws(JSONError) -> GateField {
        let field = try keywords.required("gate_step")
        return GateField(step: try field.int(in: 1...ScheduleShape.stepLimit), place: field)
    }

    /// A gate step and its position in the file.
    struct GateField {
        let step: Int
        let place: JSONCursor
    }

    /// Collects the gate step of a TGATE file, which must be the same in the pipeline and in every block.
    struct GateReading {
        let pipeline: GateField?
        private var firstBlockSeen = false
        private var blocks: GateField?

        init(pipeline: GateField?) { self.pipeline = pipeline }

        /// Reads the custom functions of a block and rejects keys other than these and its components.
        mutating func readBlock(_ block: JSONCursor, kind: BlockKind) throws(JSONError) {
            let components = kind.components.map(\.rawValue)
            guard kind == .pixart else { return try block.allowOnly(components) }
            try block.allowOnly(components + ["custom_compute_attn", "custom_compute_ff"])
            if let function = try block.optional("custom_compute_ff") {
                _ = try Self.functionName(function, allowed: ["compute_ff_cached"])
                try function.optional("kwargs")?.allowOnly([])
            }
            var found: GateField?
            if let function = try block.optional("custom_compute_attn") {
                let name = try Self.functionName(function, allowed: ["compute_attn_cached", "compute_attn_tgate"])
                if name == "compute_attn_tgate" {
                    let keywords = try function.required("kwargs")
                    try keywords.allowOnly(["gate_step"])
                    found = try gate(keywords)
                } else {
                    try function.optional("kwargs")?.allowOnly([])
                }
            }
            if firstBlockSeen, found?.step != blocks?.step {
                throw (found?.place ?? block).mismatch(
                    blocks.map { "compute_attn_tgate with gate step \($0.step), as in the blocks before" }
                        ?? "no compute_attn_tgate, as in the blocks before")
            }
            blocks = found
            firstBlockSeen = true
        }

        /// The gate step, nil for a schedule without TGATE.
        func gateStep() throws(JSONError) -> Int? {
            switch (pipeline, blocks) {
            case (nil, nil): return nil
            case (let pipeline?, let blocks?) where pipeline.step == blocks.step: return pipeline.step
            case (let pipeline?, let blocks):
                throw pipeline.place.mismatch(
                    blocks.map { "gate step \($0.step), as in the blocks" }
                        ?? "compute_attn_tgate with this gate step in every block")
            case (nil, let blocks?):
                throw blocks.place.mismatch("the same gate step in config.pipeline, which does not name tgate")
            }
        }

        /// The name of a custom function in lower case, since the original ignores case.
        private static func functionName(
            _ function: JSONCursor, allowed: [String]
        ) throws(JSONError) -> String {
            try function.allowOnly(["name", "kwargs"])
            let field = try function.required("name")
            let name = try field.string().lowercased()
            guard allowed.contains(name) else { throw field.mismatch(allowed.joined(separator: " or ")) }
            return name
        }
    }
}
