import Basics
import Evaluations
import Evolution
import Foundation
import Schedules

/// A search that evaluates candidates sequentially in this process, for benchmarks of the search itself.
struct LocalSearch {
    let evaluator: Evaluator
    let items: [EvaluationItem]
    /// Cost of a schedule; minimised.
    let cost: (Schedule) -> Double
    /// Quality, the mean over the images; maximised.
    var quality = ScorerKind.psnr

    /// Runs until a number of schedules has been evaluated.
    ///
    /// - Parameters:
    ///   - settings: Parameters of the search.
    ///   - seeding: Methods of creating the initial population.
    ///   - evaluations: Number of distinct canonical schedules to evaluate.
    ///   - seed: Random seed.
    ///   - guide: Proposes schedules from measured reuse errors; replaces the methods of seeding.
    ///   - report: Called after each evaluated schedule with their number and the search.
    /// - Returns: The search after its last generation.
    /// - Throws: `EvaluationsError`, `EvolutionError`, and errors of `report`.
    func run(
        settings: SearchSettings, seeding: [String], evaluations: Int, seed: UInt64, guide: SearchGuide? = nil,
        report: (Int, Search) throws -> Void = { _, _ in }
    ) throws -> Search {
        let shape = evaluator.shape
        var generator = RandomGenerator(seed: seed)
        let seeds =
            try guide?.basis.seeds(min(settings.populationSize, evaluations))
            ?? seedPopulation(names: seeding, count: settings.populationSize, shape: shape, using: &generator)
        var search = try Search(settings: settings, shape: shape, seeds: seeds, seed: generator.next(), guide: guide)
        var evaluated: [Genome: Measurement] = [:]
        while evaluated.count < evaluations {
            let offspring = search.ask()
            guard !offspring.isEmpty else { break }
            for child in offspring {
                let canonical = child.genome.canonical(for: shape)
                let isNew = evaluated[canonical] == nil
                if isNew {
                    guard evaluated.count < evaluations else {
                        try search.discard(search.pending.map(\.id))
                        break
                    }
                    evaluated[canonical] = try measure(Schedule(shape: shape, genome: child.genome))
                }
                if let measured = evaluated[canonical] {
                    try search.tell([
                        Outcome(id: child.id, objectives: measured.objectives, logError: measured.logError)
                    ])
                }
                if isNew { try report(evaluated.count, search) }
            }
        }
        return search
    }

    struct Measurement {
        /// Cost and minus the quality.
        let objectives: [Double]
        /// Natural logarithm of the mean squared error against the uncached images.
        let logError: Double
    }

    /// Generates and scores a schedule's images.
    func measure(_ schedule: Schedule) throws -> Measurement {
        let task = EvaluationTask(
            candidates: [(0, schedule)], items: items, measuresLatency: false, returnsImages: false)
        let results = try evaluator.evaluate(task) { _, _ in true } ?? []
        func mean(_ scorer: ScorerKind) -> Double {
            results.reduce(0) { $0 + ($1.scores[scorer.rawValue] ?? .nan) } / Double(results.count)
        }
        return Measurement(
            objectives: [cost(schedule), -mean(quality)], logError: -mean(.psnr) * log(10) / 10)
    }
}
