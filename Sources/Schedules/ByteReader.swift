/// Reads little-endian values and texts one after the other from bytes that may hold anything.
struct ByteReader {
    private let bytes: ArraySlice<UInt8>
    /// What an error message calls the bytes.
    let file: String
    /// Place of the next byte to be read.
    private(set) var offset: Int

    init(_ bytes: ArraySlice<UInt8>, file: String) {
        self.bytes = bytes
        self.file = file
        offset = bytes.startIndex
    }

    /// Whether every byte has been read.
    var isAtEnd: Bool { offset == bytes.endIndex }

    mutating func take(_ count: Int, _ what: String) throws(SchedulesError) -> ArraySlice<UInt8> {
        guard count <= bytes.endIndex - offset else {
            throw failure("the file ends within \(what)")
        }
        defer { offset += count }
        return bytes[offset..<offset + count]
    }

    mutating func integer<Value: FixedWidthInteger & UnsignedInteger>(
        _ type: Value.Type, _ what: String
    ) throws(SchedulesError) -> Value {
        try take(Value.bitWidth / 8, what).reversed().reduce(0) { $0 << 8 | Value($1) }
    }

    /// Reads an integer that must lie in a range.
    mutating func integer<Value: FixedWidthInteger & UnsignedInteger>(
        _ type: Value.Type, in range: ClosedRange<Int>, _ what: String
    ) throws(SchedulesError) -> Int {
        let start = offset
        let value = try integer(type, what)
        guard let int = Int(exactly: value), range.contains(int) else {
            throw failure("\(what): expected \(range.lowerBound) to \(range.upperBound), found \(value)", at: start)
        }
        return int
    }

    /// Reads a text: the number of its bytes as 32 bits, then UTF-8.
    mutating func text(_ what: String) throws(SchedulesError) -> String {
        let start = offset
        let count = try integer(UInt32.self, what)
        guard let text = String(validating: try take(Int(count), what), as: UTF8.self) else {
            throw failure("\(what) is not UTF-8", at: start)
        }
        return text
    }

    func failure(_ problem: String, at place: Int? = nil) -> SchedulesError {
        .compactFile(file: file, byte: place ?? offset, problem: problem)
    }
}

extension [UInt8] {
    /// Appends an integer, its lowest byte first.
    mutating func append(littleEndian value: some FixedWidthInteger) {
        for shift in stride(from: 0, to: value.bitWidth, by: 8) {
            append(UInt8(truncatingIfNeeded: value >> shift))
        }
    }

    /// Appends a text: the number of its bytes as 32 bits, then UTF-8.
    mutating func append(text: String) {
        append(littleEndian: UInt32(text.utf8.count))
        append(contentsOf: text.utf8)
    }
}
