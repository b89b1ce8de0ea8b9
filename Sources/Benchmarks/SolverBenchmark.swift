import Evolution
import Schedules

/// How long a search with an error model takes to solve for schedules, with synthetic reuse errors and results.
public struct SolverBenchmark: Sendable, Encodable {
    /// Genes of a schedule.
    public let genes: Int
    /// Seconds to solve for the whole front of least predicted error.
    public let frontSeconds: Double
    /// Schedules on it.
    public let frontCount: Int
    /// Evaluated schedules that the error model is fitted to.
    public let results: Int
    /// Members of their front.
    public let members: Int
    /// Seconds to fit the model and to choose a generation.
    public let batchSeconds: Double
    /// Schedules of the generation.
    public let batch: Int

    /// Solves once for a front, and once for a generation.
    ///
    /// Half of the results are those of calibrated schedules, half those of random ones.
    ///
    /// - Parameters:
    ///   - shape: Shape of the schedules.
    ///   - results: Evaluated schedules.
    ///   - batch: Schedules of a generation.
    ///   - seed: Random seed.
    /// - Throws: `EvolutionError`.
    public init(shape: ScheduleShape, results: Int, batch: Int, seed: UInt64) throws {
        let clock = ContinuousClock()
        var generator = RandomGenerator(seed: seed)
        let basis = try SearchBenchmark.basis(shape, &generator)
        var start = clock.now
        frontCount = basis.seeds(ChainSolver.frontSize).count
        frontSeconds = (clock.now - start) / .seconds(1)
        let seeds = try seedPopulation(
            names: ["calibrated", "random"], count: results, shape: shape, basis: basis, using: &generator)
        var search = try Search(
            settings: SearchSettings(populationSize: batch), shape: shape, seeds: seeds, seed: generator.next(),
            guide: SearchGuide(basis))
        let offspring = search.ask()
        try search.tell(
            offspring.map { SearchBenchmark.outcome(of: $0, SearchBenchmark.evaluate($0.genome, shape)) })
        start = clock.now
        self.batch = search.ask().count
        batchSeconds = (clock.now - start) / .seconds(1)
        genes = shape.geneCount
        self.results = offspring.count
        members = search.front.count
    }
}
