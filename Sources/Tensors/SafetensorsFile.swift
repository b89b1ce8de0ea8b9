import Basics
import Glibc
import JSON

/// A safetensors file, memory-mapped read-only and validated when opened.
///
/// The format is eight bytes with the length of a JSON header, the header, the data
/// (https://github.com/huggingface/safetensors). Tensors keep the mapping alive, so they may outlive this value.
///
/// - Warning: Do not truncate or rewrite a file in place while it is mapped; rename a new file over it.
public struct SafetensorsFile: Sendable {
    /// The path that the file was opened with.
    public let path: String
    /// The header's `__metadata__`; empty if absent.
    public let metadata: [String: String]
    /// The tensor names, sorted.
    public let names: [String]
    private let entries: [String: SafetensorsHeader.Entry]
    private let dataStart: Int
    private let mapping: FileMapping

    /// Maps a file and validates its header against its size.
    ///
    /// - Throws: ``TensorsError/unreadable(file:reason:)``, ``TensorsError/size(file:bytes:described:)`` or
    ///   ``TensorsError/header(file:reason:)``.
    public init(path: String) throws {
        let mapping = try FileMapping(path: path)
        let header = try SafetensorsHeader(of: mapping.bytes, file: path)
        self.path = path
        self.mapping = mapping
        metadata = header.metadata
        entries = header.entries
        dataStart = header.dataStart
        names = header.entries.keys.sorted()
    }

    /// Whether the file has a tensor with this name.
    public func contains(_ name: String) -> Bool { entries[name] != nil }

    /// A tensor by name; its data is not read yet.
    ///
    /// - Throws: ``TensorsError/missingTensor(file:tensor:)``.
    public func tensor(_ name: String) throws -> StoredTensor {
        guard let entry = entries[name] else { throw TensorsError.missingTensor(file: path, tensor: name) }
        return StoredTensor(name: name, entry: entry, dataStart: dataStart, mapping: mapping, file: path)
    }
}

extension SafetensorsFile {
    /// The elements of a tensor to write.
    public enum Values: Sendable, Equatable {
        /// Stored as F32.
        case floats([Float])
        /// Stored as I64.
        case integers([Int64])
    }

    /// A tensor to write.
    public struct NewTensor: Sendable, Equatable {
        /// The tensor's name, unique in the file.
        public var name: String
        /// The extents, outermost first.
        public var shape: [Int]
        /// The elements in row-major order; their number must match the shape.
        public var values: Values

        /// A tensor with a name, a shape and elements.
        public init(_ name: String, shape: [Int], values: Values) {
            self.name = name
            self.shape = shape
            self.values = values
        }
    }

    /// Writes a file, replacing an existing one atomically.
    ///
    /// As with other writers, integers precede floats and names are sorted, so every tensor is aligned.
    ///
    /// - Throws: ``TensorsError/invalidTensors(file:reason:)`` for a duplicate name or a wrong element count,
    ///   `FileError`.
    public static func write(_ tensors: [NewTensor], metadata: [String: String] = [:], to path: String) throws {
        let ordered = tensors.sorted { ($0.values.rank, $0.name) < ($1.values.rank, $1.name) }
        var members: [JSONObject.Member] = []
        if !metadata.isEmpty {
            let pairs = metadata.sorted { $0.key < $1.key }
            members.append(
                JSONObject.Member(
                    key: "__metadata__",
                    value: .object(
                        JSONObject(distinct: pairs.map { JSONObject.Member(key: $0.key, value: .string($0.value)) }))))
        }
        var names: Set = ["__metadata__"]
        var data: [[UInt8]] = []
        var end = 0
        for tensor in ordered {
            guard names.insert(tensor.name).inserted else {
                throw TensorsError.invalidTensors(file: path, reason: "two tensors are named '\(tensor.name)'")
            }
            let count = tensor.values.count
            guard tensor.shape.allSatisfy({ $0 >= 0 }), tensor.shape.reduce(1, *) == count else {
                throw TensorsError.invalidTensors(
                    file: path, reason: "tensor '\(tensor.name)' of shape \(tensor.shape) has \(count) values")
            }
            let bytes = tensor.values.bytes
            members.append(
                JSONObject.Member(
                    key: tensor.name,
                    value: [
                        "dtype": .string(tensor.values.type.rawValue),
                        "shape": .array(tensor.shape.map { JSONValue($0) }),
                        "data_offsets": .array([JSONValue(end), JSONValue(end + bytes.count)]),
                    ]))
            end += bytes.count
            data.append(bytes)
        }
        let json = JSONValue.object(JSONObject(distinct: members)).text(.compact, escapesNonASCII: false)
        var header = Array(json.utf8)
        while header.count % 8 != 0 { header.append(UInt8(ascii: " ")) }
        let length = withUnsafeBytes(of: UInt64(header.count).littleEndian) { [UInt8]($0) }
        try FileContents.write([length, header] + data, to: path)
    }
}

extension SafetensorsFile.Values {
    fileprivate var rank: Int {
        switch self {
        case .integers: 0
        case .floats: 1
        }
    }

    fileprivate var type: StoredType {
        switch self {
        case .integers: .int64
        case .floats: .float32
        }
    }

    fileprivate var count: Int {
        switch self {
        case .integers(let values): values.count
        case .floats(let values): values.count
        }
    }

    fileprivate var bytes: [UInt8] {
        switch self {
        case .integers(let values): values.withUnsafeBytes { [UInt8]($0) }
        case .floats(let values): values.withUnsafeBytes { [UInt8]($0) }
        }
    }
}

/// A whole file, memory-mapped for reading.
final class FileMapping: @unchecked Sendable {
    let bytes: UnsafeRawBufferPointer

    init(path: String) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw TensorsError.unreadable(file: path, reason: systemMessage()) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw TensorsError.unreadable(file: path, reason: systemMessage())
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw TensorsError.unreadable(file: path, reason: "not a regular file")
        }
        let count = Int(status.st_size)
        guard count > 0 else {
            bytes = UnsafeRawBufferPointer(start: nil, count: 0)
            return
        }
        guard let start = mmap(nil, count, PROT_READ, MAP_SHARED, descriptor, 0), start != MAP_FAILED else {
            throw TensorsError.unreadable(file: path, reason: systemMessage())
        }
        bytes = UnsafeRawBufferPointer(start: start, count: count)
    }

    deinit {
        if let start = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: start), bytes.count) }
    }
}

/// The message for `errno`.
func systemMessage() -> String { String(cString: strerror(errno)) }
