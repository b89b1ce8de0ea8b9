import Evolution
import Foundation
import History
import ModelConfiguration
import Schedules

/// What search and history cost beside the evaluations: a whole run with an objective that costs nothing.
///
/// Candidates are bred, entered, leased, committed and told as by a coordinator, but without scores and timings of
/// single images.
public struct SearchBenchmark: Sendable, Encodable {
    /// Evaluations made.
    public private(set) var evaluations = 0
    /// Generations, the seeds included.
    public private(set) var generations = 0
    /// Seconds of everything.
    public private(set) var seconds = 0.0
    /// Median seconds for breeding a generation.
    public private(set) var breedSeconds = 0.0
    /// Median seconds of one result's commit, lease included.
    public private(set) var commitSeconds = 0.0
    /// Bytes of the database at the end.
    public private(set) var bytes = 0
    /// Hypervolume of the front at the end, of the synthetic objectives.
    public private(set) var hypervolume = 0.0

    /// Milliseconds of search and history for one evaluation.
    public var millisecondsPerEvaluation: Double { seconds * 1e3 / Double(max(1, evaluations)) }
    /// Bytes of history for one evaluation.
    public var bytesPerEvaluation: Double { Double(bytes) / Double(max(1, evaluations)) }

    private static let candidatesPerTask = 4

    /// Runs a search.
    ///
    /// - Parameters:
    ///   - shape: The schedules.
    ///   - settings: The search's rules, with a barrier between generations.
    ///   - wanted: Evaluations at least; the last generation is a whole one.
    ///   - folder: A run folder that does not exist yet; left behind.
    ///   - seed: Seed of all random choices.
    /// - Throws: `EvolutionError`, `HistoryError`.
    public init(
        shape: ScheduleShape, settings: SearchSettings, evaluations wanted: Int, folder: String, seed: UInt64
    ) throws {
        let history = try RunHistory.create(in: folder)
        let run = try history.createRun(
            NewRun(
                name: "benchmark", configuration: "", costObjective: "synthetic", qualityObjective: "synthetic",
                shape: "{}",
                genes: (0..<shape.geneCount).map { gene in
                    let cell = shape.cell(at: gene)
                    return GeneCell(step: cell.step, block: cell.block, component: cell.component.rawValue)
                }, modelHash: "", seed: Int64(seed), prompts: ["none"]))
        let worker = try history.upsertWorker(
            WorkerDescription(name: "benchmark", host: "", cpu: "", blas: "", threads: 1, engineVersion: ""))
        var (breeding, commits): ([Double], [Double]) = ([], [])
        let clock = ContinuousClock()
        let start = clock.now
        var generator = RandomGenerator(seed: seed)
        let seeds = try seedPopulation(
            names: ["fora", "random"], count: settings.populationSize, shape: shape, using: &generator)
        var search = try Search(settings: settings, shape: shape, seeds: seeds, seed: generator.next())
        var (byHash, byGenome): ([String: Int64], [Genome: Int64]) = ([:], [:])
        var objectives: [Int64: [Double]] = [:]
        while evaluations < wanted {
            let before = clock.now
            let offspring = search.ask()
            if generations > 0 { breeding.append((clock.now - before) / .seconds(1)) }
            guard !offspring.isEmpty else { break }
            let hashes = offspring.map { $0.genome.canonical(for: shape).sha256 }
            var fresh: Set<String> = []
            let new = zip(offspring, hashes).filter { byHash[$0.1] == nil && fresh.insert($0.1).inserted }
            let places = Array(new.indices)
            let work = try history.beginGeneration(
                generations, of: run, searchState: search.encoded { byGenome[$0.genome] },
                candidates: new.map { offspring, hash in
                    NewCandidate(
                        genome: offspring.genome.bytes, genomeSHA256: offspring.genome.sha256, canonicalHash: hash,
                        operator: offspring.operation.rawValue, origin: offspring.origin, macs: 0)
                },
                tasks: stride(from: 0, to: places.count, by: Self.candidatesPerTask).map { first in
                    NewTask(
                        candidates: Array(places[first..<min(first + Self.candidatesPerTask, places.count)]),
                        images: [ImageKey(prompt: 0, seed: 0)])
                })
            var totals: [(Int64, EvaluationTotals)] = []
            for (id, (offspring, hash)) in zip(work.candidateIDs, new) {
                (byHash[hash], byGenome[offspring.genome]) = (id, id)
                let values = Self.evaluate(offspring.genome, shape)
                objectives[id] = values
                totals.append(
                    (
                        id,
                        EvaluationTotals(
                            cost: values[0], quality: -values[1], latencyRatio: values[0], modelledRatio: values[0],
                            macs: 0, images: 1, denoiseSeconds: 1, referenceSeconds: 1)
                    ))
            }
            for task in work.taskIDs {
                let before = clock.now
                _ = try history.recordLease(of: task, to: worker, expiresAt: RunHistory.now() + 20)
                _ = try history.commitResult(
                    TaskResult(taskID: task, workerID: worker, scores: [], timings: [], seconds: 0))
                commits.append((clock.now - before) / .seconds(1))
            }
            try history.finishEvaluations(totals)
            try search.tell(
                zip(offspring, hashes).map { offspring, hash in
                    Outcome(id: offspring.id, objectives: byHash[hash].flatMap { objectives[$0] } ?? [])
                })
            hypervolume = Pareto.hypervolume(of: search.front.map(\.objectives), reference: [1.1, 0])
            try history.completeGeneration(
                generations, of: run, searchState: search.encoded { byGenome[$0.genome] },
                hypervolume: hypervolume, wallSeconds: 0)
            try history.checkpoint()
            evaluations += new.count
            generations += 1
        }
        try history.close()
        seconds = (clock.now - start) / .seconds(1)
        breedSeconds = breeding.sorted()[breeding.count / 2]
        commitSeconds = commits.sorted()[commits.count / 2]
        let size = try FileManager.default.attributesOfItem(atPath: history.file)[.size] as? Int
        bytes = size ?? 0
    }

    /// Cost, the share of recomputation, and loss, from -1 where nothing is lost to 0.
    ///
    /// Reuse hurts more the longer it lasts, and in some places more than in others.
    private static func evaluate(_ genome: Genome, _ shape: ScheduleShape) -> [Double] {
        var loss = 0.0
        for place in 0..<shape.genesPerStep {
            var age = 0.0
            for step in 1..<shape.stepCount {
                age = genome[step * shape.genesPerStep + place] ? 0 : age + 1
                loss += age.squareRoot() * Double(1 + place % 7)
            }
        }
        let scale = Double(shape.geneCount) * 4
        return [Double(genome.recomputeCount) / Double(genome.geneCount), -1 / (1 + loss / scale)]
    }
}
