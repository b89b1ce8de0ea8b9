import ArgumentParser
import Foundation
import ProgramSupport
import Prompts
import Tensors
import Verification

@main
enum Main {
    static func main() { Program.main(EcadCommand.self, check: CPU.checkKernels) }
}

struct EcadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ecad",
        abstract: "Generate, score and benchmark images with caching schedules for diffusion transformers.",
        version: Program.version,
        subcommands: [Bench.self, Generate.self, Embed.self, ScheduleCommand.self, Score.self, Verify.self])
}

extension EcadCommand {
    struct Verify: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Compare the engine with the reference implementations.",
            discussion: """
                A reference file contains inputs and the outputs that diffusers and transformers compute from them; \
                scripts/make_reference.py writes one for any checkpoint. The relative L2 error of every output must be within the \
                tolerance; integers must be equal. With --precision bfloat16, the tolerance is the error of diffusers' own bfloat16, \
                which make_reference.py --bfloat16 measures.
                """)

        @Option(help: "Model directory in the diffusers layout, or a scorer's model directory.")
        var model: String

        @Option(help: "Reference file.")
        var reference: String

        @Option(
            help: ArgumentHelp(
                "Maximum relative L2 error, 0 to 1 (default: 1e-4).",
                discussion: "For the latents of a trajectory, the error of the worst step."))
        var tolerance: Double?

        @OptionGroup var precision: PrecisionOption

        @Flag(help: "Print JSON.")
        var json = false

        func validate() throws {
            if let tolerance { try requireOption("--tolerance", tolerance, in: 0...1) }
        }

        func run() throws {
            let report = try Verification.run(
                model: model, reference: reference, tolerance: tolerance, precision: precision.resolved)
            json ? print(try encoded(report)) : Program.printText(table(report))
            if !report.passed { throw ExitCode(1) }
        }

        private func encoded(_ report: VerificationReport) throws -> String {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            return String(decoding: try encoder.encode(report), as: UTF8.self)
        }

        private func table(_ report: VerificationReport) -> String {
            let width = report.tensors.map(\.name.count).max() ?? 0
            let rows = report.tensors.map { tensor in
                let name = tensor.name.padding(toLength: width, withPad: " ", startingAt: 0)
                let errors = String(format: "relative L2 %.2e   maximum %.2e", tensor.relativeL2, tensor.maxAbs)
                return "\(name)   \(errors)   \(tensor.passed ? "pass" : "FAIL")"
            }
            let missing = report.notCompared.map { "\($0): not compared, the reference file has none" }
            return (missing + rows).joined(separator: "\n")
        }
    }
}

// MARK: - Prompt files

extension PromptFormat: ExpressibleByArgument {}

/// The option for prompt files whose format cannot be detected.
struct PromptsFormatOption: ParsableArguments {
    @Option(
        name: .customLong("prompts-format"),
        help: "Format of the prompt file, where its name and content do not tell (lines may begin with [ or {).")
    var format: PromptFormat?

    /// Rejects the option without a prompt file.
    func require(_ file: String?) throws {
        if format != nil, file == nil { throw ValidationError("--prompts-format needs --prompts") }
    }

    func read(_ file: String) throws -> PromptSet { try PromptSet(file: file, format: format) }
}
