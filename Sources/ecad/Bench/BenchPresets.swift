import ArgumentParser
import Benchmarks
import Evolution
import Foundation
import ModelConfiguration
import ProgramSupport
import Schedules

struct BenchPresets: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "presets",
        abstract: "Compares the search's presets default and ecad-paper at equal evaluations.",
        discussion:
            "Cost is the share of multiply-adds, quality PSNR; the figure is the hypervolume of the front up to cost 1.1 and 0 dB."
    )

    @OptionGroup var model: BenchModelOptions

    @Option(help: "Images for each schedule, of the first prompts.")
    var images = 1

    @Option(help: "Schedules in a generation.")
    var population = 24

    @Option(help: "Schedules evaluated in each search.")
    var evaluations = 480

    @Option(help: "Searches under each preset, from equal seeds.")
    var pairs = 10

    @Option(help: "The first seed.")
    var seed: UInt64 = 1

    @Option(help: "Names of search.seeding, separated by commas.")
    var seeding = "fora,random"

    @Option(help: "Change a rule of default, such as most_flips=8.")
    var set: [String] = []

    @Option(help: "What default is compared with: ecad-paper or default.")
    var against = SearchSettings.Preset.ecadPaper

    @Option(help: "Change a rule of what default is compared with.")
    var againstSet: [String] = []

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        try requireOption("--images", images, in: 1...256)
        try requireOption("--population", population, in: 4...10000)
        try requireOption("--evaluations", evaluations, in: 1...10_000_000)
        try requireOption("--pairs", pairs, in: 2...10000)
        _ = try (rules(.standard, set), rules(against, againstSet))
    }

    private func rules(_ preset: SearchSettings.Preset, _ changes: [String]) throws -> SearchSettings {
        var rules = SearchSettings(preset: preset, populationSize: population)
        for change in changes {
            let parts = change.split(separator: "=")
            guard parts.count == 2, let value = Double(parts[1]) else {
                throw ValidationError("--set \(change): expected name=number")
            }
            switch parts[0] {
            case "fewest_flips": rules.fewestFlips = value
            case "most_flips": rules.mostFlips = value
            case "crossover_points": rules.crossoverPoints = Int(exactly: value.rounded()) ?? 0
            case "crossover_probability": rules.crossoverProbability = value
            case "mutation_probability": rules.mutationProbability = value
            case "region_probability": rules.regionProbability = value
            case "screening": rules.screening = Int(exactly: value.rounded()) ?? 0
            default:
                throw ValidationError(
                    "--set \(change): expected fewest_flips, most_flips, crossover_points, crossover_probability, mutation_probability, region_probability or screening"
                )
            }
        }
        return rules
    }

    func run() throws {
        let description = try ModelDescription(modelFolder: model.model, height: model.size, width: model.size)
        let result = try PresetBenchmark(
            model.evaluator(defaultPromptCount: images), architecture: description.architecture, imageCount: images,
            rules: (try rules(.standard, set), try rules(against, againstSet)),
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
