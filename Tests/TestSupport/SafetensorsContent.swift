import Foundation

/// The contents of a safetensors file, for writing modifications that the engine's own writer rejects.
public struct SafetensorsContent {
    /// A stored tensor.
    public struct Tensor {
        /// The name of the element type, such as `F32`.
        public var type: String
        /// The extents, outermost first.
        public var shape: [Int]
        /// The elements, little-endian.
        public var bytes: Data

        /// A tensor with its stored bytes.
        public init(type: String, shape: [Int], bytes: Data) {
            self.type = type
            self.shape = shape
            self.bytes = bytes
        }
    }

    /// The header's `__metadata__`.
    public var metadata: [String: String] = [:]
    /// The tensors by name.
    public var tensors: [String: Tensor] = [:]

    /// Reads a well-formed file.
    public init(path: String) throws {
        let file = try Data(contentsOf: URL(filePath: path))
        let dataStart = 8 + Int(file.prefix(8).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) })
        let header = try JSONSerialization.jsonObject(with: file[8..<dataStart]) as? [String: [String: Any]] ?? [:]
        for (name, entry) in header {
            guard let type = entry["dtype"] as? String, let shape = entry["shape"] as? [Int],
                let offsets = entry["data_offsets"] as? [Int]
            else {
                metadata = entry.compactMapValues { $0 as? String }
                continue
            }
            let bytes = file[(dataStart + offsets[0])..<(dataStart + offsets[1])]
            tensors[name] = Tensor(type: type, shape: shape, bytes: Data(bytes))
        }
    }

    /// Writes the file.
    public func write(to path: String) throws {
        var header: [String: Any] = ["__metadata__": metadata]
        var data = Data()
        for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
            header[name] = [
                "dtype": tensor.type, "shape": tensor.shape,
                "data_offsets": [data.count, data.count + tensor.bytes.count],
            ]
            data += tensor.bytes
        }
        let json = try JSONSerialization.data(withJSONObject: header)
        let length = (0..<8).map { UInt8(truncatingIfNeeded: json.count >> (8 * $0)) }
        try (Data(length) + json + data).write(to: URL(filePath: path))
    }

    /// Sets every element of an F32 or F16 tensor to a value.
    public mutating func fill(_ name: String, with value: Float) {
        guard let count = tensors[name]?.bytes.count else { return }
        let element =
            tensors[name]?.type == "F16"
            ? withUnsafeBytes(of: Float16(value)) { Data($0) } : withUnsafeBytes(of: value) { Data($0) }
        tensors[name]?.bytes = Data((0..<count / element.count).flatMap { _ in element })
    }
}
