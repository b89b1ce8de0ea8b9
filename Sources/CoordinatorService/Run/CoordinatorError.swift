/// Why a calibration cannot start or go on.
public enum CoordinatorError: Error, Equatable, CustomStringConvertible {
    /// A configuration file or `--set` text is no TOML.
    case invalidTOML(source: String, reason: String)
    /// A section or key that no part of the program reads.
    case unknownKey(file: String, key: String, suggestion: String?)
    /// A key without a default is absent.
    case missingKey(file: String, key: String)
    /// A value of the wrong type or range.
    case invalidValue(file: String, key: String, expected: String, found: String)
    /// A file that the configuration or a command line names cannot be read.
    case unreadableFile(path: String, what: String)
    /// A run folder cannot be used for what was asked.
    case runFolder(path: String, reason: String)
    /// The search cannot go on.
    case search(String)
    /// A file of prompt embeddings is none, or not the run's.
    case embeddings(String)
    /// The model of a scorer is not the run's.
    case scorer(String)
    /// The local workers cannot be started or have all failed.
    case workers(String)
    /// A benchmark cannot be made.
    case benchmark(String)
    /// Others could reach the port, and nobody has said who may join.
    case keys(String)

    /// One line that names the file and key and what would be right.
    public var description: String {
        switch self {
        case .invalidTOML(let source, let reason): "\(source): not valid TOML: \(reason)"
        case .unknownKey(let file, let key, let suggestion):
            "\(file): unknown key \(key.debugDescription)" + (suggestion.map { "; did you mean \"\($0)\"?" } ?? "")
        case .missingKey(let file, let key): "\(file): the key \"\(key)\" is missing"
        case .invalidValue(let file, let key, let expected, let found):
            "\(file): \"\(key)\" is \(found); expected \(expected)"
        case .unreadableFile(let path, let what): "\(path): cannot read \(what)"
        case .runFolder(let path, let reason): "\(path): \(reason)"
        case .search(let line), .embeddings(let line), .scorer(let line), .workers(let line), .benchmark(let line),
            .keys(let line):
            line
        }
    }
}
