/// Errors of the coordinator that end a command; each describes itself in one line.
public enum CoordinatorError: Error, Equatable, CustomStringConvertible {
    /// A run configuration or a `--set` option is not valid TOML.
    case invalidTOML(source: String, reason: String)
    /// A run configuration contains a key that does not exist.
    case unknownKey(file: String, key: String, suggestion: String?)
    /// A run configuration lacks a required key.
    case missingKey(file: String, key: String)
    /// A key is only allowed under a condition that does not hold.
    case keyNotAllowed(file: String, key: String, condition: String)
    /// A value has the wrong type or is out of range.
    case invalidValue(file: String, key: String, expected: String, found: String)
    /// A file named by the configuration or the command line cannot be read.
    case unreadableFile(path: String, what: String)
    /// A run directory does not allow the requested operation.
    case runDirectory(path: String, reason: String)
    /// The search cannot continue.
    case searchFailed(String)
    /// A file of prompt embeddings is malformed or does not fit the run.
    case invalidEmbeddings(String)
    /// A scorer's model changed during a run.
    case scorerChanged(String)
    /// Local workers cannot be started, or all of them have ended.
    case localWorkersFailed(String)
    /// The schedules of a benchmark are unsuitable.
    case invalidBenchmark(String)
    /// The port is reachable from other machines, but no worker is authorized.
    case noAuthorizedWorkers(String)

    /// One line that names the file and the key, and says what is expected.
    public var description: String {
        switch self {
        case .invalidTOML(let source, let reason): "\(source): invalid TOML: \(reason)"
        case .unknownKey(let file, let key, let suggestion):
            "\(file): unknown key \(key.debugDescription)" + (suggestion.map { "; did you mean \"\($0)\"?" } ?? "")
        case .missingKey(let file, let key): "\(file): required key \(key) is missing"
        case .keyNotAllowed(let file, let key, let condition): "\(file): \(key) is only allowed \(condition)"
        case .invalidValue(let file, let key, let expected, let found):
            "\(file): \(key) is \(found); expected \(expected)"
        case .unreadableFile(let path, let what): "\(path): cannot read \(what)"
        case .runDirectory(let path, let reason): "\(path): \(reason)"
        case .searchFailed(let line), .invalidEmbeddings(let line), .scorerChanged(let line),
            .localWorkersFailed(let line), .invalidBenchmark(let line), .noAuthorizedWorkers(let line):
            line
        }
    }
}
