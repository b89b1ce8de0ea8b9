import Evaluations
import Evolution
import Schedules

/// The error of a measured cost table on schedules that it was not fitted to.
public struct LatencyModelBenchmark: Sendable {
    /// Modelled and measured latency of one schedule.
    public struct Row: Sendable, Encodable {
        /// `random` or `evolved`.
        public let origin: String
        /// Share of the genes that recompute.
        public let recomputed: Double
        /// Latency relative to the uncached schedule, from the cost table.
        public let modelled: Double
        /// Measured latency relative to the uncached schedule.
        public let measured: Double
        /// Relative error, `modelled / measured - 1`.
        public var error: Double { modelled / measured - 1 }
    }

    /// The measured cost table.
    public let costs: MeasuredCosts
    /// One row for each schedule.
    public let rows: [Row]

    /// A quantile of the absolute relative errors.
    public func error(quantile: Double) -> Double {
        let sorted = rows.map { abs($0.error) }.sorted()
        guard let last = sorted.last else { return .nan }
        let position = quantile * Double(sorted.count - 1)
        let index = Int(position)
        return index + 1 < sorted.count
            ? sorted[index] + (position - Double(index)) * (sorted[index + 1] - sorted[index]) : last
    }

    /// Measures a cost table, then schedules: half of them random, half from a short search.
    ///
    /// - Parameters:
    ///   - evaluator: The model.
    ///   - imageCount: Batch size.
    ///   - scheduleCount: Number of schedules to compare.
    ///   - seconds: Time for measuring the schedules; the table is measured as by a worker.
    ///   - seed: Seed of the random schedules and of the search.
    /// - Throws: `EvaluationsError`, `EvolutionError`.
    public init(
        _ evaluator: Evaluator, imageCount: Int, scheduleCount: Int, seconds: Double, seed: UInt64
    ) throws {
        guard
            let costs = try evaluator.measureCosts(imageCount: imageCount, progress: { _, _ in true })
        else {
            preconditionFailure("the measurement was not cancelled")
        }
        let shape = evaluator.shape
        var generator = RandomGenerator(seed: seed)
        let random = try seedPopulation(
            names: ["random"], count: max(1, scheduleCount / 2), shape: shape, using: &generator)
        let evolved = try Self.evolve(
            evaluator, costs.table, count: max(1, scheduleCount - random.count), seed: generator.next())
        let genomes = random.map { ("random", $0.genome) } + evolved.map { ("evolved", $0) }
        let schedules = try genomes.map { try Schedule(shape: shape, genome: $0.1) }
        guard
            let measured = try evaluator.measureRatios(
                of: schedules, imageCount: imageCount, seconds: seconds, progress: { _, _ in true })
        else { preconditionFailure("the measurement was not cancelled") }
        self.costs = costs
        rows = genomes.indices.map { index in
            Row(
                origin: genomes[index].0,
                recomputed: Double(genomes[index].1.recomputeCount) / Double(shape.geneCount),
                modelled: costs.table.ratio(of: schedules[index]) ?? .nan, measured: measured.ratios[index])
        }
    }

    /// The final population of a short search on one image.
    private static func evolve(
        _ evaluator: Evaluator, _ table: CostTable, count: Int, seed: UInt64
    ) throws -> [Genome] {
        let local = LocalSearch(
            evaluator: evaluator, items: [EvaluationItem(prompt: 0, seed: 0)],
            cost: { table.ratio(of: $0) ?? .nan })
        var settings = SearchSettings(populationSize: max(4, count))
        settings.duplicateRounds = 10
        let search = try local.run(
            settings: settings, seeding: ["fora", "random"], evaluations: 12 * max(4, count), seed: seed)
        return search.population.prefix(count).map(\.offspring.genome)
    }
}
