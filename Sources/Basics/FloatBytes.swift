import FoundationEssentials

extension [Float] {
    /// Reads little-endian 32-bit floats; nil if the size is no multiple of 4.
    package init?(littleEndian data: Data) {
        guard data.count.isMultiple(of: 4) else { return nil }
        let bytes = [UInt8](data)
        self = stride(from: 0, to: bytes.count, by: 4).map { start in
            Float(bitPattern: (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[start + $1]) << UInt32(8 * $1) })
        }
    }

    /// The elements as little-endian 32-bit floats.
    package var littleEndianData: Data {
        Data(flatMap { value in (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) } })
    }
}
