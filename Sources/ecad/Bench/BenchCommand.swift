import ArgumentParser
import Basics
import Benchmarks
import Diffusion
import Evaluations
import Foundation
import ModelConfiguration
import Models
import ProgramSupport
import Prompts
import Schedules
import Scoring
import Tensors

extension EcadCommand {
    struct Bench: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Benchmark the engine, latency models, decoders, search presets, the solver and the history.",
            subcommands: [
                BenchEngine.self, BenchModel.self, BenchDecode.self, BenchPresets.self, BenchSearch.self,
                BenchSolver.self,
            ])
    }
}

/// Options of the benchmarks that run a model.
struct BenchModelOptions: ParsableArguments {
    @Option(help: "Model directory in the diffusers layout.")
    var model: String

    @Option(help: "Prompt file: one prompt per line, or a published set (default: the empty prompt).")
    var prompts: String?

    @OptionGroup var promptsFormat: PromptsFormatOption

    @Option(help: "Number of denoising steps.")
    var steps = ModelFamily.defaultStepCount

    @Option(help: guidanceScaleHelp)
    var guidanceScale: Double?

    @Option(help: "Height and width in pixels (default: native size).")
    var size: Int?

    @OptionGroup var precision: PrecisionOption

    @Option(help: "Number of CPU threads.")
    var threads = 1

    func validate() throws {
        try promptsFormat.require(prompts)
        try requireOption("--steps", steps, in: 1...1000)
        if let guidanceScale { try requireOption("--guidance-scale", guidanceScale, in: Guidance.scales) }
        try requireOption("--threads", threads, in: 1...1024)
    }

    /// Opens the model with the prompts of the file, or a number of empty prompts.
    func evaluator(
        defaultPromptCount: Int = 1, scorers: [ScorerSource] = ScorerSource.paired
    ) throws -> Evaluator {
        BLAS.setThreadCount(threads)
        let description = try ModelDescription(modelFolder: model, height: size, width: size)
        var lines = Array(repeating: "", count: defaultPromptCount)
        if let prompts { lines = try promptsFormat.read(prompts).texts }
        let folder = try ModelFolder(path: model)
        return try Evaluator(
            model: folder,
            settings: EvaluationSettings(
                generation: GenerationSettings(
                    height: description.height, width: description.width, stepCount: steps,
                    guidanceScale: Float(try Guided(folder, scale: guidanceScale).scale)),
                prompts: lines, negativePrompt: "", scorers: scorers, precision: precision.resolved))
    }
}

struct BenchModel: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model",
        abstract: "Measure a model's cost table and its error on other schedules.",
        discussion: """
            For each component the time of one instance, its GFLOP/s and their share of the best rate of a matrix product on this \
            machine, measured at the end. The table is measured until its standard error is 0.5 %, for at most \
            20 s or one round. Half of the schedules are random, half are the result of a short search. Each is timed relative to the uncached \
            schedule. The cost table, written with -o or printed with --json, can be used in a run as objectives.cost_table.
            """)

    @OptionGroup var model: BenchModelOptions

    @Option(help: "Batch size.")
    var images = 4

    @Option(help: "Number of schedules to compare.")
    var schedules = 50

    @Option(help: "Time for measuring the schedules in seconds; the median of repeated rounds is used.")
    var seconds = 120.0

    @Option(help: "Random seed of schedules and search.")
    var seed: UInt64 = 1

    @Option(name: .shortAndLong, help: "Output file for the cost table.")
    var output: String?

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        try requireOption("--images", images, in: 1...256)
        try requireOption("--schedules", schedules, in: 2...1000)
        try requireOption("--seconds", seconds, in: 0...36000)
    }

    private struct Report: Encodable {
        let table: CostTable
        let uncachedSeconds, fitError, medianError, p95Error: Double
        let schedules: [LatencyModelBenchmark.Row]
    }

    func run() throws {
        if let output {
            try OutputPath.checkFile("--output", output, inputs: model.prompts.map { [$0] } ?? [])
        }
        let result = try LatencyModelBenchmark(
            model.evaluator(), imageCount: images, scheduleCount: schedules, seconds: seconds, seed: seed)
        let (median, p95) = (result.error(quantile: 0.5), result.error(quantile: 0.95))
        if let output {
            try FileContents.write(result.costs.table.json, to: output)
        }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            let report = Report(
                table: result.costs.table, uncachedSeconds: result.costs.uncachedSeconds,
                fitError: result.costs.fitError, medianError: median, p95Error: p95, schedules: result.rows)
            print(String(decoding: try encoder.encode(report), as: UTF8.self))
            return
        }
        print(String(format: "uncached          %9.2f ms for %d images", result.costs.uncachedSeconds * 1e3, images))
        let best = try EngineBenchmark.bestProductRate(precision: model.precision.resolved)
        print(String(format: "best product      %9.1f GFLOP/s, %@", best / 1e9, model.precision.resolved.rawValue))
        let description = try ModelDescription(modelFolder: model.model, height: model.size, width: model.size)
        let folder = try ModelFolder(path: model.model)
        let isGuided = try folder.guidance().usesNegativePrompt(scale: Guided(folder, scale: model.guidanceScale).scale)
        for (name, phase) in [("", result.costs.table.full), (" unguided", result.costs.table.gated)] {
            guard let phase else { continue }
            let counts = description.architecture.costs(batch: name.isEmpty && isGuided ? 2 : 1)
            print(
                String(
                    format: "step%@  %9.2f us", name.padding(toLength: 14, withPad: " ", startingAt: 0),
                    phase.step * 1e6))
            for (component, costs) in phase.components.sorted(by: { $0.key < $1.key }) {
                let rate = operations(of: component, counts) * Double(images) / costs.compute
                print(
                    String(
                        format: "%@  %9.2f us, %7.1f GFLOP/s (%3.0f %%), keep %+.2f us, read %+.2f us",
                        (component + name).padding(toLength: 18, withPad: " ", startingAt: 0), costs.compute * 1e6,
                        rate / 1e9, 100 * rate / best, costs.keep * 1e6, costs.read * 1e6))
            }
        }
        for origin in ["random", "evolved"] {
            let ratios = result.rows.filter { $0.origin == origin }.map(\.measured)
            print(
                String(
                    format: "%d %@ schedules: %.3f to %.3f of the uncached time", ratios.count, origin,
                    ratios.min() ?? .nan, ratios.max() ?? .nan))
        }
        print(String(format: "model error: median %.2f %%, p95 %.2f %%", median * 100, p95 * 100))
    }

    /// Multiplications and additions of one instance of a component, for one image.
    private func operations(of name: String, _ costs: StepCosts) -> Double {
        guard let component = Component(rawValue: name) else { return .nan }
        return 2 * Double(costs.components[component, default: 0] + costs.attentionProducts[component, default: 0])
    }
}
