extension ModelArchitecture {
    /// Most multiply-adds of one full step: with the limit of steps, totals stay below 2^63.
    private static let stepLimit = Double(1 << 52)

    /// Refuses dimensions that no model has and those with which counting would overflow.
    ///
    /// The limits of the single dimensions keep every product of ``StepCosts`` below 2^58.
    func validate() throws {
        let hidden: Int
        switch self {
        case .pixart(let model):
            try Self.check("num_layers", model.layerCount, 1...ScheduleShape.blockLimit)
            try Self.check("num_attention_heads", model.headCount, 1...512)
            try Self.check("attention_head_dim", model.headDimension, 1...512)
            try Self.check("in_channels", model.inChannels, 1...1024)
            try Self.check("out_channels", model.outChannels, 1...1024)
            try Self.check("patch_size", model.patchSize, 1...64)
            try Self.check("cross_attention_dim", model.crossAttentionDimension, 1...16384)
            try Self.check("caption_channels", model.captionChannels ?? 1, 1...16384)
            try Self.checkInput(model.latentHeight, model.latentWidth, model.textLength)
            hidden = model.hiddenDimension
        case .flux(let model):
            try Self.check("num_layers", model.fullLayerCount, 0...ScheduleShape.blockLimit)
            try Self.check("num_single_layers", model.singleLayerCount, 0...ScheduleShape.blockLimit)
            try Self.check(
                "num_layers + num_single_layers", model.fullLayerCount + model.singleLayerCount,
                1...ScheduleShape.blockLimit)
            try Self.check("num_attention_heads", model.headCount, 1...512)
            try Self.check("attention_head_dim", model.headDimension, 1...512)
            try Self.check("in_channels", model.inChannels, 1...1024)
            try Self.check("out_channels", model.outChannels, 1...1024)
            try Self.check("joint_attention_dim", model.jointAttentionDimension, 1...16384)
            try Self.check("pooled_projection_dim", model.pooledProjectionDimension, 1...16384)
            try Self.checkInput(model.latentHeight, model.latentWidth, model.textLength)
            hidden = model.hiddenDimension
        }
        try Self.check("num_attention_heads * attention_head_dim", hidden, 1...16384)
        guard fullStepEstimate <= Self.stepLimit else {
            throw SchedulesError.outOfRange(
                name: "multiply-adds of one step", expected: "at most \(Self.stepLimit)", found: "\(fullStepEstimate)")
        }
    }

    /// Multiply-adds of a step that recomputes everything, attention products included, in floating point.
    private var fullStepEstimate: Double {
        let costs: StepCosts
        let kinds: [(BlockKind, count: Int)]
        switch self {
        case .pixart(let model):
            costs = model.costs(batch: 2)
            kinds = [(.pixart, model.layerCount)]
        case .flux(let model):
            costs = model.costs(batch: 2)
            kinds = [(.fluxFull, model.fullLayerCount), (.fluxSingle, model.singleLayerCount)]
        }
        return kinds.reduce(Double(costs.always)) { sum, entry in
            let perBlock = entry.0.components.reduce(0.0) {
                $0 + Double(costs.components[$1, default: 0]) + Double(costs.attentionProducts[$1, default: 0])
            }
            return sum + Double(entry.count) * perBlock
        }
    }

    private static func checkInput(_ height: Int, _ width: Int, _ textLength: Int) throws {
        try check("latent height", height, 1...1024)
        try check("latent width", width, 1...1024)
        try check("text tokens", textLength, 1...65536)
    }

    private static func check(_ name: String, _ value: Int, _ range: ClosedRange<Int>) throws {
        guard range.contains(value) else {
            throw SchedulesError.outOfRange(
                name: name, expected: "\(range.lowerBound) to \(range.upperBound)", found: "\(value)")
        }
    }
}
