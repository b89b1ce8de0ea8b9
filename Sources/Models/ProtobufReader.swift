import Basics

/// Reads the fields of a protocol buffer one after the other; enough for SentencePiece's model files.
struct ProtobufReader {
    /// The content of a field.
    enum Value {
        /// A varint, or four or eight bytes as they are.
        case number(UInt64)
        /// Text, bytes or a message.
        case bytes(ArraySlice<UInt8>)
    }

    /// The bytes end in the middle of a field, or are no protocol buffer.
    struct Malformed: Error {}

    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) {
        rest = bytes
    }

    /// The next field's number and content; nil at the end.
    mutating func next() throws -> (field: UInt64, value: Value)? {
        guard !rest.isEmpty else { return nil }
        let tag = try varint()
        let value: Value =
            switch tag & 7 {
            case 0: .number(try varint())
            case 1: .number(Self.number(try take(8)))
            case 2: .bytes(try take(try varint()))
            case 5: .number(Self.number(try take(4)))
            default: throw Malformed()
            }
        return (tag >> 3, value)
    }

    private mutating func take(_ count: UInt64) throws -> ArraySlice<UInt8> {
        guard count <= UInt64(rest.count) else { throw Malformed() }
        defer { rest = rest.dropFirst(Int(count)) }
        return rest.prefix(Int(count))
    }

    private mutating func varint() throws -> UInt64 {
        var position = rest.startIndex
        guard let value = Varint.decode(rest, at: &position, end: rest.endIndex) else { throw Malformed() }
        rest = rest[position...]
        return value
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
