import Basics
import Foundation
import JSON

/// A hash by which coordinator and workers recognise equal models.
///
/// It covers the files that are loaded (``ModelFiles``), under their names in the directory; links are followed, and other
/// files do not matter. Small files are hashed whole. Of safetensors, which may have tens of gigabytes, it covers the size,
/// the header, both ends of every tensor and evenly spaced samples: other weights differ in nearly every byte.
package enum ModelFingerprint {
    /// The files that are hashed.
    package typealias Part = ModelFiles.Part

    /// What a recorded fingerprint says about a directory.
    package enum Agreement: Sendable, Equatable {
        /// The fingerprints are equal.
        case same
        /// The recorded one is of an earlier release, and equals what that release computes for the directory.
        case earlier
        /// The recorded one is of an earlier release and covers no file, because the directory was a symbolic link.
        case nothing
        /// The directory has other files.
        case different
    }

    /// Separates this release's fingerprints from those of earlier ones.
    private static let version = "ecad model fingerprint 2\n"
    private static let sampleBytes = 64 << 10
    private static let sampleCount = 64
    private static let tensorSampleBytes = 4 << 10
    private static let longestHeader: UInt64 = 100_000_000

    /// The fingerprint of a model directory, or of that of a scorer.
    ///
    /// - Parameters:
    ///   - folder: The directory; see ``ModelFiles/loaded(from:part:)``.
    ///   - part: The files that are hashed.
    /// - Returns: 64 hexadecimal digits.
    /// - Throws: `FileError`, `JSONError` with the file that is missing or cannot be used.
    package static func compute(folder: String, part: Part = .whole) throws -> String {
        var hash = SHA256()
        hash.update(Data(version.utf8))
        for path in try ModelFiles.loaded(from: folder, part: part) {
            try update(&hash, path: path, in: folder) { handle, size in
                let ranges = path.hasSuffix(".safetensors") ? try samples(of: handle, size: size) : [0..<size]
                guard size > 0 else {
                    throw FileError(path: "\(folder)/\(path)", problem: "is empty; expected the file of the model")
                }
                return ranges
            }
        }
        return hash.finish().hexadecimal
    }

    /// Compares a directory with a recorded fingerprint of this release or an earlier one.
    ///
    /// - Parameters:
    ///   - recorded: The recorded fingerprint.
    ///   - current: The directory's fingerprint.
    ///   - folder: The directory.
    ///   - part: The files that are hashed.
    /// - Returns: Whether they agree.
    package static func compare(
        _ recorded: String, with current: String, folder: String, part: Part = .whole
    ) -> Agreement {
        if recorded == current { return .same }
        if recorded == SHA256.digest([]).hexadecimal { return .nothing }
        return recorded == (try? computeAsBefore(folder: folder, part: part)) ? .earlier : .different
    }

    /// Hashes a file's name, size and some ranges of its bytes.
    private static func update(
        _ hash: inout SHA256, path: String, in folder: String, ranges: (FileHandle, UInt64) throws -> [Range<UInt64>]
    ) throws {
        let file = "\(folder)/\(path)"
        guard let handle = FileHandle(forReadingAtPath: file) else {
            if FileContents.exists(file) { _ = try FileContents.read(file) }
            throw FileContents.missing(file, expected: "a file of the model")
        }
        defer { try? handle.close() }
        do {
            let size = try handle.seekToEnd()
            try handle.seek(toOffset: 0)
            try FileContents.rejectPointer(try handle.read(upToCount: 64) ?? Data(), path: file)
            hash.update(Data("\(path)\n\(size)\n".utf8))
            for range in try ranges(handle, size) {
                try handle.seek(toOffset: range.lowerBound)
                hash.update(try handle.read(upToCount: range.count) ?? Data())
            }
        } catch let error as CocoaError {
            throw FileError(path: file, problem: "cannot be read: \(error.localizedDescription)")
        }
    }

    /// The ranges of a safetensors file that are hashed; only the evenly spaced ones if the header is malformed.
    private static func samples(of handle: FileHandle, size: UInt64) throws -> [Range<UInt64>] {
        var ranges = evenSamples(size: size)
        try handle.seek(toOffset: 0)
        let length = (try handle.read(upToCount: 8) ?? Data()).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard size >= 8, length <= min(size - 8, longestHeader),
            let header = try handle.read(upToCount: Int(length)),
            let tensors = try? JSONValue(parsing: header, file: "").object
        else { return ranges }
        let dataStart = 8 + length
        ranges.append(0..<dataStart)
        for tensor in tensors.members {
            guard let offsets = tensor.value.object?["data_offsets"]?.array?.compactMap(\.int), offsets.count == 2,
                0 <= offsets[0], offsets[0] < offsets[1], UInt64(offsets[1]) <= size - dataStart
            else { continue }
            let (start, end) = (dataStart + UInt64(offsets[0]), dataStart + UInt64(offsets[1]))
            let count = min(end - start, UInt64(tensorSampleBytes))
            ranges += [start..<(start + count), (end - count)..<end]
        }
        return ranges
    }

    private static func evenSamples(size: UInt64) -> [Range<UInt64>] {
        guard size > UInt64(sampleBytes) else { return [0..<size] }
        let last = size - UInt64(sampleBytes)
        return (0..<UInt64(sampleCount)).map { last / UInt64(sampleCount - 1) * $0 }
            .map { $0..<($0 + UInt64(sampleBytes)) }
    }
}

// MARK: - Earlier releases

extension ModelFingerprint {
    /// The fingerprint that earlier releases recorded in histories and in files of prompt embeddings.
    ///
    /// It covers every file of some types below the directory, whether it is loaded or not, and follows no link: neither
    /// the directory itself nor directories in it.
    private static func computeAsBefore(folder: String, part: Part) throws -> String {
        let types = [".safetensors", ".json", ".model", ".txt"]
        let paths = try FileManager.default.subpathsOfDirectory(atPath: folder).filter { path in
            types.contains { path.hasSuffix($0) }
        }
        var hash = SHA256()
        for path in paths.sorted() where part == .whole || isText(path) == (part == .text) {
            try update(&hash, path: path, in: folder) { _, size in
                path.hasSuffix(".safetensors") ? evenSamples(size: size) : [0..<size]
            }
        }
        return hash.finish().hexadecimal
    }

    private static func isText(_ path: String) -> Bool {
        ["text_encoder", "tokenizer"].contains { path.hasPrefix($0) }
    }
}
