import CSodium
import Foundation

/// SHA-256 (FIPS 180-4), in one call or part by part.
package struct SHA256 {
    /// Bytes in a digest.
    package static let byteCount = Int(crypto_hash_sha256_BYTES)
    private static let chunkBytes = 1 << 20

    private var state = crypto_hash_sha256_state()

    package init() {
        crypto_hash_sha256_init(&state)
    }

    package mutating func update(_ data: Data) {
        data.withUnsafeBytes { bytes in
            _ = crypto_hash_sha256_update(&state, bytes.bindMemory(to: UInt8.self).baseAddress, UInt64(bytes.count))
        }
    }

    /// The digest of all parts; call it once.
    package mutating func finish() -> [UInt8] {
        var digest = [UInt8](repeating: 0, count: Self.byteCount)
        crypto_hash_sha256_final(&state, &digest)
        return digest
    }

    package static func digest(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        let input = Array(bytes)
        var digest = [UInt8](repeating: 0, count: byteCount)
        // Always returns 0.
        _ = crypto_hash_sha256(&digest, input, UInt64(input.count))
        return digest
    }

    /// The digest of a file, read in chunks of 1 MiB.
    ///
    /// - Throws: An error of Foundation that names the file.
    package static func digest(ofFile path: String) throws -> [UInt8] {
        let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
        defer { try? handle.close() }
        var hash = SHA256()
        while let chunk = try handle.read(upToCount: chunkBytes), !chunk.isEmpty { hash.update(chunk) }
        return hash.finish()
    }
}
