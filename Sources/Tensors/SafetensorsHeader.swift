import Basics
import JSON

/// The checked header of a safetensors file: every tensor lies inside the data, and the tensors cover it without
/// overlap or gap, as the format demands.
struct SafetensorsHeader {
    struct Entry: Equatable {
        var type: StoredType
        var shape: [Int]
        /// The tensor's bytes, counted from the start of the data.
        var bytes: Range<Int>
    }

    /// The bytes that hold the header's length.
    static let lengthBytes = 8
    /// The bound that the reference implementation sets as well.
    static let longestHeader = 100_000_000

    var metadata: [String: String] = [:]
    var entries: [String: Entry] = [:]
    /// Where the data starts in the file.
    let dataStart: Int
    /// A tensor of a type that the format may have, but ``StoredType`` does not.
    private var unsupported: (name: String, type: String)?

    init(of content: UnsafeRawBufferPointer, file: String) throws {
        try FileContents.rejectPointer(content.prefix(64), path: file)
        guard !content.isEmpty else {
            throw FileError(path: file, problem: "is empty; expected a safetensors file")
        }
        guard content.count >= Self.lengthBytes else {
            throw TensorsError.size(file: file, bytes: content.count, described: Self.lengthBytes)
        }
        let length = UInt64(littleEndian: content.loadUnaligned(as: UInt64.self))
        guard length <= UInt64(Self.longestHeader) else {
            let kind = Self.otherFormat(of: content)
            throw TensorsError.header(
                file: file, reason: kind ?? "a header of \(length) bytes, at most \(Self.longestHeader) are allowed")
        }
        dataStart = Self.lengthBytes + Int(length)
        guard content.count >= dataStart else {
            throw TensorsError.size(file: file, bytes: content.count, described: dataStart)
        }
        do {
            var reader = JSONReader(Array(content[Self.lengthBytes..<dataStart]), file: file)
            try parse(&reader)
        } catch .syntax(_, let line, let column, let problem) {
            throw TensorsError.header(file: file, reason: "\(problem) at line \(line), column \(column)")
        } catch {
            throw TensorsError.header(file: file, reason: "\(error)")
        }
        if let tensor = unsupported {
            throw TensorsError.unsupportedType(file: file, tensor: tensor.name, found: tensor.type)
        }
        let dataEnd = try checkedDataEnd(file: file)
        let (described, overflow) = dataStart.addingReportingOverflow(dataEnd)
        guard !overflow && content.count == described else {
            throw TensorsError.size(file: file, bytes: content.count, described: overflow ? Int.max : described)
        }
    }

    private mutating func parse(_ reader: inout JSONReader) throws(JSONError) {
        var metadata: [String: String] = [:]
        var entries: [String: Entry] = [:]
        var unsupported: (name: String, type: String)?
        try reader.object { (name, reader) throws(JSONError) in
            if name == "__metadata__" {
                try reader.object { (key, reader) throws(JSONError) in metadata[key] = try reader.string() }
            } else {
                let (entry, type) = try Self.entry(name, &reader)
                if let entry { entries[name] = entry } else { unsupported = unsupported ?? (name, type) }
            }
        }
        try reader.finish()
        self.metadata = metadata
        self.entries = entries
        self.unsupported = unsupported
    }

    /// A tensor's entry, nil for an unsupported type, and the name of its type.
    private static func entry(
        _ name: String, _ reader: inout JSONReader
    ) throws(JSONError) -> (Entry?, type: String) {
        var typeName: String?
        var shape: [Int]?
        var offsets: [Int]?
        try reader.object { (key, reader) throws(JSONError) in
            switch key {
            case "dtype": typeName = try reader.string()
            case "shape": shape = try integers(&reader)
            case "data_offsets": offsets = try integers(&reader)
            // Later versions of the format may add keys.
            default: try reader.skipValue()
            }
        }
        guard let typeName, let shape, let offsets else {
            throw reader.failure("tensor '\(name)': needs dtype, shape and data_offsets")
        }
        guard let type = StoredType(rawValue: typeName) else { return (nil, typeName) }
        guard offsets.count == 2, offsets[0] <= offsets[1] else {
            throw reader.failure("tensor '\(name)': data_offsets \(offsets) are not a range")
        }
        var bytes = type.byteWidth
        for extent in shape {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: extent)
            guard !overflow else { throw reader.failure("tensor '\(name)': shape \(shape) is too large") }
            bytes = product
        }
        guard bytes == offsets[1] - offsets[0] else {
            throw reader.failure(
                "tensor '\(name)': \(typeName) of shape \(shape) takes \(bytes) bytes, "
                    + "data_offsets hold \(offsets[1] - offsets[0])")
        }
        return (Entry(type: type, shape: shape, bytes: offsets[0]..<offsets[1]), typeName)
    }

    /// The format of a file that has another one; nil if its first bytes do not tell.
    private static func otherFormat(of content: UnsafeRawBufferPointer) -> String? {
        let formats: [(start: [UInt8], name: String)] = [
            (Array("PK\u{3}\u{4}".utf8), "it is a zip archive, as PyTorch's pickles are"),
            ([0x80, 0x02], "it is a pickle of PyTorch"), (Array("GGUF".utf8), "it is a GGUF file"),
            (Array("<".utf8), "it is an HTML or XML page"),
        ]
        return formats.first { content.starts(with: $0.start) }?.name
    }

    private static func integers(_ reader: inout JSONReader) throws(JSONError) -> [Int] {
        var integers: [Int] = []
        try reader.array { (reader) throws(JSONError) in integers.append(try reader.naturalNumber()) }
        return integers
    }

    /// The end of the last tensor, after checking that the tensors follow each other.
    private func checkedDataEnd(file: String) throws -> Int {
        let ordered = entries.sorted {
            let (a, b) = ($0.value.bytes, $1.value.bytes)
            return (a.lowerBound, a.upperBound) < (b.lowerBound, b.upperBound)
        }
        var end = 0
        for (name, entry) in ordered {
            guard entry.bytes.lowerBound == end else {
                let fault = entry.bytes.lowerBound < end ? "overlaps the tensor before it" : "leaves a gap before it"
                throw TensorsError.header(
                    file: file, reason: "tensor '\(name)' at \(entry.bytes.lowerBound) \(fault), which ends at \(end)")
            }
            end = entry.bytes.upperBound
        }
        return end
    }
}
