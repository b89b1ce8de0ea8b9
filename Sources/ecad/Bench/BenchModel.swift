import ArgumentParser
import Basics
import Benchmarks
import Diffusion
import Evaluations
import Foundation
import ModelConfiguration
import Models
import ProgramSupport
import Schedules
import Tensors

/// A model opened for a benchmark.
struct BenchModelOptions: ParsableArguments {
    @Option(help: "A model directory in the diffusers layout.")
    var model: String

    @Option(help: "A file with one prompt a line (default: an empty prompt).")
    var prompts: String?

    @Option(help: "Denoising steps.")
    var steps = 20

    @Option(help: "The scale of classifier-free guidance.")
    var guidanceScale: Float = 4.5

    @Option(help: "Height and width in pixels (default: the model's own).")
    var size: Int?

    @Option(help: "Threads of the matrix products.")
    var threads = 1

    func validate() throws {
        try requireOption("--steps", steps, in: 1...1000)
        if !guidanceScale.isFinite { throw ValidationError("--guidance-scale \(guidanceScale): expected a number") }
        try requireOption("--threads", threads, in: 1...1024)
    }

    /// Opens the model, with as many empty prompts as are asked for where no file is given.
    func evaluator(defaultPromptCount: Int = 1) throws -> Evaluator {
        BLAS.setThreadCount(threads)
        let description = try ModelDescription(modelFolder: model, height: size, width: size)
        var lines = Array(repeating: "", count: defaultPromptCount)
        if let prompts {
            guard let text = try? String(contentsOfFile: prompts, encoding: .utf8) else {
                throw FileError(path: prompts, problem: "cannot be read as UTF-8 text")
            }
            lines = text.split(whereSeparator: \.isNewline).map(String.init).filter { !$0.isEmpty }
            guard !lines.isEmpty else { throw FileError(path: prompts, problem: "holds no prompts") }
        }
        return try Evaluator(
            model: ModelFolder(path: model),
            settings: EvaluationSettings(
                generation: GenerationSettings(
                    height: description.height, width: description.width, stepCount: steps,
                    guidanceScale: guidanceScale),
                prompts: lines, negativePrompt: ""))
    }
}

struct BenchModel: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "model",
        abstract: "Measures a model's cost table, and how well it tells the time of other schedules.",
        discussion: """
            Half of the schedules are random, half are the end of a short search. All are timed between runs of the uncached reference. The \
            table, printed with --json or written with -o, can be given to a run as objectives.cost_table.
            """)

    @OptionGroup var model: BenchModelOptions

    @Option(help: "Images denoised together.")
    var images = 4

    @Option(help: "Schedules to compare.")
    var schedules = 50

    @Option(help: "Seconds for timing them: in rounds, of which the median counts.")
    var seconds = 120.0

    @Option(help: "Seed of the random schedules and of the search.")
    var seed: UInt64 = 1

    @Option(name: .shortAndLong, help: "A file for the cost table.")
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
        for (name, phase) in [("", result.costs.table.full), (" unguided", result.costs.table.gated)] {
            guard let phase else { continue }
            print(
                String(
                    format: "step%@  %9.2f us", name.padding(toLength: 14, withPad: " ", startingAt: 0),
                    phase.step * 1e6))
            for (component, costs) in phase.components.sorted(by: { $0.key < $1.key }) {
                print(
                    String(
                        format: "%@  %9.2f us, kept %+.2f us, read %+.2f us",
                        (component + name).padding(toLength: 18, withPad: " ", startingAt: 0), costs.compute * 1e6,
                        costs.keep * 1e6, costs.read * 1e6))
            }
        }
        for origin in ["random", "evolved"] {
            let ratios = result.rows.filter { $0.origin == origin }.map(\.measured)
            print(
                String(
                    format: "%d %@ schedules at %.3f to %.3f of the uncached time", ratios.count, origin,
                    ratios.min() ?? .nan, ratios.max() ?? .nan))
        }
        print(String(format: "modelled against measured: median error %.2f %%, p95 %.2f %%", median * 100, p95 * 100))
    }
}
