/// Errors of prompt files.
public enum PromptSetError: Error, Equatable, CustomStringConvertible {
    /// The file cannot be read.
    case unreadable(file: String, problem: String)
    /// A malformed line, counted from 1.
    case line(file: String, line: Int, problem: String)
    /// A malformed entry of a JSON document.
    case entry(file: String, entry: String, problem: String)
    /// Valid JSON in none of the known formats.
    case unknownJSON(file: String)
    /// A file without prompts.
    case empty(file: String)

    /// One line: where, what is wrong and what would be right.
    public var description: String {
        switch self {
        case .unreadable(let file, let problem): "\(file): \(problem)"
        case .line(let file, let line, let problem): "\(file):\(line): \(problem)"
        case .entry(let file, let entry, let problem): "\(file): \(entry): \(problem)"
        case .unknownJSON(let file):
            "\(file): unknown JSON prompt format; expected an array of strings or of objects with \"prompt\" "
                + "(ImageReward), an object of such objects (MJHQ-30K) or an object with \"annotations\", each with a "
                + "\"caption\" (COCO)"
        case .empty(let file): "\(file): no prompts; expected at least one"
        }
    }
}
