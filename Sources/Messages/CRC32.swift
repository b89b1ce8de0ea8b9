/// CRC-32 as in zlib, PNG and IEEE 802.3 (reflected polynomial `0xEDB88320`).
struct CRC32 {
    private var state: UInt32 = .max

    /// The checksum of all bytes so far.
    var value: UInt32 { ~state }

    mutating func update(bytes: some Sequence<UInt8>) {
        for byte in bytes {
            state = Self.table[Int(UInt8(truncatingIfNeeded: state) ^ byte)] ^ (state >> 8)
        }
    }

    /// Adds a number as eight little-endian bytes.
    mutating func update(_ number: some FixedWidthInteger) {
        let word = UInt64(truncatingIfNeeded: number)
        for shift in stride(from: UInt64(0), to: 64, by: 8) {
            let byte = UInt8(truncatingIfNeeded: word >> shift)
            state = Self.table[Int(UInt8(truncatingIfNeeded: state) ^ byte)] ^ (state >> 8)
        }
    }

    private static let table: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { remainder, _ in
            remainder & 1 == 1 ? 0xEDB8_8320 ^ (remainder >> 1) : remainder >> 1
        }
    }
}
