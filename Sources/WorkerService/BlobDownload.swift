import Basics
import Foundation
import Messages

/// Downloads a file from the coordinator chunk by chunk into a temporary file.
///
/// One chunk is requested at a time and the request repeated until it is answered, so a restart of the coordinator only
/// delays the download.
struct BlobDownload {
    /// The effect of a chunk.
    enum Progress: Equatable {
        /// The chunk was not requested, or is a duplicate.
        case ignored
        /// The next chunk is due.
        case incomplete
        /// The file at this path is complete; its reader deletes it.
        case finished(path: String)
    }

    private let reference: BlobReference
    private let path: String
    private let handle: FileHandle
    private var hash = SHA256()
    private var offset: UInt64 = 0

    /// Creates the temporary file.
    ///
    /// - Throws: ``WorkerError/embeddings(_:)`` if it cannot be created.
    init(_ reference: BlobReference) throws {
        self.reference = reference
        let folder = FileManager.default.temporaryDirectory.path
        path = "\(folder)/ecad-\(UUID().uuidString).safetensors"
        guard
            FileManager.default.createFile(
                atPath: path, contents: nil, attributes: [.posixPermissions: NSNumber(value: 0o600)]),
            let handle = FileHandle(forWritingAtPath: path)
        else { throw WorkerError.embeddings("\(folder): not writable; set TMPDIR to another directory") }
        self.handle = handle
    }

    /// The request for the next chunk.
    var request: BlobRequest {
        var request = BlobRequest()
        request.sha256 = reference.sha256
        request.offset = offset
        return request
    }

    /// Appends a chunk to the file.
    ///
    /// - Throws: ``WorkerError/embeddings(_:)`` if the coordinator does not have the file, if the content differs from
    ///   its digest, and if the file cannot be written.
    mutating func receive(_ chunk: BlobChunk) throws -> Progress {
        guard chunk.sha256 == reference.sha256, chunk.offset == offset else { return .ignored }
        guard !chunk.content.isEmpty, UInt64(chunk.content.count) <= reference.byteCount - offset else {
            throw fail("the coordinator does not have the prompt embeddings that it announced")
        }
        do {
            try handle.write(contentsOf: chunk.content)
        } catch {
            throw fail("\(path): write failed; the prompt embeddings need \(reference.byteCount) bytes")
        }
        hash.update(chunk.content)
        offset += UInt64(chunk.content.count)
        guard offset == reference.byteCount else { return .incomplete }
        guard Data(hash.finish()) == reference.sha256 else {
            throw fail("the prompt embeddings were corrupted: their SHA-256 differs from the announced one")
        }
        try? handle.close()
        return .finished(path: path)
    }

    /// Deletes the temporary file.
    func discard() {
        try? handle.close()
        try? FileManager.default.removeItem(atPath: path)
    }

    private func fail(_ line: String) -> WorkerError {
        discard()
        return .embeddings(line)
    }
}
