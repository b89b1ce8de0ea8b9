/// What can be wrong with a reference file.
public enum VerificationError: Error, Equatable, CustomStringConvertible {
    /// The file's metadata lacks a key or holds something else than it should.
    case metadata(file: String, key: String, expected: String)
    /// The file is of a case that this program does not know.
    case unknownCase(file: String, found: String)
    /// A tensor has a shape that does not fit the others or the model.
    case tensorShape(file: String, name: String, expected: String, found: [Int])

    /// One line that names the file and what was expected.
    public var description: String {
        switch self {
        case .metadata(let file, let key, let expected): "\(file): metadata \"\(key)\": expected \(expected)"
        case .unknownCase(let file, let found):
            "\(file): case \"\(found)\"; expected \(ReferenceCase.allCases.map(\.rawValue).joined(separator: ", "))"
        case .tensorShape(let file, let name, let expected, let found):
            "\(file): the tensor \"\(name)\" has shape \(found); expected \(expected)"
        }
    }
}
