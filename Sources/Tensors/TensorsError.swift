/// Errors of tensor and image files.
public enum TensorsError: Error, Equatable, CustomStringConvertible {
    /// The file cannot be opened or read.
    case unreadable(file: String, reason: String)
    /// The file's size differs from what its header describes.
    case size(file: String, bytes: Int, described: Int)
    /// The header violates the safetensors format.
    case header(file: String, reason: String)
    /// The file has no tensor with this name.
    case missingTensor(file: String, tensor: String)
    /// The tensor has an unexpected shape.
    case shape(file: String, tensor: String, expected: [Int], found: [Int])
    /// The tensor has an unexpected element type.
    case type(file: String, tensor: String, expected: String, found: StoredType)
    /// The file has a tensor of a type that is not supported at all.
    case unsupportedType(file: String, tensor: String, found: String)
    /// An integer does not fit into 64 signed bits.
    case integerRange(file: String, tensor: String, value: UInt64)
    /// The file cannot be written.
    case unwritable(file: String, reason: String)
    /// The tensors to write are inconsistent.
    case invalidTensors(file: String, reason: String)
    /// The bytes cannot be decoded as PNG.
    case png(reason: String)
    /// The image or its texts cannot be encoded as PNG.
    case pngEncoding(reason: String)
    /// The bytes cannot be decoded as JPEG.
    case jpeg(reason: String)

    /// One line with the file, what was found and what was expected.
    public var description: String {
        switch self {
        case .unreadable(let file, let reason): "\(file): cannot be read: \(reason)"
        case .size(let file, let bytes, let described):
            "\(file): is \(bytes) bytes but its header describes \(described)"
                + (bytes < described ? "; the file is truncated: repeat the download or copy" : "")
        case .header(let file, let reason): "\(file): is not a safetensors file: \(reason)"
        case .missingTensor(let file, let tensor): "\(file): has no tensor '\(tensor)'"
        case .shape(let file, let tensor, let expected, let found):
            "\(file): tensor '\(tensor)' has shape \(found); expected \(expected)"
        case .type(let file, let tensor, let expected, let found):
            "\(file): tensor '\(tensor)' has type \(found.rawValue); expected \(expected)"
        case .unsupportedType(let file, let tensor, let found):
            "\(file): tensor '\(tensor)' has type \(found); expected "
                + StoredType.allCases.map(\.rawValue).joined(separator: ", ")
        case .integerRange(let file, let tensor, let value):
            "\(file): tensor '\(tensor)' contains \(value), which exceeds a signed 64-bit integer"
        case .unwritable(let file, let reason): "\(file): cannot be written: \(reason)"
        case .invalidTensors(let file, let reason): "\(file): cannot be written: \(reason)"
        case .png(let reason): "PNG: \(reason)"
        case .pngEncoding(let reason): "PNG: cannot be encoded: \(reason)"
        case .jpeg(let reason): "JPEG: \(reason)"
        }
    }
}
