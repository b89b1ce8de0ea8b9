import ArgumentParser
import Benchmarks
import Evolution
import Foundation
import ProgramSupport
import Schedules

struct BenchSearch: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "search",
        abstract: "Measures what search and history cost beside the evaluations.",
        discussion:
            "The default is a run of the paper's size: 39,456 schedules of PixArt, 1,680 genes each, with objectives that cost nothing."
    )

    @Option(help: "Schedules in a generation.")
    var population = 72

    @Option(help: "Schedules to evaluate at least; the last generation is a whole one.")
    var evaluations = 39456

    @Option(help: "default or ecad-paper.")
    var preset = SearchSettings.Preset.ecadPaper

    @Option(help: "A folder for the history, which is left there (default: a temporary one, removed).")
    var runDir: String?

    @Option(help: "Seed of all random choices.")
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
            shape: .pixart(), settings: SearchSettings(preset: preset, populationSize: population),
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
                format: "%.3f ms and %.0f bytes of search and history for each", result.millisecondsPerEvaluation,
                result.bytesPerEvaluation))
        print(String(format: "%.2f ms to breed a generation of %d", result.breedSeconds * 1e3, population))
        print(String(format: "%.2f ms to lease and commit a task of 4 schedules", result.commitSeconds * 1e3))
    }
}

extension SearchSettings.Preset: ExpressibleByArgument {}
