import JSON
import ModelConfiguration

/// Errors of schedules, genomes, heuristics and cost tables.
public enum SchedulesError: Error, Equatable {
    /// A document in a compact file is malformed.
    case json(JSONError)
    /// A genome's number of genes differs from that of the shape.
    case geneCount(expected: Int, found: Int)
    /// An encoded genome is malformed.
    case packedGenome(expected: String, found: String)
    /// There is no heuristic of that name.
    case unknownHeuristic(name: String, expected: String)
    /// A heuristic's parameter is missing, unknown or out of range.
    case heuristicParameter(heuristic: String, parameter: String, expected: String, found: String)
    /// A heuristic does not apply to the transformer.
    case heuristicUnsupported(heuristic: String, shape: String)
    /// A schedule's blocks differ from those of the transformer.
    case shapeMismatch(schedule: String, model: String)
    /// A number is out of range.
    case outOfRange(name: String, expected: String, found: String)
    /// A compact schedule file is malformed.
    case compactFile(file: String, byte: Int, problem: String)
    /// Schedules cannot be packed into one compact file.
    case compactContents(problem: String)
    /// A compact file was measured under other settings.
    case settingsMismatch(file: String, expected: String, found: String)
    /// The index of a schedule in a file is out of range, or missing although the file has several.
    case scheduleChoice(file: String, count: Int, found: String)
    /// A TGATE schedule reuses, at its gate step, an output from before the gate.
    case reuseAcrossGate(step: Int, block: Int, component: Component)
    /// A schedule cannot be mapped to blocks of another kind.
    case transfer(from: String, to: String)
    /// A cost table is malformed or does not cover the schedules' components.
    case costTable(source: String, problem: String)
}

extension SchedulesError: CustomStringConvertible {
    /// One line: where, what was expected and what was found.
    public var description: String {
        switch self {
        case .json(let error): error.description
        case .geneCount(let expected, let found): "the genome has \(found) genes; expected \(expected)"
        case .packedGenome(let expected, let found): "malformed genome: \(found); expected \(expected)"
        case .unknownHeuristic(let name, let expected):
            "unknown heuristic '\(name)'; expected one of \(expected)"
        case .heuristicParameter(let heuristic, let parameter, let expected, let found):
            "heuristic \(heuristic): parameter \(parameter) is \(found); expected \(expected)"
        case .heuristicUnsupported(let heuristic, let shape):
            "heuristic \(heuristic) does not apply to \(shape)"
        case .shapeMismatch(let schedule, let model):
            "the schedule is for \(schedule), the model has \(model)"
        case .outOfRange(let name, let expected, let found): "\(name) is \(found); expected \(expected)"
        case .compactFile(let file, let byte, let problem): "\(file): byte \(byte): \(problem)"
        case .compactContents(let problem): "cannot pack the schedules into a compact file: \(problem)"
        case .settingsMismatch(let file, let expected, let found):
            "\(file): measured for another model, sampler, step count or image size: settings \(found.prefix(12)); "
                + "expected \(expected.prefix(12)) (--force ignores this)"
        case .transfer(let source, let target):
            "a schedule for \(source) cannot be mapped to \(target): the kinds of blocks differ"
        case .reuseAcrossGate(let step, let block, let component):
            "the TGATE schedule reuses \(component.rawValue) of block \(block) at its gate step \(step); expected it "
                + "to recompute there"
        case .costTable(let source, let problem): "\(source): invalid cost table: \(problem)"
        case .scheduleChoice(let file, let count, let found):
            "\(file): holds \(count) schedules; "
                + (found == "none" ? "expected --entry" : "--entry is \(found); expected") + " 0 to \(count - 1)"
        }
    }
}
