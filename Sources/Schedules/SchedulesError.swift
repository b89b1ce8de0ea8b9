import JSON

/// What can be wrong with a schedule, a genome, a model description or a request for a heuristic.
public enum SchedulesError: Error, Equatable {
    /// A document in a compact file is malformed.
    case json(JSONError)
    /// A genome has another number of genes than the shape it is used with.
    case geneCount(expected: Int, found: Int)
    /// A packed or written genome is malformed.
    case packedGenome(expected: String, found: String)
    /// A heuristic does not exist under a name.
    case unknownHeuristic(name: String, expected: String)
    /// A heuristic's parameter is missing, unknown or out of range.
    case heuristicParameter(heuristic: String, parameter: String, expected: String, found: String)
    /// A heuristic has no meaning for the transformer.
    case heuristicUnsupported(heuristic: String, shape: String)
    /// A schedule was made for another transformer than the one it is used with.
    case shapeMismatch(schedule: String, model: String)
    /// A number given by the user is out of range.
    case outOfRange(name: String, expected: String, found: String)
    /// A compact schedule file is malformed.
    case compactFile(file: String, byte: Int, problem: String)
    /// Schedules cannot be in one compact file.
    case compactContents(problem: String)
    /// A compact file's measurements hold for other settings than those it is used with.
    case settingsMismatch(file: String, expected: String, found: String)
    /// A file's schedules are too many for what was asked.
    case scheduleChoice(file: String, count: Int, found: String)
    /// A schedule says nothing about the blocks of another kind of model.
    case transfer(from: String, to: String)
    /// A text is no cost table for the schedules at hand.
    case costTable(source: String, problem: String)
}

extension SchedulesError: CustomStringConvertible {
    /// One line: where, what was expected and what was found.
    public var description: String {
        switch self {
        case .json(let error): error.description
        case .geneCount(let expected, let found): "expected a genome of \(expected) genes, found \(found)"
        case .packedGenome(let expected, let found): "malformed genome: expected \(expected), found \(found)"
        case .unknownHeuristic(let name, let expected):
            "unknown heuristic '\(name)': expected one of \(expected)"
        case .heuristicParameter(let heuristic, let parameter, let expected, let found):
            "heuristic \(heuristic): parameter \(parameter): expected \(expected), found \(found)"
        case .heuristicUnsupported(let heuristic, let shape):
            "heuristic \(heuristic) has no meaning for \(shape)"
        case .shapeMismatch(let schedule, let model):
            "the schedule is for \(schedule), the model has \(model)"
        case .outOfRange(let name, let expected, let found): "\(name) is \(found); expected \(expected)"
        case .compactFile(let file, let byte, let problem): "\(file): byte \(byte): \(problem)"
        case .compactContents(let problem): "a compact schedule file cannot be made: \(problem)"
        case .settingsMismatch(let file, let expected, let found):
            "\(file): made for another model, sampler, step count or image size: expected settings "
                + "\(expected.prefix(12)), found \(found.prefix(12)) (--force uses it all the same)"
        case .transfer(let source, let target):
            "a schedule for \(source) cannot be carried over to \(target): they have blocks of different kinds"
        case .costTable(let source, let problem): "\(source): no usable cost table: \(problem)"
        case .scheduleChoice(let file, let count, let found):
            "\(file): holds \(count) schedules: expected a choice of 0 to \(count - 1) (--entry), found \(found)"
        }
    }
}
