import Basics
import Diffusion
import Foundation
import Glibc
import Tensors

/// Latents of uncached images on disk, so that neither a restarted worker nor another one on the machine denoises them
/// again.
///
/// A file per batch, named by the SHA-256 of everything that its bits depend on: the identity that the caller states,
/// the settings, the prompts and seeds in their order, and the latents of an image that this engine has denoised in this
/// process. An engine that rounds otherwise, because of its release or of the processor, thus finds nothing. Files are
/// written atomically and those used least recently are deleted beyond ``byteLimit``; any may be deleted at any time.
public struct ReferenceStore: Sendable {
    /// The size of the folder in bytes from which files are deleted.
    static let defaultByteLimit = 1 << 30
    private static let suffix = ".reference"
    private static let digestKey = "sha256"

    private let folder: String
    private let identity: [String]
    private let byteLimit: Int

    /// Creates the folder if it is missing.
    ///
    /// - Parameters:
    ///   - folder: The folder; several processes may use it.
    ///   - identity: What determines the images, apart from the settings: the program's release, the fingerprints of the
    ///     model and of the prompt embeddings.
    /// - Throws: `FileError`.
    public init(folder: String, identity: [String]) throws(FileError) {
        try self.init(folder: folder, identity: identity, byteLimit: Self.defaultByteLimit)
    }

    init(folder: String, identity: [String], byteLimit: Int) throws(FileError) {
        try FileContents.createDirectory(folder, mode: 0o700)
        self.folder = folder
        self.identity = identity
        self.byteLimit = byteLimit
    }

    /// A batch of uncached images.
    struct Batch {
        /// The settings of all evaluations.
        let settings: EvaluationSettings
        /// The images in their order, on which the last bits depend.
        let items: [EvaluationItem]
        /// Latents of an image that was denoised in this process with the same settings.
        let canary: [Float]
    }

    /// The latents of a batch, `[images, columns]`.
    ///
    /// - Returns: Nil if they are not stored, and for a damaged file.
    func latents(of batch: Batch, columns: Int) -> Matrix? {
        let path = path(of: batch)
        guard FileContents.exists(path), let file = try? SafetensorsFile(path: path),
            let latents = try? file.tensor("latents").matrix(rows: batch.items.count, columns: columns),
            latents.isFinite, file.metadata[Self.digestKey] == Self.digest(latents.values)
        else { return nil }
        // The time of the last use.
        utimes(path, nil)
        return latents
    }

    /// Stores the latents of a batch, `[images, columns]`.
    ///
    /// - Throws: `FileError`, `TensorsError`.
    func keep(_ latents: Matrix, of batch: Batch) throws {
        let values = latents.values
        try SafetensorsFile.write(
            [.init("latents", shape: [latents.rows, latents.columns], values: .floats(values))],
            metadata: [Self.digestKey: Self.digest(values)], to: path(of: batch))
        deleteOldest()
    }

    private func path(of batch: Batch) -> String {
        let generation = batch.settings.generation
        var parts = identity
        parts += [
            "\(generation.height) \(generation.width) \(generation.stepCount) \(generation.guidanceScale)",
            batch.settings.precision.rawValue, batch.settings.negativePrompt, Self.digest(batch.canary),
        ]
        parts += batch.items.flatMap { [batch.settings.prompts[$0.prompt], "\($0.seed)"] }
        // Lengths keep one part from reading like two.
        let text = parts.map { "\($0.utf8.count) \($0)" }.joined(separator: "\n")
        return "\(folder)/\(SHA256.digest(Array(text.utf8)).hexadecimal)\(Self.suffix)"
    }

    private static func digest(_ values: [Float]) -> String {
        SHA256.digest(values.littleEndianData).hexadecimal
    }

    /// Deletes the files used least recently until a quarter of the limit is free, if the limit is exceeded.
    private func deleteOldest() {
        let keys: Set<URLResourceKey> = [.contentModificationDateKey, .fileSizeKey]
        let urls =
            (try? FileManager.default.contentsOfDirectory(
                at: URL(fileURLWithPath: folder), includingPropertiesForKeys: Array(keys))) ?? []
        var files = urls.filter { $0.path.contains(Self.suffix) }.compactMap { url in
            (try? url.resourceValues(forKeys: keys)).map {
                (path: url.path, size: $0.fileSize ?? 0, date: $0.contentModificationDate ?? .distantPast)
            }
        }
        var total = files.reduce(0) { $0 + $1.size }
        guard total > byteLimit else { return }
        files.sort { $0.date < $1.date }
        for file in files where total > byteLimit / 4 * 3 {
            unlink(file.path)
            total -= file.size
        }
    }
}
