import Basics

/// Counts the fields of encoded protocol buffers without decoding them.
///
/// An empty element of a repeated field takes two bytes on the wire and a hundred in memory, so a message within the
/// size limit could still decode to gigabytes. Counting costs one pass over tags and lengths.
struct WireScan {
    enum Failure: Error, Equatable, CustomStringConvertible {
        case truncated
        case wireType(UInt8)

        var description: String {
            switch self {
            case .truncated: "truncated field"
            case .wireType(let type): "wire type \(type) is not used by this protocol"
            }
        }
    }

    /// Counts the fields inside the length-delimited fields of an envelope: the elements of its body.
    ///
    /// - Parameter bytes: An encoded envelope.
    /// - Returns: The number of fields one level down, summed over all bodies, since decoding merges them.
    /// - Throws: `Failure` if the bytes are not protocol buffers to that depth.
    static func countBodyFields(of bytes: [UInt8]) throws(Failure) -> Int {
        var count = 0
        var envelope = WireScan(position: 0, end: bytes.count)
        while let body = try envelope.nextField(in: bytes) {
            var fields = WireScan(position: body.lowerBound, end: body.upperBound)
            while try fields.nextField(in: bytes) != nil { count += 1 }
        }
        return count
    }

    private var position: Int
    private let end: Int

    private init(position: Int, end: Int) {
        self.position = position
        self.end = end
    }

    /// The payload of the next field if length-delimited, an empty range for a number, nil at the end.
    private mutating func nextField(in bytes: [UInt8]) throws(Failure) -> Range<Int>? {
        guard position < end else { return nil }
        let wireType = UInt8(truncatingIfNeeded: try varint(in: bytes) & 7)
        switch wireType {
        case 0:
            _ = try varint(in: bytes)
            return position..<position
        case 1:
            _ = try skip(8)
            return position..<position
        case 2:
            return try skip(try varint(in: bytes))
        case 5:
            _ = try skip(4)
            return position..<position
        default:
            throw .wireType(wireType)
        }
    }

    private mutating func skip(_ length: UInt64) throws(Failure) -> Range<Int> {
        guard length <= UInt64(end - position) else { throw .truncated }
        let start = position
        position += Int(length)
        return start..<position
    }

    private mutating func varint(in bytes: [UInt8]) throws(Failure) -> UInt64 {
        guard let value = Varint.decode(bytes, at: &position, end: end) else { throw .truncated }
        return value
    }
}
