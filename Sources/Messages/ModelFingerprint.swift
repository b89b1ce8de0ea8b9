import CSodium
import Foundation

/// What makes two model directories the same to a run: a hash that coordinator and workers compute alike.
///
/// Small files count whole. Of safetensors, which may hold tens of gigabytes, the size, the header and evenly spread
/// samples of the data count: other weights differ in nearly every byte.
package enum ModelFingerprint {
    private static let sampleBytes = 64 << 10
    private static let sampleCount = 64

    /// The fingerprint of a directory, as hexadecimal text.
    ///
    /// - Throws: An error of Foundation that names the file that cannot be read.
    package static func compute(folder: String) throws -> String {
        var state = crypto_hash_sha256_state()
        crypto_hash_sha256_init(&state)
        for path in try relevantFiles(in: folder) {
            let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: "\(folder)/\(path)"))
            defer { try? handle.close() }
            let size = try handle.seekToEnd()
            update(&state, Data("\(path)\n\(size)\n".utf8))
            for offset in offsets(in: path, size: size) {
                try handle.seek(toOffset: offset)
                let isWhole = !path.hasSuffix(".safetensors")
                update(&state, try handle.read(upToCount: isWhole ? Int(size) : sampleBytes) ?? Data())
            }
        }
        var digest = [UInt8](repeating: 0, count: Int(crypto_hash_sha256_BYTES))
        crypto_hash_sha256_final(&state, &digest)
        return digest.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    /// Weights, configurations and tokenizers, sorted; pictures and documents beside them do not matter.
    private static func relevantFiles(in folder: String) throws -> [String] {
        try FileManager.default.subpathsOfDirectory(atPath: folder).filter { path in
            [".safetensors", ".json", ".model", ".txt"].contains { path.hasSuffix($0) }
        }.sorted()
    }

    private static func offsets(in path: String, size: UInt64) -> [UInt64] {
        guard path.hasSuffix(".safetensors"), size > UInt64(sampleBytes) else { return [0] }
        let last = size - UInt64(sampleBytes)
        return (0..<UInt64(sampleCount)).map { last / UInt64(sampleCount - 1) * $0 }
    }

    private static func update(_ state: inout crypto_hash_sha256_state, _ data: Data) {
        data.withUnsafeBytes { bytes in
            _ = crypto_hash_sha256_update(
                &state, bytes.bindMemory(to: UInt8.self).baseAddress, UInt64(bytes.count))
        }
    }
}
