import ArgumentParser
import Benchmarks
import Evolution
import Foundation
import ModelConfiguration
import ProgramSupport

struct BenchPresets: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "presets",
        abstract: "Compare search presets with equal numbers of evaluations.",
        discussion:
            "Cost is the share of multiply-adds, quality is PSNR. Reports the hypervolume of the front with reference point (1.1, 0 dB)."
    )

    @OptionGroup var model: BenchModelOptions

    @Option(help: "Number of images per schedule, one for each of the first prompts.")
    var images = 1

    @Option(help: "Population size.")
    var population = 24

    @Option(help: "Number of evaluations of each search.")
    var evaluations = 480

    @Option(help: "Number of searches with each preset; the searches of a pair share a seed.")
    var pairs = 10

    @Option(help: "First random seed.")
    var seed: UInt64 = 1

    @Option(help: "Comma-separated seeding methods, as in search.seeding.")
    var seeding = "fora,random"

    @Option(help: "Override a parameter of the default preset, such as screening=4. Repeatable.")
    var set: [String] = []

    @Option(help: "Preset to compare the default preset with: ecad-paper or default.")
    var against = SearchSettings.Preset.ecadPaper

    @Option(help: "Override a parameter of the preset given with --against. Repeatable.")
    var againstSet: [String] = []

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        try requireOption("--images", images, in: 1...256)
        try requireOption("--population", population, in: 4...10000)
        try requireOption("--evaluations", evaluations, in: 1...10_000_000)
        try requireOption("--pairs", pairs, in: 2...10000)
        guard try settings(.standard, set, "--set") != settings(against, againstSet, "--against-set") else {
            throw ValidationError("both presets are the same; expected another --against, --set or --against-set")
        }
    }

    private func settings(
        _ preset: SearchSettings.Preset, _ changes: [String], _ option: String
    ) throws -> SearchSettings {
        var settings = SearchSettings(preset: preset, populationSize: population)
        for change in changes {
            let parts = change.split(separator: "=")
            guard parts.count == 2, let value = Double(parts[1]), value.isFinite else {
                throw ValidationError("\(option) \(change): expected name=number")
            }
            func integer() throws -> Int {
                guard let integer = Int(exactly: value) else {
                    throw ValidationError("\(option) \(change): expected an integer")
                }
                return integer
            }
            switch parts[0] {
            case "fewest_flips": settings.minFlips = value
            case "most_flips": settings.maxFlips = value
            case "crossover_points": settings.crossoverPoints = try integer()
            case "crossover_probability": settings.crossoverProbability = value
            case "mutation_probability": settings.mutationProbability = value
            case "region_probability": settings.regionProbability = value
            case "screening": settings.screening = try integer()
            default:
                throw ValidationError(
                    "\(option) \(change): expected fewest_flips, most_flips, crossover_points, crossover_probability, mutation_probability, region_probability or screening"
                )
            }
        }
        if settings.regionProbability == 1, let flips = changes.first(where: { $0.contains("_flips=") }) {
            throw ValidationError("\(option) \(flips): has no effect while region_probability is 1")
        }
        do {
            try settings.validate()
        } catch {
            throw ValidationError("\(option): \(error)")
        }
        return settings
    }

    func run() throws {
        let description = try ModelDescription(modelFolder: model.model, height: model.size, width: model.size)
        let result = try PresetBenchmark(
            model.evaluator(defaultPromptCount: images), architecture: description.architecture, imageCount: images,
            settings: (try settings(.standard, set, "--set"), try settings(against, againstSet, "--against-set")),
            seeding: seeding.split(separator: ",").map(String.init), evaluations: evaluations,
            seeds: (0..<UInt64(pairs)).map { seed &+ $0 }
        ) { pair in
            guard !json else { return }
            Program.printError(
                "seed \(pair.seed): " + String(format: "%.4f against %.4f", pair.first, pair.second))
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            print(String(decoding: try encoder.encode(result), as: UTF8.self))
            return
        }
        let means = result.pairs.reduce((0.0, 0.0)) { ($0.0 + $1.first, $0.1 + $1.second) }
        let count = Double(pairs)
        print(
            String(
                format: "hypervolume %.4f against %.4f, difference %+.4f +- %.4f (95 %%, %d pairs)", means.0 / count,
                means.1 / count, result.meanDifference, result.halfInterval, pairs))
    }
}
