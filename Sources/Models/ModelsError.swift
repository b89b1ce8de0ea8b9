/// Errors of model directories and of arguments to a model.
public enum ModelsError: Error, Equatable, CustomStringConvertible {
    /// A file or directory that the layout requires is missing.
    case missingFile(path: String, expected: String)
    /// A configuration value has the wrong type or an unsupported value.
    case invalidValue(path: String, key: String, expected: String, found: String)
    /// A checkpoint lacks a tensor.
    case missingTensor(path: String, name: String)
    /// A tensor's shape differs from what the configuration requires.
    case tensorShape(path: String, name: String, expected: [Int], found: [Int])
    /// A tokenizer file cannot be read or is not supported.
    case tokenizer(path: String, reason: String)
    /// Two parts of a model, such as tokenizer and text encoder, do not match.
    case incompatibleParts(path: String, reason: String)
    /// A file of prompt embeddings cannot be used.
    case promptEmbeddings(path: String, reason: String)
    /// An argument is outside the range that the model supports.
    case invalidArgument(String)

    /// One line with the file, what was found and what was expected.
    public var description: String {
        switch self {
        case .missingFile(let path, let expected): "\(path): not found; expected \(expected)"
        case .invalidValue(let path, let key, let expected, let found):
            "\(path): \(key) is \(found); expected \(expected)"
        case .missingTensor(let path, let name): "\(path): the tensor \"\(name)\" is missing"
        case .tensorShape(let path, let name, let expected, let found):
            "\(path): the tensor \"\(name)\" has shape \(found); expected \(expected)"
        case .tokenizer(let path, let reason), .incompatibleParts(let path, let reason),
            .promptEmbeddings(let path, let reason):
            "\(path): \(reason)"
        case .invalidArgument(let description): description
        }
    }
}
