import ArgumentParser
import CoordinatorService
import Foundation
import ProgramSupport

extension CoordinatorCommand {
    struct Benchmark: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Measures schedules on a prompt set of its own, beside a run's search and in its history.",
            discussion: """
                Every schedule makes the same images, of the same prompts and seeds, with the run's model and settings; every scorer of the \
                run judges them. Scores of single images are kept: see the views benchmark_scores and benchmark_summary. What is measured \
                already is not measured again: a benchmark that was stopped goes on when asked for once more.
                """)

        @Option(help: "The folder of the run.")
        var runDir: String

        @Option(
            help:
                "A file of prompts: one a line, or a published set (ImageReward, PartiPrompts, DrawBench, COCO, MJHQ-30K)."
        )
        var prompts: String

        @Option(
            name: .customLong("schedule"), parsing: .upToNextOption,
            help: "Schedule files, published JSON or compact, which may hold several.")
        var schedules: [String] = []

        @Flag(help: "Measure the run's front.")
        var front = false

        @Flag(help: "Measure FORA and TGATE schedules of about the same latency beside.")
        var heuristics = false

        @Option(help: "Seeds that every prompt is run with.")
        var seeds = 1

        @Option(help: "The prompt set's name in the history (default: the file's).")
        var name: String?

        @Option(help: "The prompts' embeddings, from ecad embed, for workers without text encoders.")
        var embeddings: String?

        @Option(
            name: .customLong("set"),
            help: "A scorer beside those of the run, or another model for one, such as scorers.clip=DIR.")
        var scorers: [String] = []

        @OptionGroup var serving: ServingOptions

        func validate() throws {
            if schedules.isEmpty, !front, !heuristics {
                throw ValidationError("nothing to measure: give --schedule FILE..., --front or --heuristics")
            }
            if let other = scorers.first(where: { !$0.hasPrefix("scorers.") }) {
                throw ValidationError(
                    "--set \(other): a benchmark keeps the run's settings; only scorers.NAME=DIR can be set")
            }
            if !(1...1000).contains(seeds) { throw ValidationError("--seeds \(seeds): expected 1 to 1000") }
        }

        func run() throws {
            let options = BenchmarkOptions(
                promptsPath: prompts, name: name, schedulePaths: schedules, includesFront: front,
                includesHeuristics: heuristics, seedsPerPrompt: seeds, embeddingsPath: embeddings,
                scorers: scorers)
            let service = BenchmarkService(
                options: try serving.options(), write: { FileHandle.standardError.write(Data($0.utf8)) })
            switch try service.run(options, in: runDir) {
            case .finished(let report): print(serving.json ? try report.json() : report.text, terminator: "")
            case .interrupted:
                Program.printError("stopped; the same command goes on where it was")
                throw ExitCode(1)
            }
        }
    }
}
