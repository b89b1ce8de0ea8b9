import Evolution
import Foundation
import History
import ModelConfiguration
import Schedules

/// Overhead of search and history: a complete run with synthetic objectives.
///
/// Candidates are bred, inserted, leased, committed and reported as by a coordinator, but without scores and timings of
/// individual images.
public struct SearchBenchmark: Sendable, Encodable {
    /// Number of evaluations.
    public private(set) var evaluations = 0
    /// Number of generations, including the seeds.
    public private(set) var generations = 0
    /// Total seconds.
    public private(set) var seconds = 0.0
    /// Median seconds to breed a generation.
    public private(set) var breedSeconds = 0.0
    /// Median seconds to lease a task and commit its result.
    public private(set) var commitSeconds = 0.0
    /// Final size of the database in bytes.
    public private(set) var bytes = 0
    /// Hypervolume of the final front of the synthetic objectives.
    public private(set) var hypervolume = 0.0

    /// Overhead of search and history per evaluation.
    public var millisecondsPerEvaluation: Double { seconds * 1e3 / Double(max(1, evaluations)) }
    /// History size per evaluation.
    public var bytesPerEvaluation: Double { Double(bytes) / Double(max(1, evaluations)) }

    private static let candidatesPerTask = 4

    /// Runs a search in generational mode.
    ///
    /// - Parameters:
    ///   - shape: Shape of the schedules.
    ///   - settings: Parameters of the search.
    ///   - minEvaluations: Minimum number of evaluations; the last generation is completed.
    ///   - folder: Run directory; must not exist and is not removed.
    ///   - seed: Random seed.
    /// - Throws: `EvolutionError`, `HistoryError`.
    public init(
        shape: ScheduleShape, settings: SearchSettings, evaluations minEvaluations: Int, folder: String, seed: UInt64
    ) throws {
        let history = try RunHistory.create(in: folder)
        let run = try history.runs.create(
            NewRun(
                name: "benchmark", configuration: "", costObjective: "synthetic", qualityObjective: "synthetic",
                shape: "{}",
                genes: (0..<shape.geneCount).map { gene in
                    let cell = shape.cell(at: gene)
                    return GeneCell(step: cell.step, block: cell.block, component: cell.component.rawValue)
                }, modelHash: "", seed: Int64(seed), prompts: ["none"]))
        let worker = try history.workers.upsert(
            WorkerDescription(name: "benchmark", host: "", cpu: "", blas: "", threads: 1, engineVersion: ""))
        var (breeding, commits): ([Double], [Double]) = ([], [])
        let clock = ContinuousClock()
        let start = clock.now
        var generator = RandomGenerator(seed: seed)
        let basis = settings.preset == .standard ? try Self.basis(shape, &generator) : nil
        let seeds = try seedPopulation(
            names: basis == nil ? ["fora", "random"] : ["calibrated"], count: settings.populationSize, shape: shape,
            basis: basis, using: &generator)
        var search = try Search(
            settings: settings, shape: shape, seeds: seeds, seed: generator.next(), guide: basis.map(SearchGuide.init))
        var (byHash, byGenome): ([String: Int64], [Genome: Int64]) = ([:], [:])
        var objectives: [Int64: [Double]] = [:]
        while evaluations < minEvaluations {
            let before = clock.now
            let offspring = search.ask()
            if generations > 0 { breeding.append((clock.now - before) / .seconds(1)) }
            guard !offspring.isEmpty else { break }
            let hashes = offspring.map { $0.genome.canonical(for: shape).sha256 }
            var fresh: Set<String> = []
            let new = zip(offspring, hashes).filter { byHash[$0.1] == nil && fresh.insert($0.1).inserted }
            let indices = Array(new.indices)
            let work = try history.search.beginGeneration(
                generations, of: run, searchState: search.encoded { byGenome[$0.genome] },
                candidates: new.map { offspring, hash in
                    NewCandidate(
                        genome: offspring.genome.bytes, genomeSHA256: offspring.genome.sha256, canonicalHash: hash,
                        operator: offspring.operation.rawValue, origin: offspring.origin, macs: 0)
                },
                tasks: stride(from: 0, to: indices.count, by: Self.candidatesPerTask).map { first in
                    NewTask(
                        candidates: Array(indices[first..<min(first + Self.candidatesPerTask, indices.count)]),
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
                try history.tasks.recordLease(of: task, to: worker, epoch: 1, expiresAt: RunHistory.now() + 20)
                _ = try history.results.commit(
                    TaskResult(taskID: task, workerID: worker, scores: [], timings: [], seconds: 0))
                commits.append((clock.now - before) / .seconds(1))
            }
            try history.search.recordEvaluations(totals)
            try search.tell(
                zip(offspring, hashes).map { offspring, hash in
                    Self.outcome(of: offspring, byHash[hash].flatMap { objectives[$0] } ?? [])
                })
            hypervolume = Pareto.hypervolume(of: search.front.map(\.objectives), reference: [1.1, 0])
            try history.search.completeGeneration(
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

    /// The sum that ``evaluate(_:_:)`` is based on, with errors of measurement.
    static func basis(_ shape: ScheduleShape, _ generator: inout RandomGenerator) throws -> SearchBasis {
        var values: [Float] = []
        for chain in 0..<shape.genesPerStep {
            for step in 0..<shape.stepCount {
                for source in 0..<step {
                    let step = Double(step - source).squareRoot() * Double(1 + chain % 7)
                    values.append(Float(step * (0.5 + generator.unit())))
                }
            }
        }
        let cost = ComponentCost(compute: 1 / Double(shape.geneCount))
        return SearchBasis(
            errors: try ReuseErrors(shape: shape, values: values),
            cost: try ScheduleCost(fixed: 0, chains: Array(repeating: cost, count: shape.genesPerStep)),
            reference: [1.1, 0])
    }

    /// The result with these objectives; the log error is that of the sum in ``evaluate(_:_:)``.
    static func outcome(of offspring: Offspring, _ objectives: [Double]) -> Outcome {
        Outcome(id: offspring.id, objectives: objectives, logError: objectives.last.map { log(-1 / $0 - 1) })
    }

    /// Cost is the share of recomputation; loss is in -1...0 and grows with the duration of reuse, weighted by gene.
    static func evaluate(_ genome: Genome, _ shape: ScheduleShape) -> [Double] {
        var loss = 0.0
        for gene in 0..<shape.genesPerStep {
            var age = 0.0
            for step in 1..<shape.stepCount {
                age = genome[step * shape.genesPerStep + gene] ? 0 : age + 1
                loss += age.squareRoot() * Double(1 + gene % 7)
            }
        }
        let scale = Double(shape.geneCount) * 4
        return [Double(genome.recomputeCount) / Double(genome.geneCount), -1 / (1 + loss / scale)]
    }
}
