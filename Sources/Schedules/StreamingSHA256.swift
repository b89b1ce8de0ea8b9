import CSodium
import Foundation

/// SHA-256 of content that comes in parts, or of a file too large to be read at once.
package struct StreamingSHA256 {
    private static let partBytes = 1 << 20

    private var state = crypto_hash_sha256_state()

    /// Begins with nothing.
    package init() {
        crypto_hash_sha256_init(&state)
    }

    /// Adds a part.
    package mutating func update(_ data: Data) {
        data.withUnsafeBytes { bytes in
            _ = crypto_hash_sha256_update(&state, bytes.bindMemory(to: UInt8.self).baseAddress, UInt64(bytes.count))
        }
    }

    /// The digest of all parts, 32 bytes.
    package mutating func finish() -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: Int(crypto_hash_sha256_BYTES))
        crypto_hash_sha256_final(&state, &digest)
        return digest
    }

    /// The digest of a file.
    ///
    /// - Throws: An error of Foundation that names the file.
    package static func digest(ofFile path: String) throws -> [UInt8] {
        let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
        defer { try? handle.close() }
        var hash = StreamingSHA256()
        while let part = try handle.read(upToCount: partBytes), !part.isEmpty { hash.update(part) }
        return hash.finish()
    }
}

extension Sequence<UInt8> {
    /// The bytes as lower-case hexadecimal digits.
    package var hexadecimal: String { SHA256.hexadecimal(Array(self)) }
}
