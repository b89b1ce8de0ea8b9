import ModelConfiguration

/// Whether one component is recomputed at one denoising step.
public enum Decision: UInt8, Codable, Sendable {
    /// Use the output cached at an earlier step.
    case reuse = 0
    /// Compute the output and refresh the cache.
    case recompute = 1
}

/// A caching schedule: for every denoising step, block and component, whether to recompute or to reuse.
///
/// What diffusers calls a scheduler, the solver of the differential equation, is a *sampler* in this project. Decisions
/// are the raw ones of a file or a genome; ``effective`` and ``ExecutionPlan`` derive what the engine does.
public struct Schedule: Hashable, Sendable {
    /// The blocks and steps of the decisions.
    public let shape: ScheduleShape
    /// One decision for each gene, in published order.
    public private(set) var decisions: [Decision]
    /// Free label (`name` in published files).
    public var name: String
    /// First step that runs without guidance and with frozen cross attention, for TGATE schedules; from 1.
    ///
    /// TGATE (arXiv 2404.02747): from this step on, the batch has no unconditional half, and `attn2` is always the
    /// mean of the two halves cached at the step before.
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
    /// - Throws: ``SchedulesError/geneCount(expected:found:)`` if the genome and the shape differ in length.
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

    /// The schedule as it runs: the first step computes everything, and TGATE's frozen cross-attention is reused.
    ///
    /// A published file may contain a reuse at step 0; the original computes there, as its multiply-add counts show.
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

    /// Whether the schedule is the same for all components of each step, as ``effective``, and has no gate: tools that decide
    /// about whole steps can run it.
    public var isStepMask: Bool {
        guard gateStep.map({ $0 >= shape.stepCount }) ?? true else { return false }
        return (1..<max(1, shape.stepCount)).allSatisfy { step in
            let row = decisions[(step * shape.genesPerStep)..<((step + 1) * shape.genesPerStep)]
            return row.allSatisfy { $0 == row.first }
        }
    }

    /// The schedule with the least recomputation that gives the same images.
    ///
    /// Beyond ``effective``, a FLUX attention or MLP whose result no `single_proj_out` consumes before the next
    /// recomputation is marked as reused. Two schedules with equal canonical forms give equal images.
    public var canonical: Schedule {
        let lifetimes = OutputLifetimes(self)
        var result = self
        for gene in decisions.indices {
            result.decisions[gene] = lifetimes.isComputed(gene) ? .recompute : .reuse
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
            // Every output is consumed at its own step, so only the first step's bits are inert.
            var result = self
            result.fill(0..<shape.genesPerStep, with: true)
            return result
        }
        let decisions = (0..<geneCount).map { self[$0] ? Decision.recompute : .reuse }
        return Schedule(shape: shape, decisions: decisions).canonical.genome
    }
}

extension Schedule {
    /// The schedule mapped to another number of steps or of blocks of the same kinds.
    ///
    /// Each step copies the decisions of the step at the same relative position, and each block those of the block of its
    /// kind at the same relative depth: index *i* of *n* copies index *floor((i + 1/2) m / n)* of *m*. Resolution and
    /// variant of the family do not matter. A gate step moves with its step.
    ///
    /// - Parameter target: The new blocks and steps.
    /// - Returns: The schedule; unchanged if both shapes are equal.
    /// - Throws: ``SchedulesError/transfer(from:to:)`` if the target has a kind of block that this schedule
    ///   lacks.
    public func transferred(to target: ScheduleShape) throws(SchedulesError) -> Schedule {
        func sourceIndex(_ index: Int, of count: Int, among sourceCount: Int) -> Int {
            (2 * index + 1) * sourceCount / (2 * count)
        }
        var sourceBlocks: [Int] = []
        for block in 0..<target.blockCount {
            let kind = target.blocks[block]
            let sources = shape.blocks.indices.filter { shape.blocks[$0] == kind }
            let targets = target.blocks.indices.filter { target.blocks[$0] == kind }
            guard !sources.isEmpty, let position = targets.firstIndex(of: block) else {
                throw .transfer(from: "\(shape)", to: "\(target)")
            }
            sourceBlocks.append(sources[sourceIndex(position, of: targets.count, among: sources.count)])
        }
        var decisions: [Decision] = []
        decisions.reserveCapacity(target.geneCount)
        for step in 0..<target.stepCount {
            let source = sourceIndex(step, of: target.stepCount, among: shape.stepCount)
            for block in 0..<target.blockCount {
                for slot in 0..<BlockKind.componentCount {
                    decisions.append(self[shape.index(step: source, block: sourceBlocks[block], slot: slot)])
                }
            }
        }
        let gate = gateStep.map { max(1, ($0 * target.stepCount + shape.stepCount / 2) / shape.stepCount) }
        return Schedule(shape: target, decisions: decisions, name: name, gateStep: gate)
    }
}
