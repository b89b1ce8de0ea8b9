import CSodium

/// SHA-256 (FIPS 180-4).
package enum SHA256 {
    /// Number of bytes in a digest.
    package static let byteCount = Int(crypto_hash_sha256_BYTES)

    /// The digest of some bytes.
    package static func digest(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        let input = Array(bytes)
        var digest = [UInt8](repeating: 0, count: byteCount)
        // It has no way to fail: the result is 0 by definition.
        _ = crypto_hash_sha256(&digest, input, UInt64(input.count))
        return digest
    }

    /// Bytes as lower-case hexadecimal digits.
    package static func hexadecimal(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// A digest from its hexadecimal digits; nil for any other text.
    package static func digest(hexadecimal text: String) -> [UInt8]? {
        let digits = text.compactMap(\.hexDigitValue)
        guard digits.count == text.count, digits.count == 2 * byteCount else { return nil }
        return (0..<byteCount).map { UInt8(digits[2 * $0] << 4 | digits[2 * $0 + 1]) }
    }
}
