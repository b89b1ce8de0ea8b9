import ModelConfiguration

/// What to do about one component at one denoising step.
public enum Decision: UInt8, Codable, Sendable {
    /// Use the output cached at an earlier step.
    case reuse = 0
    /// Compute the output and refresh the cache.
    case recompute = 1
}

/// A caching schedule: for every denoising step, block and component, whether to recompute or to reuse.
///
/// A schedule says when components run; what diffusers calls a scheduler, the differential equation's solver, is a
/// *sampler* in this project. Decisions are the raw ones of a file or a genome: ``effective`` and ``CachePlan`` say
/// what follows from them.
public struct Schedule: Hashable, Sendable {
    /// The blocks and steps decided about.
    public let shape: ScheduleShape
    /// One decision for each gene, in published order.
    public private(set) var decisions: [Decision]
    /// Free label (`name` in published files).
    public var name: String
    /// First step that runs without guidance and with frozen cross attention, for TGATE schedules; from 1.
    ///
    /// TGATE (arXiv 2404.02747): from this step on the model sees the latents once instead of as a conditional and
    /// unconditional pair, and `attn2` is always the mean of the two halves cached at the step before.
    public var gateStep: Int?

    /// Makes a schedule that recomputes everything.
    public init(shape: ScheduleShape, name: String = "default", gateStep: Int? = nil) {
        self.init(
            shape: shape, decisions: Array(repeating: .recompute, count: shape.geneCount), name: name,
            gateStep: gateStep)
    }

    /// Makes a schedule from its decisions.
    ///
    /// - Precondition: There is one decision for each gene of the shape, and `gateStep` is nil or positive.
    public init(shape: ScheduleShape, decisions: [Decision], name: String = "", gateStep: Int? = nil) {
        precondition(decisions.count == shape.geneCount, "one decision for each of \(shape.geneCount) genes")
        precondition(gateStep.map { $0 > 0 } ?? true, "the step before the gate fills the cache")
        self.shape = shape
        self.decisions = decisions
        self.name = name
        self.gateStep = gateStep
    }

    /// Makes a schedule from a genome, bit 1 meaning recompute.
    ///
    /// - Throws: ``SchedulesError/geneCount(expected:found:)`` when the genome has another length than the shape.
    public init(shape: ScheduleShape, genome: Genome, name: String = "") throws(SchedulesError) {
        guard genome.geneCount == shape.geneCount else {
            throw .geneCount(expected: shape.geneCount, found: genome.geneCount)
        }
        let decisions = (0..<genome.geneCount).map { genome[$0] ? Decision.recompute : .reuse }
        self.init(shape: shape, decisions: decisions, name: name)
    }

    /// The decisions as a bit vector, 1 meaning recompute.
    ///
    /// A TGATE gate is not part of it.
    public var genome: Genome { Genome(decisions.lazy.map { $0 == .recompute }) }

    /// The decision of the gene at a position in published order.
    public subscript(index: Int) -> Decision {
        get { decisions[index] }
        set { decisions[index] = newValue }
    }

    /// The decision about a component of a block at a step.
    public subscript(step step: Int, block block: Int, component component: Component) -> Decision {
        get { decisions[shape.index(step: step, block: block, component: component)] }
        set { decisions[shape.index(step: step, block: block, component: component)] = newValue }
    }

    /// The schedule as it runs: what has never been computed is, and TGATE's frozen cross attention is reused.
    ///
    /// A published file may hold a reuse at step 0; the original then computes (its multiply-add counts say so too).
    public var effective: Schedule {
        var result = self
        for gene in 0..<min(shape.genesPerStep, decisions.count) {
            result.decisions[gene] = .recompute
        }
        if let gateStep, gateStep < shape.stepCount {
            for step in gateStep..<shape.stepCount {
                for block in 0..<shape.blockCount where shape.blocks[block] == .pixart {
                    result[step: step, block: block, component: .attn2] = .reuse
                }
            }
        }
        return result
    }

    /// The schedule with the least recomputation that gives the same images.
    ///
    /// Beyond ``effective``, a FLUX attention or MLP whose result no `single_proj_out` consumes before the next
    /// recomputation is marked as reused. Two schedules with equal canonical forms give equal images.
    public var canonical: Schedule {
        let plan = CachePlan(self)
        var result = self
        for gene in decisions.indices {
            result.decisions[gene] = plan.action(at: gene) == .compute ? .recompute : .reuse
        }
        return result
    }
}

extension Genome {
    /// The genome of the schedule with the least recomputation that gives the same images.
    ///
    /// - Precondition: The genome has the shape's gene count.
    public func canonical(for shape: ScheduleShape) -> Genome {
        precondition(geneCount == shape.geneCount, "a genome of \(geneCount) genes for \(shape)")
        guard shape.isFlux else {
            // Only the first step's bits are inert where every output is consumed at its own step.
            var result = self
            result.fill(0..<shape.genesPerStep, with: true)
            return result
        }
        let decisions = (0..<geneCount).map { self[$0] ? Decision.recompute : .reuse }
        return Schedule(shape: shape, decisions: decisions).canonical.genome
    }
}
