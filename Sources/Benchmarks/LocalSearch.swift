import Evaluations
import Evolution
import Schedules

/// A search whose candidates are evaluated in this process, one after the other: for measurements of the search itself.
struct LocalSearch {
    let evaluator: Evaluator
    let items: [EvaluationItem]
    /// A schedule's cost, minimised.
    let cost: (Schedule) -> Double

    /// Searches until a number of schedules is evaluated.
    ///
    /// - Parameters:
    ///   - settings: The search's rules.
    ///   - seeding: Where the first population comes from.
    ///   - evaluations: Schedules to evaluate; a schedule that makes the images of an earlier one is not counted.
    ///   - seed: Seed of all random choices.
    ///   - report: Called after every generation with the number of evaluations and the search.
    /// - Returns: The search after its last generation.
    /// - Throws: `EvaluationsError`, `EvolutionError`.
    func run(
        settings: SearchSettings, seeding: [String], evaluations: Int, seed: UInt64,
        report: (Int, Search) -> Void = { _, _ in }
    ) throws -> Search {
        let shape = evaluator.shape
        var generator = RandomGenerator(seed: seed)
        let seeds = try seedPopulation(
            names: seeding, count: settings.populationSize, shape: shape, using: &generator)
        var search = try Search(settings: settings, shape: shape, seeds: seeds, seed: generator.next())
        var known: [Genome: [Double]] = [:]
        while known.count < evaluations {
            let offspring = search.ask()
            guard !offspring.isEmpty else { break }
            for child in offspring {
                let canonical = child.genome.canonical(for: shape)
                if known[canonical] == nil {
                    guard known.count < evaluations else {
                        try search.discard(search.pending.map(\.id))
                        break
                    }
                    known[canonical] = try objectives(of: Schedule(shape: shape, genome: child.genome))
                }
                try search.tell([Outcome(id: child.id, objectives: known[canonical] ?? [])])
            }
            report(known.count, search)
        }
        return search
    }

    private func objectives(of schedule: Schedule) throws -> [Double] {
        let task = EvaluationTask(
            candidates: [(0, schedule)], items: items, measuresLatency: false, returnsImages: false)
        let results = try evaluator.evaluate(task) { _, _ in true } ?? []
        let quality = results.reduce(0) { $0 + ($1.scores["psnr"] ?? .nan) } / Double(results.count)
        return [cost(schedule), -quality]
    }
}
