/// Errors of reference files.
public enum VerificationError: Error, Equatable, CustomStringConvertible {
    /// A metadata key is missing or its value is invalid.
    case metadata(file: String, key: String, expected: String, found: String?)
    /// An unknown case.
    case unknownCase(file: String, found: String)
    /// A tensor's shape does not match the other tensors or the model.
    case tensorShape(file: String, name: String, expected: String, found: [Int])
    /// A tensor contains NaN or infinite values, which nothing can be compared with.
    case notFinite(file: String, name: String, value: String)
    /// A case that is computed in float32 only.
    case precision(file: String, case: String)
    /// The reference's schedule file does not match the model.
    case schedule(file: String, reason: String)

    /// One line: the file, what is wrong and what would be right.
    public var description: String {
        switch self {
        case .metadata(let file, let key, let expected, let found):
            "\(file): metadata \"\(key)\" is \(found.map { "\"\($0)\"" } ?? "missing"); expected \(expected)"
        case .unknownCase(let file, let found):
            "\(file): metadata \"case\" is \"\(found)\"; expected one of \(ReferenceCase.allCases.map(\.rawValue).joined(separator: ", "))"
        case .tensorShape(let file, let name, let expected, let found):
            "\(file): tensor \"\(name)\" has shape \(found); expected \(expected)"
        case .notFinite(let file, let name, let value):
            "\(file): tensor \"\(name)\" contains \(value); expected finite numbers"
        case .precision(let file, let name):
            "\(file): metadata \"case\" is \"\(name)\"; expected transformer, vae-decoder or trajectory with precision bfloat16"
        case .schedule(let file, let reason): "\(file): \(reason)"
        }
    }
}
