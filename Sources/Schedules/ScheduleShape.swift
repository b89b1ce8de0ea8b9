import ModelConfiguration

/// What a schedule decides about: the blocks of a transformer, over a number of denoising steps.
///
/// Genes are in published order: by step, then block (FLUX: double-stream before single-stream), then component, so
/// that gene `(step * blockCount + block) * 3 + slot` is PixArt's `(s*28 + b)*3 + c` and FLUX's `s*171 + b*3 + c`.
public struct ScheduleShape: Hashable, Sendable {
    /// Most denoising steps a shape may have: samplers draw theirs from 1,000 training timesteps.
    public static let stepLimit = 1000
    /// Most blocks a shape may have, far beyond any published transformer.
    public static let blockLimit = TransformerConfiguration.blockLimit

    /// The kind of every block, in published order.
    public let blocks: [BlockKind]
    /// Number of denoising steps (diffusers: `num_inference_steps`).
    public let stepCount: Int

    private init(blocks: [BlockKind], stepCount: Int) {
        precondition((1...Self.blockLimit).contains(blocks.count), "a shape needs 1 to \(Self.blockLimit) blocks")
        precondition((1...Self.stepLimit).contains(stepCount), "a shape needs 1 to \(Self.stepLimit) steps")
        self.blocks = blocks
        self.stepCount = stepCount
    }

    /// Makes the shape of a PixArt transformer.
    ///
    /// - Precondition: Both counts lie in 1 to 1,000. A count that a user chose goes through
    ///   ``ModelArchitecture/shape(stepCount:)``, which throws instead.
    public static func pixart(blocks: Int = 28, steps: Int = 20) -> ScheduleShape {
        ScheduleShape(blocks: Array(repeating: .pixart, count: blocks), stepCount: steps)
    }

    /// Makes the shape of a FLUX transformer.
    ///
    /// - Precondition: The blocks together and the steps lie in 1 to 1,000, as for ``pixart(blocks:steps:)``.
    public static func flux(fullBlocks: Int = 19, singleBlocks: Int = 38, steps: Int = 20) -> ScheduleShape {
        ScheduleShape(
            blocks: Array(repeating: .fluxFull, count: fullBlocks)
                + Array(repeating: .fluxSingle, count: singleBlocks),
            stepCount: steps)
    }

    /// Number of blocks of every kind.
    public var blockCount: Int { blocks.count }

    /// Number of FLUX single-stream blocks; 0 for PixArt.
    public var singleBlockCount: Int { blocks.count { $0 == .fluxSingle } }

    /// Whether the blocks are those of FLUX.
    public var isFlux: Bool { blocks[0] != .pixart }

    /// Number of genes in one step.
    public var genesPerStep: Int { blocks.count * BlockKind.componentCount }

    /// Number of genes: steps x blocks x components.
    public var geneCount: Int { stepCount * genesPerStep }

    /// Uncached images whose denoising takes as long as measuring the reuse errors of one image: a whole trajectory, and
    /// from each later step on another one, which reuses everything at that step.
    public var reuseMeasurementImages: Double { 1 + Double(stepCount - 1) / 2 }

    /// Position of a component's gene.
    ///
    /// - Precondition: The step and block exist, and the block holds the component.
    public func index(step: Int, block: Int, component: Component) -> Int {
        precondition(blocks[block] == component.blockKind, "block \(block) has no \(component.rawValue)")
        return index(step: step, block: block, slot: component.slot)
    }

    /// Position of the gene of a block's component, given by its place in the block.
    func index(step: Int, block: Int, slot: Int) -> Int {
        precondition(step >= 0 && step < stepCount && block >= 0 && block < blocks.count, "cell outside the shape")
        return (step * blocks.count + block) * BlockKind.componentCount + slot
    }

    /// What one gene decides about.
    public struct Cell: Hashable, Sendable {
        /// Denoising step, from 0.
        public let step: Int
        /// Block, from 0, in published order.
        public let block: Int
        /// Component of that block.
        public let component: Component
    }

    /// What the gene at a position decides about.
    ///
    /// - Precondition: `index` lies in `0..<geneCount`.
    public func cell(at index: Int) -> Cell {
        precondition(index >= 0 && index < geneCount, "gene \(index) outside the shape's \(geneCount)")
        let (row, slot) = index.quotientAndRemainder(dividingBy: BlockKind.componentCount)
        let (step, block) = row.quotientAndRemainder(dividingBy: blocks.count)
        return Cell(step: step, block: block, component: blocks[block].components[slot])
    }

    /// Name of a block in published files: `"0"` onward, and for single-stream blocks `"single_0"` onward.
    public func blockKey(_ block: Int) -> String {
        blocks[block] == .fluxSingle ? "single_\(block - (blockCount - singleBlockCount))" : "\(block)"
    }
}

extension ScheduleShape: CustomStringConvertible {
    /// The counts, as in "28 PixArt blocks x 20 steps".
    public var description: String {
        isFlux
            ? "\(blockCount - singleBlockCount) + \(singleBlockCount) FLUX blocks x \(stepCount) steps"
            : "\(blockCount) PixArt blocks x \(stepCount) steps"
    }
}

extension ScheduleShape: Codable {
    private enum CodingKeys: String, CodingKey {
        case pixartBlocks, fluxFullBlocks, fluxSingleBlocks, steps
    }

    /// Writes the counts of blocks and steps.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        if isFlux {
            try container.encode(blockCount - singleBlockCount, forKey: .fluxFullBlocks)
            try container.encode(singleBlockCount, forKey: .fluxSingleBlocks)
        } else {
            try container.encode(blockCount, forKey: .pixartBlocks)
        }
        try container.encode(stepCount, forKey: .steps)
    }

    /// Reads the counts of blocks and steps.
    ///
    /// - Throws: `DecodingError` when a count is missing or outside the limits.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        func count(_ key: CodingKeys) throws -> Int {
            let value = try container.decode(Int.self, forKey: key)
            guard (0...1000).contains(value) else {
                throw DecodingError.dataCorruptedError(
                    forKey: key, in: container, debugDescription: "expected 0 to 1000, found \(value)")
            }
            return value
        }
        let steps = try count(.steps)
        let isPixArt = container.contains(.pixartBlocks)
        let first = try count(isPixArt ? .pixartBlocks : .fluxFullBlocks)
        let singles = isPixArt ? 0 : try count(.fluxSingleBlocks)
        guard steps > 0, (1...Self.blockLimit).contains(first + singles) else {
            throw DecodingError.dataCorruptedError(
                forKey: .steps, in: container, debugDescription: "expected 1 to 1000 steps and blocks")
        }
        self =
            isPixArt
            ? .pixart(blocks: first, steps: steps) : .flux(fullBlocks: first, singleBlocks: singles, steps: steps)
    }
}
