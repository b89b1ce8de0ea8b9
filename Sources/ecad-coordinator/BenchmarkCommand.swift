import ArgumentParser
import Basics
import CoordinatorService
import Foundation
import ProgramSupport
import Prompts

extension CoordinatorCommand {
    struct Benchmark: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Measure schedules on a separate prompt set and record the results in a run's history.",
            discussion: """
                All schedules generate the same images, with the run's model and settings, and are scored by all scorers of the run. See the \
                views benchmark_scores and benchmark_summary. Repeat the command to resume an interrupted benchmark: existing measurements are \
                reused.
                """)

        @Option(help: "Run directory.")
        var runDir: String

        @Option(
            help:
                "Prompt file: one prompt per line, or a published set (ImageReward, PartiPrompts, DrawBench, COCO, MJHQ-30K)."
        )
        var prompts: String

        @Option(help: "Format of the prompt file, where its name and content do not tell.")
        var promptsFormat: PromptFormat?

        @Option(
            name: .customLong("schedule"), parsing: .upToNextOption,
            help: "Schedule files, published JSON or compact.")
        var schedules: [String] = []

        @Flag(help: "Measure the run's front.")
        var front = false

        @Option(help: "Members of the front to measure at most, evenly spread over it with both ends (default: all).")
        var frontMembers: Int?

        @Flag(help: "Measure FORA and, with classifier-free guidance, TGATE schedules of similar cost as well.")
        var heuristics = false

        @Option(help: "Images per prompt, with seeds 0, 1, ...")
        var seeds = 1

        @Option(help: "Name of the prompt set in the history (default: the file name without extension).")
        var name: String?

        @Option(
            help: "Engine of the workers, native or torch (default: the run's); the results say so where it differs.")
        var engine: Engine?

        @Option(help: "Precision of the workers, float32 or bfloat16 (default: the run's).")
        var precision: Precision?

        @Option(help: "Prompt embeddings from ecad embed, for workers without text encoders.")
        var embeddings: String?

        @Option(
            name: .customLong("set"),
            help: "Add a scorer or replace the model of one, e.g. scorers.clip=DIR.")
        var scorers: [String] = []

        @OptionGroup(title: "Files that have moved") var moved: MovedModelOptions

        @OptionGroup var server: ServerOptions

        func validate() throws {
            if schedules.isEmpty, !front, !heuristics {
                throw ValidationError("nothing to measure; expected --schedule FILE..., --front or --heuristics")
            }
            if let other = scorers.first(where: { !$0.hasPrefix("scorers.") }) {
                throw ValidationError(
                    "--set \(other): a benchmark uses the run's settings; only scorers.NAME=DIR can be set")
            }
            if let frontMembers {
                guard front else {
                    throw ValidationError("--front-members \(frontMembers) has no effect without --front")
                }
                try requireOption("--front-members", frontMembers, in: 2...10_000)
            }
            try requireOption("--seeds", seeds, in: 1...1000)
        }

        func run() throws {
            let options = BenchmarkOptions(
                promptsPath: prompts, promptsFormat: promptsFormat, name: name, schedulePaths: schedules,
                includesFront: front, frontMembers: frontMembers,
                includesHeuristics: heuristics, seedsPerPrompt: seeds, embeddingsPath: embeddings,
                scorers: scorers, engine: engine, precision: precision,
                moved: MovedFiles(model: moved.model, scorers: moved.scorers))
            let (logger, showStatus) = server.output()
            try server.serveMetrics(of: runDir, logger)
            let service = BenchmarkService(options: try server.options(), logger: logger, showStatus: showStatus)
            switch try service.run(options, in: runDir) {
            case .finished(let report):
                if server.json { return print(try report.json(), terminator: "") }
                Program.printText(report.text, terminator: "")
            case .interrupted:
                Program.printError("interrupted; repeat the command to resume")
                throw ExitCode(1)
            }
        }
    }
}

extension PromptFormat: ExpressibleByArgument {}
extension Engine: ExpressibleByArgument {}
extension Precision: ExpressibleByArgument {}
