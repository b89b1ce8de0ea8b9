import JSON
import ModelConfiguration

extension ScheduleFile {
    /// Pipelines that the original registers.
    private static let pipelines = ["pixart_alpha", "pixart_sigma", "tgate", "flux", "pass_through"]

    /// Checks `config` and notes the gate step that its pipeline names.
    static func pipelineGate(in root: JSONCursor) throws(JSONError) -> GateReading {
        guard let configuration = try root.optional("config") else { return GateReading(pipeline: nil) }
        try configuration.allowOnly([
            "transformer_weights", "pipeline_weights", "pipeline", "height", "width", "guidance_scale",
            "image_generator",
            // A slip of the original's current generators, which put these attributes here.
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

    /// A gate step and where the file states it.
    struct GateField {
        let step: Int
        let place: JSONCursor
    }

    /// Collects the gate step of a TGATE file, which the pipeline and every block must state alike.
    struct GateReading {
        let pipeline: GateField?
        private var firstBlockSeen = false
        private var blocks: GateField?

        init(pipeline: GateField?) { self.pipeline = pipeline }

        /// Reads the custom functions of a block and refuses other keys than its components and them.
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

        /// The name of a custom function in lower case: the original does not distinguish case.
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
