import ArgumentParser
import Benchmarks
import Evolution
import Foundation
import ProgramSupport
import Schedules

struct BenchSearch: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "search",
        abstract: "Measure the overhead of search and history.",
        discussion:
            "Runs a search with synthetic objectives and reuse errors; by default 39,456 PixArt schedules of 1,680 genes, as many as in the ECAD paper."
    )

    @Option(help: "Population size.")
    var population = 72

    @Option(help: "Minimum number of evaluations; the last generation is completed.")
    var evaluations = 39456

    @Option(help: "Search preset: default, nsga2 or ecad-paper.")
    var preset = SearchSettings.Preset.ecadPaper

    @Flag(help: "Search FLUX schedules of 3,420 genes.")
    var flux = false

    @Option(help: "Run directory to create and keep (default: a temporary directory).")
    var runDir: String?

    @Option(help: "Random seed.")
    var seed: UInt64 = 0

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        try requireOption("--population", population, in: 2...10000)
        try requireOption("--evaluations", evaluations, in: 2...10_000_000)
    }

    func run() throws {
        let folder =
            runDir
            ?? FileManager.default.temporaryDirectory.appendingPathComponent("ecad-bench-\(UUID().uuidString)").path
        defer { if runDir == nil { try? FileManager.default.removeItem(atPath: folder) } }
        let result = try SearchBenchmark(
            shape: flux ? .flux() : .pixart(), settings: SearchSettings(preset: preset, populationSize: population),
            evaluations: evaluations, folder: folder, seed: seed)
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            print(String(decoding: try encoder.encode(result), as: UTF8.self))
            return
        }
        print("\(result.evaluations) evaluations in \(result.generations) generations")
        print(
            String(
                format: "%.3f ms and %.0f bytes of search and history per evaluation", result.millisecondsPerEvaluation,
                result.bytesPerEvaluation))
        print(String(format: "%.2f ms to breed a generation of %d", result.breedSeconds * 1e3, population))
        print(String(format: "%.2f ms to lease and commit a task of 4 schedules", result.commitSeconds * 1e3))
    }
}

struct BenchSolver: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "solver",
        abstract: "Measure how long a search takes to solve for schedules.",
        discussion: """
            With synthetic reuse errors and results, for PixArt-XL (1,680 genes) and FLUX.1-dev (3,420 genes) at 20 steps: the whole \
            front of least predicted error, and a generation chosen with the error model fitted to results.
            """)

    @Option(help: "Evaluated schedules that the error model is fitted to.")
    var results = 1000

    @Option(help: "Schedules of a generation.")
    var batch = 24

    @Option(help: "Random seed.")
    var seed: UInt64 = 0

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        try requireOption("--results", results, in: 8...100_000)
        try requireOption("--batch", batch, in: 2...10000)
    }

    func run() throws {
        let shapes: [(String, ScheduleShape)] = [("PixArt-XL", .pixart()), ("FLUX.1-dev", .flux())]
        let measured = try shapes.map { name, shape in
            (name, try SolverBenchmark(shape: shape, results: results, batch: batch, seed: seed))
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            let all = Dictionary(uniqueKeysWithValues: measured)
            return print(String(decoding: try encoder.encode(all), as: UTF8.self))
        }
        for (name, result) in measured {
            print("\(name), \(result.genes) genes")
            print(String(format: "%.2f s for a front of %d schedules", result.frontSeconds, result.frontCount))
            print(
                String(
                    format: "%.2f s for a generation of %d with %d results, %d of them on the front",
                    result.batchSeconds, result.batch, result.results, result.members))
        }
    }
}

extension SearchSettings.Preset: ExpressibleByArgument {}
