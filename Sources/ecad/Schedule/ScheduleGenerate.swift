import ArgumentParser
import ModelConfiguration
import ProgramSupport
import Schedules

struct ScheduleGenerate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Generate the schedule of a published heuristic.",
        discussion: """
            Parameters:
              default                  none
              fora, fora-attention     n (interval)
              tgate, tgate-no-average  m (gate step), k (interval),
                                       fi (interval after the gate; default 1),
                                       warmup (steps; default 2)
              evenly, middle           part (ca, sa or ff; for evenly with FLUX:
                                       mlp_ff or single_full_attn),
                                       blocks, steps (numbers affected)
            """)

    @Argument(help: "Heuristic: default, fora, fora-attention, tgate, tgate-no-average, evenly or middle.")
    var heuristic: Heuristic.Kind

    @OptionGroup var choice: ModelChoice

    @Option(help: "Number of denoising steps.")
    var steps = ModelFamily.defaultStepCount

    @Option(name: .customLong("parameter"), help: "Parameter of the heuristic, such as n=3. Repeatable.")
    var parameters: [Parameter] = []

    @Option(name: .shortAndLong, help: "Output file (.json or .ecad).")
    var output: String

    func validate() throws {
        if !(1...ScheduleShape.stepLimit).contains(steps) {
            throw ValidationError("--steps \(steps): expected 1 to \(ScheduleShape.stepLimit)")
        }
        if !output.hasSuffix(".json"), !output.hasSuffix(ScheduleDocument.compactEnding) {
            throw ValidationError("--output \(output): expected a name ending in .json or .ecad")
        }
        let keys = parameters.map(\.key)
        if let duplicate = keys.first(where: { key in keys.count { $0 == key } > 1 }) {
            throw ValidationError("--parameter \(duplicate): given twice")
        }
    }

    func run() throws {
        try OutputPath.checkFile("--output", output)
        let (model, configuration) = try choice.resolved()
        let heuristic = try Heuristic(
            name: self.heuristic.rawValue,
            parameters: Dictionary(parameters.map { ($0.key, $0.value) }, uniquingKeysWith: { first, _ in first }))
        let file = try heuristic.file(for: model.shape(stepCount: steps), configuration: configuration)
        if let warning = heuristic.warning(stepCount: steps) { Program.printError("ecad: warning: \(warning)") }
        if output.hasSuffix(ScheduleDocument.compactEnding) {
            let compact = try CompactScheduleFile(packing: [file], provenance: "heuristic \(heuristic)")
            try ScheduleDocument.compact(compact).write(to: output)
        } else {
            try file.write(to: output)
        }
    }
}

/// A parameter of a heuristic, `key=value`.
struct Parameter: ExpressibleByArgument {
    let key: String
    let value: String

    init?(argument: String) {
        guard let sign = argument.firstIndex(of: "="), sign > argument.startIndex else { return nil }
        key = String(argument[..<sign])
        value = String(argument[argument.index(after: sign)...])
    }
}

extension Heuristic.Kind: ExpressibleByArgument {}
