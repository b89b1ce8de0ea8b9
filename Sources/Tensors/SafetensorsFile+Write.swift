import Basics
import JSON

extension SafetensorsFile {
    /// The elements of a tensor to be written.
    public enum Values: Sendable, Equatable {
        /// Stored as F32.
        case floats([Float])
        /// Stored as I64.
        case integers([Int64])
    }

    /// A tensor to be written.
    public struct NewTensor: Sendable, Equatable {
        /// The tensor's name, unique in the file.
        public var name: String
        /// The extents, outermost first.
        public var shape: [Int]
        /// The elements in row-major order, as many as the shape says.
        public var values: Values

        /// A named tensor with its elements.
        public init(_ name: String, shape: [Int], values: Values) {
            self.name = name
            self.shape = shape
            self.values = values
        }
    }

    /// Writes a file, replacing one of that name only when the new one is complete.
    ///
    /// Integers come before floats and names are sorted, as other writers do, so every tensor is aligned.
    ///
    /// - Parameters:
    ///   - tensors: The tensors.
    ///   - metadata: The header's `__metadata__`.
    ///   - path: The file.
    /// - Throws: `FileError`; ``TensorsError/unwritable(file:reason:)`` for a name used twice or a wrong element count.
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
                throw TensorsError.unwritable(file: path, reason: "the name '\(tensor.name)' is taken")
            }
            let count = tensor.values.count
            guard tensor.shape.allSatisfy({ $0 >= 0 }), tensor.shape.reduce(1, *) == count else {
                throw TensorsError.unwritable(
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
