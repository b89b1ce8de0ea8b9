import Basics
import Foundation
import JSON
import Messages
import ModelConfiguration

/// A file of prompt embeddings that workers download from the coordinator.
///
/// The coordinator reads the metadata only.
struct EmbeddingsFile: Sendable {
    /// Payload of one message, in bytes.
    private static let chunkBytes = 4 << 20
    private static let maxHeaderBytes: UInt64 = 100_000_000

    let path: String
    /// Identifies the file in workers' requests.
    let reference: BlobReference
    private let prompts: Set<[UInt8]>
    private let negativePrompt: String
    private let kind: String
    private let textEncoder: String
    private let handle: FileHandle

    /// Opens a file written by `ecad embed` and computes its SHA-256.
    ///
    /// - Throws: ``CoordinatorError``, `FileError`.
    init(path: String) throws {
        guard FileContents.exists(path) else {
            throw FileContents.missing(path, expected: "prompt embeddings, the output of ecad embed")
        }
        do {
            guard let file = FileHandle(forReadingAtPath: path) else { throw Self.unreadable(path) }
            handle = file
            var reference = BlobReference()
            reference.sha256 = Data(try SHA256.digest(ofFile: path))
            reference.byteCount = try handle.seekToEnd()
            self.reference = reference
        } catch is CocoaError {
            throw Self.unreadable(path)
        }
        try handle.seek(toOffset: 0)
        try FileContents.rejectPointer(try handle.read(upToCount: 64) ?? Data(), path: path)
        let metadata = try? Self.metadata(handle, path)
        guard let metadata, metadata["format"]?.string == "ecad-embeddings/1",
            let list = metadata["prompts"]?.string, let negativePrompt = metadata["negative_prompt"]?.string,
            let kind = metadata["kind"]?.string, let textEncoder = metadata["text_encoder"]?.string,
            let prompts = try? JSONDecoder().decode([String].self, from: Data(list.utf8))
        else {
            throw CoordinatorError.invalidEmbeddings(
                "\(path): not a file of prompt embeddings; expected the output of ecad embed")
        }
        self.path = path
        self.prompts = Set(prompts.map { Array($0.utf8) })
        self.negativePrompt = negativePrompt
        self.kind = kind
        self.textEncoder = textEncoder
    }

    private static func unreadable(_ path: String) -> FileError {
        FileError(path: path, problem: "cannot be read: \(systemErrorText()); expected the output of ecad embed")
    }

    /// The `__metadata__` of a safetensors file, which begins with the 8-byte length of its JSON header and the header.
    private static func metadata(_ handle: FileHandle, _ path: String) throws -> JSONObject? {
        try handle.seek(toOffset: 0)
        let length = (try handle.read(upToCount: 8) ?? Data()).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard length <= maxHeaderBytes else { return nil }
        let header = try handle.read(upToCount: Int(length)) ?? Data()
        return try JSONValue(parsing: header, file: path).object?["__metadata__"]?.object
    }

    /// Checks that the file contains a run's prompts and was written by the text encoders of its model.
    ///
    /// - Throws: ``CoordinatorError/invalidEmbeddings(_:)``.
    func check(prompts: [String], negativePrompt: String, model: ModelDescription, folder: String) throws {
        func mismatch(_ reason: String) -> CoordinatorError {
            .invalidEmbeddings("\(path): \(reason); rerun ecad embed")
        }
        if let missing = prompts.first(where: { !self.prompts.contains(Array($0.utf8)) }) {
            throw mismatch("no embedding of the prompt \"\(missing.prefix(60))\"")
        }
        guard Array(negativePrompt.utf8) == Array(self.negativePrompt.utf8) else {
            throw mismatch("negative prompt is \"\(self.negativePrompt)\"; expected \"\(negativePrompt)\"")
        }
        var expected = "pixart"
        if case .flux = model.architecture.transformer { expected = "flux" }
        guard kind == expected else { throw mismatch("model kind is \(kind); expected \(expected) as in \(folder)") }
        guard ModelFiles.hasText(folder: folder) else { return }
        let own = try ModelFingerprint.compute(folder: folder, part: .text)
        let agreement = ModelFingerprint.compare(textEncoder, with: own, folder: folder, part: .text)
        guard agreement != .different else {
            throw mismatch("written with other text encoders than those of \(folder)")
        }
    }

    /// The requested part of the file; empty if the request is for another file or reading fails.
    func chunk(_ request: BlobRequest) -> BlobChunk {
        var chunk = BlobChunk.none(request)
        guard request.sha256 == reference.sha256, request.offset < reference.byteCount else { return chunk }
        do {
            try handle.seek(toOffset: request.offset)
            chunk.content = try handle.read(upToCount: Self.chunkBytes) ?? Data()
        } catch {
            chunk.content = Data()
        }
        return chunk
    }
}

extension BlobChunk {
    /// The reply to a request for a file that the coordinator does not have: no content.
    static func none(_ request: BlobRequest) -> BlobChunk {
        var chunk = BlobChunk()
        chunk.sha256 = request.sha256
        chunk.offset = request.offset
        return chunk
    }
}
