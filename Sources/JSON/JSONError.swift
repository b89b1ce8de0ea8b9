/// What is wrong with a JSON document, or with a value in it.
public enum JSONError: Error, Equatable, CustomStringConvertible {
    /// The text is not JSON (RFC 8259); lines and columns (in bytes) count from 1.
    case syntax(file: String, line: Int, column: Int, problem: String)
    /// A value has the wrong type or is out of range; `path` is a dotted path of keys, empty for the whole document.
    case unexpectedValue(file: String, path: String, found: String, expected: String)
    /// An object has a key that has no meaning there.
    case unknownKey(file: String, path: String, expected: String)
    /// A required key is absent.
    case missingKey(file: String, path: String, hint: String)

    /// The file, the place in it and what would be right, in one line.
    public var description: String {
        switch self {
        case .syntax(let file, let line, let column, let problem):
            "\(file):\(line):\(column): not valid JSON: \(problem)"
        case .unexpectedValue(let file, let path, let found, let expected):
            "\(file): \(path.isEmpty ? "the document" : path) is \(found); expected \(expected)"
        case .unknownKey(let file, let path, let expected): "\(file): \(path): unknown key; expected \(expected)"
        case .missingKey(let file, let path, let hint):
            "\(file): \(path) is missing" + (hint.isEmpty ? "" : "; \(hint)")
        }
    }
}
