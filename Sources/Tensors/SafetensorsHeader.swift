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

    init(of content: UnsafeRawBufferPointer, file: String) throws {
        guard content.count >= Self.lengthBytes else {
            throw TensorsError.size(file: file, bytes: content.count, described: Self.lengthBytes)
        }
        let length = UInt64(littleEndian: content.loadUnaligned(as: UInt64.self))
        guard length <= UInt64(Self.longestHeader) else {
            throw TensorsError.header(
                file: file, reason: "a header of \(length) bytes, at most \(Self.longestHeader) are allowed")
        }
        dataStart = Self.lengthBytes + Int(length)
        guard content.count >= dataStart else {
            throw TensorsError.size(file: file, bytes: content.count, described: dataStart)
        }
        let json = UnsafeRawBufferPointer(rebasing: content[Self.lengthBytes..<dataStart])
        try parse(HeaderCursor(json, file: file))
        let dataEnd = try checkedDataEnd(file: file)
        let (described, overflow) = dataStart.addingReportingOverflow(dataEnd)
        guard !overflow && content.count == described else {
            throw TensorsError.size(file: file, bytes: content.count, described: overflow ? Int.max : described)
        }
    }

    private mutating func parse(_ start: HeaderCursor) throws {
        var cursor = start
        var metadata: [String: String] = [:]
        var entries: [String: Entry] = [:]
        var seen: Set<String> = []
        try cursor.object { name, cursor in
            guard seen.insert(name).inserted else { throw cursor.fault("second entry '\(name)'") }
            if name == "__metadata__" {
                try cursor.object { key, cursor in
                    guard metadata.updateValue(try cursor.string(), forKey: key) == nil else {
                        throw cursor.fault("second metadata key '\(key)'")
                    }
                }
            } else {
                entries[name] = try Self.entry(name, &cursor)
            }
        }
        try cursor.expectEnd()
        self.metadata = metadata
        self.entries = entries
    }

    private static func entry(_ name: String, _ cursor: inout HeaderCursor) throws -> Entry {
        var typeName: String?
        var shape: [Int]?
        var offsets: [Int]?
        try cursor.object { key, cursor in
            let isFirst: Bool
            switch key {
            case "dtype": (isFirst, typeName) = (typeName == nil, try cursor.string())
            case "shape": (isFirst, shape) = (shape == nil, try cursor.integers())
            case "data_offsets": (isFirst, offsets) = (offsets == nil, try cursor.integers())
            default:
                isFirst = true
                try cursor.skipValue()
            }
            guard isFirst else { throw cursor.fault("tensor '\(name)': second '\(key)'") }
        }
        guard let typeName, let shape, let offsets else {
            throw cursor.fault("tensor '\(name)': needs dtype, shape and data_offsets")
        }
        guard let type = StoredType(rawValue: typeName) else {
            throw cursor.fault("tensor '\(name)': unknown dtype '\(typeName)'")
        }
        guard offsets.count == 2, offsets[0] <= offsets[1] else {
            throw cursor.fault("tensor '\(name)': data_offsets \(offsets) are no range")
        }
        var bytes = type.byteWidth
        for extent in shape {
            let (product, overflow) = bytes.multipliedReportingOverflow(by: extent)
            guard !overflow else { throw cursor.fault("tensor '\(name)': shape \(shape) is too large") }
            bytes = product
        }
        guard bytes == offsets[1] - offsets[0] else {
            throw cursor.fault(
                "tensor '\(name)': \(typeName) of shape \(shape) takes \(bytes) bytes, "
                    + "data_offsets hold \(offsets[1] - offsets[0])")
        }
        return Entry(type: type, shape: shape, bytes: offsets[0]..<offsets[1])
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
