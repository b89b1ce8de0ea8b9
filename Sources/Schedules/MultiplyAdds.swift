import ModelConfiguration

/// Multiply-adds of a schedule's denoising, counted in closed form.
///
/// Text encoding and image decoding are not counted.
public struct MultiplyAdds: Hashable, Codable, Sendable {
    /// Multiply-adds of every step, without the matrix products inside attention (published: `macs`).
    public let byStep: [Int]
    /// Multiply-adds of the query-key and attention-value products of every step.
    public let attentionByStep: [Int]

    /// Sum of ``byStep`` (published: `total_macs`).
    ///
    /// The products inside attention are missing because the original's counter does not see fused kernels.
    public var total: Int { byStep.reduce(0, +) }

    /// Multiply-adds of all steps with the products inside attention.
    public var totalWithAttention: Int { total + attentionByStep.reduce(0, +) }
}

extension TransformerConfiguration {
    /// The shape of schedules for the transformer.
    ///
    /// - Throws: ``SchedulesError/outOfRange(name:expected:found:)`` for less than 1 or more than 1,000 steps.
    public func shape(stepCount: Int) throws(SchedulesError) -> ScheduleShape {
        guard (1...ScheduleShape.stepLimit).contains(stepCount) else {
            throw .outOfRange(name: "steps", expected: "1 to \(ScheduleShape.stepLimit)", found: "\(stepCount)")
        }
        return switch self {
        case .pixart(let model): .pixart(blocks: model.blockCount, steps: stepCount)
        case .flux(let model):
            .flux(fullBlocks: model.fullBlockCount, singleBlocks: model.singleBlockCount, steps: stepCount)
        }
    }
}

extension ModelArchitecture {
    /// The shape of schedules for the model.
    ///
    /// - Throws: ``SchedulesError/outOfRange(name:expected:found:)`` for less than 1 or more than 1,000 steps.
    public func shape(stepCount: Int) throws(SchedulesError) -> ScheduleShape {
        try transformer.shape(stepCount: stepCount)
    }

    /// Counts a schedule's multiply-adds.
    ///
    /// The count includes everything that the original computes, also FLUX outputs that nothing consumes (see
    /// ``Schedule/canonical``), so that totals agree with the published ones.
    ///
    /// - Parameters:
    ///   - schedule: A schedule for this model's blocks and any number of steps.
    ///   - batch: Latents in the model's batch. The published counts have 2: for PixArt one image with guidance, for
    ///     FLUX two images. From a TGATE gate on, PixArt needs half.
    /// - Returns: The counts of every step.
    /// - Throws: ``SchedulesError/shapeMismatch(schedule:model:)``.
    /// - Precondition: `batch` is 1 or 2.
    public func macs(_ schedule: Schedule, batch: Int = 2) throws(SchedulesError) -> MultiplyAdds {
        precondition((1...2).contains(batch), "a batch of 1 or 2")
        let expected = try shape(stepCount: schedule.shape.stepCount)
        guard expected == schedule.shape else {
            throw .shapeMismatch(schedule: schedule.shape.description, model: expected.description)
        }
        let guided = costs(batch: batch)
        let unguided = costs(batch: 1)
        let decisions = schedule.effective.decisions
        let components = schedule.shape.blocks.flatMap(\.components)
        var byStep: [Int] = []
        var attentionByStep: [Int] = []
        for step in 0..<schedule.shape.stepCount {
            var counts: [Component: Int] = [:]
            let row = decisions[step * components.count..<(step + 1) * components.count]
            for (component, decision) in zip(components, row) where decision == .recompute {
                counts[component, default: 0] += 1
            }
            let costs = step < schedule.gateStep ?? .max ? guided : unguided
            func sum(_ table: [Component: Int]) -> Int {
                counts.reduce(0) { $0 + $1.value * table[$1.key, default: 0] }
            }
            byStep.append(costs.always + sum(costs.components))
            attentionByStep.append(sum(costs.attentionProducts))
        }
        return MultiplyAdds(byStep: byStep, attentionByStep: attentionByStep)
    }
}
