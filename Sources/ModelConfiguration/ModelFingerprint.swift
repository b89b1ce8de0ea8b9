import Basics
import Foundation

/// A hash by which coordinator and workers recognise equal model directories.
///
/// Small files are hashed whole. Of safetensors, which may have tens of gigabytes, the size and evenly spaced samples are
/// hashed, including the header: other weights differ in nearly every byte.
package enum ModelFingerprint {
    /// The files that are hashed.
    package enum Part: Sendable {
        /// All files.
        case whole
        /// All files but text encoders and tokenizers: those that a worker needs if it is given prompt embeddings.
        case image
        /// Only text encoders and tokenizers.
        case text
    }

    private static let sampleBytes = 64 << 10
    private static let sampleCount = 64

    /// The fingerprint of a directory.
    ///
    /// - Parameters:
    ///   - folder: A model directory in the diffusers layout.
    ///   - part: The files that are hashed.
    /// - Returns: 64 hexadecimal digits.
    /// - Throws: An error of Foundation that names the file that cannot be read.
    package static func compute(folder: String, part: Part = .whole) throws -> String {
        var hash = SHA256()
        for path in try relevantFiles(in: folder) where part == .whole || isText(path) == (part == .text) {
            let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: "\(folder)/\(path)"))
            defer { try? handle.close() }
            let size = try handle.seekToEnd()
            hash.update(Data("\(path)\n\(size)\n".utf8))
            for offset in offsets(in: path, size: size) {
                try handle.seek(toOffset: offset)
                let isWhole = !path.hasSuffix(".safetensors")
                hash.update(try handle.read(upToCount: isWhole ? Int(size) : sampleBytes) ?? Data())
            }
        }
        return hash.finish().hexadecimal
    }

    /// Whether a directory contains text encoders.
    package static func hasText(folder: String) -> Bool {
        FileManager.default.fileExists(atPath: "\(folder)/text_encoder")
    }

    private static func isText(_ path: String) -> Bool {
        ["text_encoder", "tokenizer"].contains { path.hasPrefix($0) }
    }

    /// Weights, configurations and tokenizers, sorted; other files are ignored.
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
}
