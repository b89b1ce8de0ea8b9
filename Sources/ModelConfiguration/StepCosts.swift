/// Multiply-adds of one denoising step, part by part, in closed form.
public struct StepCosts: Hashable, Sendable {
    /// The parts that run at every step: embeddings, modulation, output head.
    public let always: Int
    /// One computed instance of each component, without the matrix products inside attention.
    public let components: [Component: Int]
    /// The query-key and attention-value products of one computed instance of each attention.
    public let attentionProducts: [Component: Int]
}

extension ModelArchitecture {
    /// Multiply-adds of one step for a batch of latents.
    ///
    /// A PixArt image with guidance is a batch of 2, without guidance a batch of 1.
    public func costs(batch: Int = 2) -> StepCosts {
        switch transformer {
        case .pixart(let model): costs(model, batch: batch)
        case .flux(let model): costs(model, batch: batch)
        }
    }

    /// Letters: B batch, T image tokens, L text tokens, D hidden channels.
    private func costs(_ model: PixArtConfiguration, batch: Int) -> StepCosts {
        let (b, t, l, d) = (batch, imageTokens, textLength, model.width)
        let patch = model.patchSize * model.patchSize
        var always = b * t * patch * model.inChannels * d  // patch embedding
        always += b * (256 * d + d * d)  // timestep
        if model.usesAdditionalConditions {
            // Height, width and aspect ratio each pass an MLP of a third of the hidden channels.
            let third = d / 3
            always += 3 * b * (256 * third + third * third)
        }
        always += b * d * 6 * d  // adaLN-single
        always += b * l * (model.captionChannels * d + d * d)  // caption projection
        always += b * t * d * patch * model.outChannels  // output head
        return StepCosts(
            always: always,
            components: [
                .attn1: 4 * b * t * d * d,  // query, key, value, output
                .attn2: 2 * b * t * d * d + 2 * b * l * d * d,  // query, output; key, value of the text
                .ff: 2 * b * t * d * 4 * d,
            ],
            attentionProducts: [.attn1: 2 * b * t * t * d, .attn2: 2 * b * t * l * d])
    }

    /// Letters: B batch, T image tokens, L text tokens, S = T + L, D hidden channels.
    private func costs(_ model: FluxConfiguration, batch: Int) -> StepCosts {
        let (b, t, l, d) = (batch, imageTokens, textLength, model.width)
        let s = t + l
        var always = b * t * model.patchChannels * d  // image embedding
        always += b * l * model.textWidth * d  // text embedding
        always += b * (256 * d + d * d)  // timestep
        if model.embedsGuidance { always += b * (256 * d + d * d) }
        always += b * (model.pooledWidth * d + d * d)
        always += model.fullBlockCount * 2 * b * d * 6 * d  // adaLN-zero of image and text
        always += model.singleBlockCount * b * d * 3 * d  // adaLN-zero-single
        always += b * d * 2 * d  // output norm
        always += b * t * d * model.patchChannels  // output head
        let attention = 2 * b * s * s * d
        return StepCosts(
            always: always,
            components: [
                .fullAttn: 4 * b * s * d * d,
                .fullFF: 2 * b * t * d * 4 * d,
                .fullFFContext: 2 * b * l * d * 4 * d,
                .singleAttn: 3 * b * s * d * d,  // no output projection
                .singleProjMLP: b * s * d * 4 * d,
                .singleProjOut: b * s * (d + 4 * d) * d,
            ],
            attentionProducts: [.fullAttn: attention, .singleAttn: attention])
    }

    /// Multiply-adds of a step that computes everything for a batch of 2, attention products included.
    var fullStepEstimate: Double {
        let costs = costs(batch: 2)
        let kinds: [(kind: BlockKind, count: Int)] =
            switch transformer {
            case .pixart(let model): [(.pixart, model.blockCount)]
            case .flux(let model): [(.fluxFull, model.fullBlockCount), (.fluxSingle, model.singleBlockCount)]
            }
        return kinds.reduce(Double(costs.always)) { sum, entry in
            let perBlock = entry.kind.components.reduce(0.0) {
                $0 + Double(costs.components[$1, default: 0]) + Double(costs.attentionProducts[$1, default: 0])
            }
            return sum + Double(entry.count) * perBlock
        }
    }
}
