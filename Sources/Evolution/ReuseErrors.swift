import Basics
import FoundationEssentials
import ModelConfiguration
import Schedules

/// How much each possible reuse of a component's output changes the final latents, measured on a model's uncached
/// trajectories.
///
/// An entry belongs to a chain (one component of one block), a step at which the output is reused, and the earlier step
/// that computed it. Entries are relative: only their ratios matter.
public struct ReuseErrors: Hashable, Sendable {
    /// Shape of the schedules that the table is about.
    public let shape: ScheduleShape
    /// `[chains][pairs]`, where the pair of a step and a source has the index `step * (step - 1) / 2 + source`.
    public private(set) var values: [Float]

    /// Number of pairs of a step and an earlier one.
    public var pairCount: Int { Self.pairCount(stepCount: shape.stepCount) }

    /// Number of entries of a shape's table.
    public static func count(for shape: ScheduleShape) -> Int {
        shape.genesPerStep * pairCount(stepCount: shape.stepCount)
    }

    private static func pairCount(stepCount: Int) -> Int { stepCount * (stepCount - 1) / 2 }

    /// Uses measured entries.
    ///
    /// - Throws: ``EvolutionError/reuseErrors(problem:)`` unless there is one finite entry of at least 0 for each pair of
    ///   each chain, and one of them is positive.
    public init(shape: ScheduleShape, values: [Float]) throws(EvolutionError) {
        guard values.count == Self.count(for: shape) else {
            throw .reuseErrors(problem: "\(values.count) values; expected \(Self.count(for: shape))")
        }
        guard values.allSatisfy({ $0.isFinite && $0 >= 0 }) else {
            throw .reuseErrors(problem: "a value is negative or not finite")
        }
        guard values.contains(where: { $0 > 0 }) else { throw .reuseErrors(problem: "all values are 0") }
        self.shape = shape
        self.values = values
    }

    /// The mean of several images' tables, each scaled to a total of 1 over reuses from the previous step.
    ///
    /// - Throws: ``EvolutionError/reuseErrors(problem:)`` for no tables, or tables of different shapes.
    public init(averaging tables: [ReuseErrors]) throws(EvolutionError) {
        guard let first = tables.first else { throw .reuseErrors(problem: "no trajectory was measured") }
        guard tables.allSatisfy({ $0.shape == first.shape }) else {
            throw .reuseErrors(problem: "tables of different shapes")
        }
        var sums = [Double](repeating: 0, count: first.values.count)
        for table in tables {
            let scale = 1 / max(table.previousStepTotal, .leastNormalMagnitude) / Double(tables.count)
            for index in sums.indices { sums[index] += scale * Double(table.values[index]) }
        }
        try self.init(shape: first.shape, values: sums.map(Float.init))
    }

    /// Sum over all chains and steps of the entries for reuse from the previous step.
    private var previousStepTotal: Double {
        (0..<shape.genesPerStep).reduce(0) { sum, chain in
            (1..<max(1, shape.stepCount)).reduce(sum) { $0 + Double(self[chain: chain, step: $1, source: $1 - 1]) }
        }
    }

    /// The entry for reusing a chain's output of step `source` at a later step.
    public subscript(chain chain: Int, step step: Int, source source: Int) -> Float {
        values[chain * pairCount + step * (step - 1) / 2 + source]
    }
}

extension ReuseErrors: Codable {
    private enum CodingKeys: String, CodingKey {
        case shape, values
    }

    /// Writes the shape, and the values as little-endian bytes, so that they are restored bit for bit.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(shape, forKey: .shape)
        try container.encode(values.littleEndianData, forKey: .values)
    }

    /// Reads and checks what ``encode(to:)`` writes.
    ///
    /// - Throws: `DecodingError`.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let shape = try container.decode(ScheduleShape.self, forKey: .shape)
        let data = try container.decode(Data.self, forKey: .values)
        func fail(_ problem: String) -> DecodingError {
            DecodingError.dataCorruptedError(forKey: .values, in: container, debugDescription: problem)
        }
        guard data.count == 4 * Self.count(for: shape), let values = [Float](littleEndian: data) else {
            throw fail("\(data.count) bytes; expected \(4 * Self.count(for: shape))")
        }
        do {
            try self.init(shape: shape, values: values)
        } catch {
            throw fail("\(error)")
        }
    }
}

/// The cost of one instance of a component, as shares of the uncached schedule's cost.
public struct ComponentCost: Hashable, Sendable {
    /// To compute it.
    public var compute: Double
    /// Additionally, to store its output.
    public var keep: Double
    /// To read its output from the cache.
    public var read: Double

    /// Makes costs.
    public init(compute: Double, keep: Double = 0, read: Double = 0) {
        self.compute = compute
        self.keep = keep
        self.read = read
    }
}

/// The cost of schedules as a sum over components, with shares of the uncached schedule's cost.
public struct ScheduleCost: Hashable, Sendable {
    /// What no schedule avoids, over all steps.
    public let fixed: Double
    /// One for each chain.
    public let chains: [ComponentCost]

    /// Makes a cost model.
    ///
    /// - Throws: ``EvolutionError/costs(problem:)`` if a share is negative or not finite, or computing is free throughout.
    public init(fixed: Double, chains: [ComponentCost]) throws(EvolutionError) {
        let shares = [fixed] + chains.flatMap { [$0.compute, $0.keep, $0.read] }
        guard shares.allSatisfy({ $0.isFinite && $0 >= 0 }) else {
            throw .costs(problem: "a share is negative or not finite")
        }
        guard chains.contains(where: { $0.compute > 0 }) else { throw .costs(problem: "no component costs anything") }
        self.fixed = fixed
        self.chains = chains
    }
    /// The multiply-adds of a model's schedules, as counted by `ModelArchitecture.macs`.
    ///
    /// - Throws: ``EvolutionError/costs(problem:)``.
    public init(multiplyAdds architecture: ModelArchitecture, shape: ScheduleShape) throws(EvolutionError) {
        let costs = architecture.costs()
        let chains = shape.blocks.flatMap(\.components).map { Double(costs.components[$0, default: 0]) }
        let uncached = Double(shape.stepCount) * (Double(costs.always) + chains.reduce(0, +))
        try self.init(
            fixed: Double(shape.stepCount) * Double(costs.always) / uncached,
            chains: chains.map { ComponentCost(compute: $0 / uncached) })
    }

    /// The modelled seconds of schedules without TGATE.
    ///
    /// - Throws: ``EvolutionError/costs(problem:)`` for a table without a component of the shape.
    public init(table: CostTable, shape: ScheduleShape) throws(EvolutionError) {
        let uncached = table.uncachedSeconds(shape)
        let components = shape.blocks.flatMap(\.components)
        if let missing = components.first(where: { table.full.components[$0.rawValue] == nil }) {
            throw .costs(problem: "no costs of \(missing.rawValue)")
        }
        try self.init(
            fixed: Double(shape.stepCount) * table.full.step / uncached,
            chains: components.map { component in
                let costs = table.full.components[component.rawValue] ?? CostTable.Costs()
                return ComponentCost(
                    compute: costs.compute / uncached, keep: costs.keep / uncached, read: costs.read / uncached)
            })
    }
}
