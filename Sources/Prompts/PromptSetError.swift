/// What can be wrong with a file of prompts.
public enum PromptSetError: Error, Equatable, CustomStringConvertible {
    /// The file cannot be read.
    case unreadable(file: String, reason: String)
    /// A line is malformed; `line` counts from 1.
    case line(file: String, line: Int, problem: String)
    /// An entry of a JSON document is malformed.
    case entry(file: String, entry: String, problem: String)
    /// The document is valid JSON, but no set of prompts.
    case unknownJSON(file: String)
    /// The file holds no prompt.
    case empty(file: String)

    /// One line: where, what was found and what would be right.
    public var description: String {
        switch self {
        case .unreadable(let file, let reason):
            "\(file): cannot be read: \(reason); expected a file of prompts, for one with a prompt on each line"
        case .line(let file, let line, let problem): "\(file):\(line): \(problem)"
        case .entry(let file, let entry, let problem): "\(file): \(entry): \(problem)"
        case .unknownJSON(let file):
            "\(file): not a set of prompts: expected an array of objects with \"prompt\" (ImageReward), an object of "
                + "such objects (MJHQ-30K) or one with \"annotations\", each with a \"caption\" (COCO)"
        case .empty(let file): "\(file): no prompts; expected at least one, for one on a line of its own"
        }
    }
}
