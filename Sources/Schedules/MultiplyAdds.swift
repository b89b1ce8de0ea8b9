/// Multiply-adds of a schedule's denoising, counted in closed form.
///
/// ``total`` is the published `total_macs`, which leaves out the two matrix products inside attention because the
/// original's counter does not see fused kernels; ``totalWithAttention`` has them. Text encoding and image decoding
/// are in neither.
public struct MultiplyAdds: Hashable, Codable, Sendable {
    /// Multiply-adds of every step, without the products inside attention (published: `macs`).
    public let byStep: [Int]
    /// Multiply-adds of the query-key and attention-value products of every step.
    public let attentionByStep: [Int]

    /// Multiply-adds of all steps, without the products inside attention (published: `total_macs`).
    public var total: Int { byStep.reduce(0, +) }

    /// Multiply-adds of all steps with the products inside attention.
    public var totalWithAttention: Int { total + attentionByStep.reduce(0, +) }
}

/// Multiply-adds of one denoising step, part by part.
public struct StepCosts: Hashable, Sendable {
    /// What runs at every step whatever the schedule: embeddings, modulation, output head.
    public let always: Int
    /// What one recomputed instance of a component adds, without the products inside attention.
    public let components: [Component: Int]
    /// The query-key and attention-value products of one recomputed instance of an attention.
    public let attentionProducts: [Component: Int]
}
