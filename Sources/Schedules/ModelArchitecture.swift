/// A transformer at an image size and text length: what a schedule's shape and cost follow from.
public enum ModelArchitecture: Hashable, Codable, Sendable {
    /// A PixArt-alpha or PixArt-Sigma transformer.
    case pixart(PixArtArchitecture)
    /// A FLUX transformer.
    case flux(FluxArchitecture)

    /// Makes the shape of schedules for a number of steps.
    ///
    /// - Throws: ``SchedulesError/outOfRange(name:expected:found:)`` for fewer than 1 or more than 1,000 steps, and
    ///   for a model without blocks.
    public func shape(stepCount: Int) throws -> ScheduleShape {
        guard (1...ScheduleShape.stepLimit).contains(stepCount) else {
            throw SchedulesError.outOfRange(
                name: "steps", expected: "1 to \(ScheduleShape.stepLimit)", found: "\(stepCount)")
        }
        try validate()
        return switch self {
        case .pixart(let model): .pixart(blocks: model.layerCount, steps: stepCount)
        case .flux(let model):
            .flux(fullBlocks: model.fullLayerCount, singleBlocks: model.singleLayerCount, steps: stepCount)
        }
    }

    /// Multiply-adds of one step for a batch.
    ///
    /// - Throws: As ``shape(stepCount:)`` for a model with dimensions out of range.
    public func costs(batch: Int = 2) throws -> StepCosts {
        try validate()
        return switch self {
        case .pixart(let model): model.costs(batch: batch)
        case .flux(let model): model.costs(batch: batch)
        }
    }

    /// Counts a schedule's multiply-adds.
    ///
    /// Counts what the original computes, FLUX work that nothing consumes included (see ``Schedule/canonical``), so
    /// that the totals are the published ones.
    ///
    /// - Parameters:
    ///   - schedule: A schedule for this model's blocks and any number of steps.
    ///   - batch: Latents in the model's batch. The published counts have 2: for PixArt one image with guidance, for
    ///     FLUX two images. From a TGATE gate on, PixArt needs half.
    /// - Returns: The counts of every step.
    /// - Throws: ``SchedulesError/shapeMismatch(schedule:model:)``, or as ``costs(batch:)``.
    /// - Precondition: `batch` is 1 or 2.
    public func macs(_ schedule: Schedule, batch: Int = 2) throws -> MultiplyAdds {
        precondition((1...2).contains(batch), "a batch of 1 or 2")
        let expected = try shape(stepCount: schedule.shape.stepCount)
        guard expected == schedule.shape else {
            throw SchedulesError.shapeMismatch(schedule: schedule.shape.description, model: expected.description)
        }
        let guided = try costs(batch: batch)
        let unguided = try costs(batch: 1)
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
