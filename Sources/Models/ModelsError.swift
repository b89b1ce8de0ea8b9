/// What can be wrong with a model directory.
public enum ModelsError: Error, Equatable, CustomStringConvertible {
    /// A file or folder that the layout demands is absent.
    case missingFile(path: String, expected: String)
    /// A configuration value has the wrong type or is not supported.
    case invalidValue(path: String, key: String, expected: String, found: String)
    /// A checkpoint lacks a tensor.
    case missingTensor(path: String, name: String)
    /// A tensor has another shape than the configuration asks for.
    case tensorShape(path: String, name: String, expected: [Int], found: [Int])
    /// A tokenizer model cannot be read.
    case tokenizer(path: String, reason: String)
    /// An argument does not fit the model.
    case invalidArgument(String)

    /// One line that names the file and what would be right.
    public var description: String {
        switch self {
        case .missingFile(let path, let expected): "\(path): not found; expected \(expected)"
        case .invalidValue(let path, let key, let expected, let found):
            "\(path): \(key) is \(found); expected \(expected)"
        case .missingTensor(let path, let name): "\(path): the tensor \"\(name)\" is missing"
        case .tensorShape(let path, let name, let expected, let found):
            "\(path): the tensor \"\(name)\" has shape \(found); expected \(expected)"
        case .tokenizer(let path, let reason): "\(path): \(reason)"
        case .invalidArgument(let line): line
        }
    }
}
