/// What can go wrong with files of tensors and images.
public enum TensorsError: Error, Equatable, CustomStringConvertible {
    /// The file cannot be opened or read.
    case unreadable(file: String, reason: String)
    /// The file is shorter or longer than its header says.
    case size(file: String, bytes: Int, described: Int)
    /// The header breaks the safetensors format.
    case header(file: String, reason: String)
    /// The file has no tensor of that name.
    case missingTensor(file: String, tensor: String)
    /// The tensor's shape is not the one needed.
    case shape(file: String, tensor: String, expected: [Int], found: [Int])
    /// The tensor's element type is not one of those needed.
    case type(file: String, tensor: String, expected: String, found: StoredType)
    /// An integer does not fit into 64 signed bits.
    case integerRange(file: String, tensor: String, value: UInt64)
    /// The file cannot be written.
    case unwritable(file: String, reason: String)
    /// The bytes are no image that can be read, or the image cannot be encoded.
    case png(reason: String)
    /// The bytes are no JPEG that can be read.
    case jpeg(reason: String)

    /// One line that names the file, what was expected and what was found.
    public var description: String {
        switch self {
        case .unreadable(let file, let reason): "\(file): cannot be read: \(reason)"
        case .size(let file, let bytes, let described):
            "\(file): is \(bytes) bytes but its header describes \(described)"
        case .header(let file, let reason): "\(file): is not a safetensors file: \(reason)"
        case .missingTensor(let file, let tensor): "\(file): has no tensor '\(tensor)'"
        case .shape(let file, let tensor, let expected, let found):
            "\(file): tensor '\(tensor)' has shape \(found), expected \(expected)"
        case .type(let file, let tensor, let expected, let found):
            "\(file): tensor '\(tensor)' has type \(found.rawValue), expected \(expected)"
        case .integerRange(let file, let tensor, let value):
            "\(file): tensor '\(tensor)' holds \(value), which does not fit into a signed 64-bit integer"
        case .unwritable(let file, let reason): "\(file): cannot be written: \(reason)"
        case .png(let reason): "PNG: \(reason)"
        case .jpeg(let reason): "JPEG: \(reason)"
        }
    }
}
