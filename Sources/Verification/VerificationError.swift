/// What can be wrong with a reference file.
public enum VerificationError: Error, Equatable, CustomStringConvertible {
    /// The file's metadata lacks a key or holds something else than it should.
    case metadata(file: String, key: String, expected: String, found: String?)
    /// The file is of a case that this program does not know.
    case unknownCase(file: String, found: String)
    /// A tensor has a shape that does not fit the others or the model.
    case tensorShape(file: String, name: String, expected: String, found: [Int])
    /// The schedule file that a reference file names does not fit the model or the reference.
    case schedule(file: String, reason: String)

    /// One line that names the file and what was expected.
    public var description: String {
        switch self {
        case .metadata(let file, let key, let expected, let found):
            "\(file): metadata \"\(key)\" is \(found.map { "\"\($0)\"" } ?? "missing"); expected \(expected)"
        case .unknownCase(let file, let found):
            "\(file): metadata \"case\" is \"\(found)\"; expected one of \(ReferenceCase.allCases.map(\.rawValue).joined(separator: ", "))"
        case .tensorShape(let file, let name, let expected, let found):
            "\(file): the tensor \"\(name)\" has shape \(found); expected \(expected)"
        case .schedule(let file, let reason): "\(file): \(reason)"
        }
    }
}
