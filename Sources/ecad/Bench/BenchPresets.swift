import ArgumentParser
import Basics
import Benchmarks
import Evaluations
import Evolution
import Foundation
import ModelConfiguration
import ProgramSupport
import Scoring

struct BenchPresets: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "presets",
        abstract: "Measure the front of search presets against the images generated.",
        discussion: """
            Cost is the share of multiply-adds, quality is PSNR or another score. Reports hypervolumes of the front on the \
            prompts of the search and on further ones: of all schedules with a reference cost of 1.1, and of those with a \
            cost of at most 0.95 with that reference; the reference quality is 0 dB, or that of the score. Images are counted in units of those of one schedule; the uncached \
            images and the measurement of reuse errors count as well.
            """
    )

    @OptionGroup var model: BenchModelOptions

    @Option(help: "Number of images per schedule, one for each of the first prompts.")
    var images = 1

    @Option(help: "Number of images of the prompts after them, on which fronts are evaluated as well.")
    var unseen = 0

    @Option(help: "Number of images on which the default preset measures reuse errors.")
    var probes = 2

    @Option(help: "Quality: psnr, ssim, latent-error, image-reward, image-reward-clipped or clip.")
    var quality = ScorerKind.psnr

    @Option(help: "Directory of the scorer's model, for qualities that have one.")
    var scorer: String?

    @Option(help: "Population size.")
    var population = 24

    @Option(help: "Images of each search, in units of those of one schedule.")
    var budget = 480

    @Option(
        help:
            "Comma-separated numbers of images at which fronts are reported (default: 5, 10, 20, 50 and 100 % of the budget)."
    )
    var checkpoints: String?

    @Option(help: "Number of searches with each preset; searches of equal number share a seed.")
    var seeds = 1

    @Option(help: "First random seed.")
    var seed: UInt64 = 1

    @Option(help: "Comma-separated seeding methods, as in search.seeding; without effect on the default preset.")
    var seeding = "fora,random"

    @Option(help: "Search preset: default, nsga2 or ecad-paper.")
    var preset = SearchSettings.Preset.standard

    @Option(help: "Override a parameter of the preset, such as screening=4. Repeatable.")
    var set: [String] = []

    @Option(help: "Another preset, for paired differences.")
    var against: SearchSettings.Preset?

    @Option(help: "Override a parameter of the preset given with --against. Repeatable.")
    var againstSet: [String] = []

    @Option(
        name: .shortAndLong,
        help: "Output file: one JSON object per line for each front reported, written as it is known.")
    var output: String?

    func validate() throws {
        try requireOption("--images", images, in: 1...256)
        try requireOption("--unseen", unseen, in: 0...256)
        try requireOption("--probes", probes, in: 1...256)
        try requireOption("--population", population, in: 4...10000)
        try requireOption("--budget", budget, in: 2...10_000_000)
        try requireOption("--seeds", seeds, in: 1...10000)
        guard (scorer != nil) == (quality.model != nil) else {
            throw ValidationError(
                scorer == nil
                    ? "--quality \(quality.rawValue) requires --scorer" : "--scorer: \(quality.rawValue) has no model")
        }
        _ = try checkpointList
        let settings = try settings(preset, set, "--set")
        if let against {
            guard try settings != self.settings(against, againstSet, "--against-set") else {
                throw ValidationError("both presets are the same; expected another --against, --set or --against-set")
            }
        } else if !againstSet.isEmpty {
            throw ValidationError("--against-set is only allowed with --against")
        }
    }

    private var checkpointList: [Int] {
        get throws {
            guard let checkpoints else {
                return Set([0.05, 0.1, 0.2, 0.5, 1].map { max(2, Int(Double(budget) * $0)) }).sorted()
            }
            let counts = checkpoints.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) ?? 0 }
            guard counts.allSatisfy({ (1...budget).contains($0) }) else {
                throw ValidationError("--checkpoints \(checkpoints): expected integers from 1 to \(budget)")
            }
            return counts
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
        if let output { try OutputPath.checkFile("--output", output, inputs: model.prompts.map { [$0] } ?? []) }
        let description = try ModelDescription(modelFolder: model.model, height: model.size, width: model.size)
        let evaluator = try model.evaluator(
            defaultPromptCount: images + unseen,
            scorers: ScorerSource.paired + (scorer.map { [ScorerSource(quality, folder: $0)] } ?? []))
        guard evaluator.promptCount >= images + unseen else {
            throw ValidationError("--prompts: \(evaluator.promptCount) prompts; expected \(images + unseen)")
        }
        let benchmark = try PresetBenchmark(
            evaluator, architecture: description.architecture, imageCount: images, unseenCount: unseen,
            probeCount: probes, quality: quality, seeding: seeding.split(separator: ",").map(String.init))
        var entries = [PresetBenchmark.Entry(label: preset.rawValue, settings: try settings(preset, set, "--set"))]
        if let against {
            let label = against == preset ? "\(against.rawValue), changed" : against.rawValue
            entries.append(
                PresetBenchmark.Entry(label: label, settings: try settings(against, againstSet, "--against-set")))
        }
        var rows: [PresetBenchmark.Checkpoint] = []
        var text = ""
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        for index in 0..<seeds {
            for entry in entries {
                try benchmark.run(entry, seed: seed &+ UInt64(index), checkpoints: checkpointList) { row in
                    rows.append(row)
                    print(Self.line(row))
                    guard let output else { return }
                    text += String(decoding: try encoder.encode(row), as: UTF8.self) + "\n"
                    try FileContents.write(text, to: output)
                }
            }
        }
        if against != nil { printDifferences(rows, entries.map(\.label)) }
    }

    private static func line(_ row: PresetBenchmark.Checkpoint) -> String {
        let unseen = row.unseen.map { String(format: ", unseen %.2f and %.2f", $0.whole, $0.cached) } ?? ""
        return "\(row.label), seed \(row.seed), "
            + String(
                format: "images of %.1f schedules: hypervolume %.2f, below 0.95 %.2f", row.schedules,
                row.calibration.whole, row.calibration.cached) + unseen
    }

    /// Prints the mean difference between the first and the second preset at each checkpoint.
    private func printDifferences(_ rows: [PresetBenchmark.Checkpoint], _ labels: [String]) {
        let groups = labels.map { label in
            Dictionary(grouping: rows.filter { $0.label == label }, by: \.seed).mapValues { $0.map(\.calibration) }
        }
        let seeds = groups[0].keys.sorted()
        // A preset with more probes may lack the first checkpoints.
        let count = seeds.flatMap { seed in groups.map { $0[seed]?.count ?? 0 } }.min() ?? 0
        for back in (0..<count).reversed() {
            let pairs = seeds.compactMap { seed -> (PresetBenchmark.Hypervolumes, PresetBenchmark.Hypervolumes)? in
                guard let first = groups[0][seed], let second = groups[1][seed] else { return nil }
                return (first[first.count - 1 - back], second[second.count - 1 - back])
            }
            let whole = PairedDifference(pairs.map { $0.0.whole - $0.1.whole })
            let cached = PairedDifference(pairs.map { $0.0.cached - $0.1.cached })
            print(
                String(
                    format: "difference at checkpoint %d: %+.2f +- %.2f, below 0.95 %+.2f +- %.2f (95 %%, %d pairs)",
                    count - back, whole.mean, whole.halfInterval, cached.mean, cached.halfInterval, pairs.count))
        }
    }
}

extension ScorerKind: ExpressibleByArgument {}
