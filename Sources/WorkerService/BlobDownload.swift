import Basics
import Foundation
import Messages
import Schedules

/// Fetches a blob from the coordinator, part after part, into a temporary file.
///
/// One part is asked for at a time; the request is repeated while no answer comes, so a coordinator that is away for a
/// while costs no more than the time.
struct BlobDownload {
    /// What to do next.
    enum Progress: Equatable {
        /// Nothing: the part was not asked for, or has arrived before.
        case nothing
        /// Ask for the part that ``request`` names.
        case wantsMore
        /// The file at this path is whole; its reader removes it once it is open.
        case finished(path: String)
    }

    /// What is fetched.
    let reference: BlobReference
    private let path: String
    private let handle: FileHandle
    private var hash = SHA256()
    private var offset: UInt64 = 0

    /// Begins a download to a file of its own in the folder for temporary files.
    ///
    /// - Throws: ``WorkerError/embeddings(_:)`` if no file can be made there.
    init(_ reference: BlobReference) throws {
        self.reference = reference
        let folder = FileManager.default.temporaryDirectory.path
        path = "\(folder)/ecad-\(UUID().uuidString).safetensors"
        guard
            FileManager.default.createFile(
                atPath: path, contents: nil, attributes: [.posixPermissions: NSNumber(value: 0o600)]),
            let handle = FileHandle(forWritingAtPath: path)
        else { throw WorkerError.embeddings("\(folder): cannot be written to; set TMPDIR to another folder") }
        self.handle = handle
    }

    /// The next part.
    var request: BlobRequest {
        var request = BlobRequest()
        request.sha256 = reference.sha256
        request.offset = offset
        return request
    }

    /// Takes a part.
    ///
    /// - Throws: ``WorkerError/embeddings(_:)`` if the coordinator has no such blob, for content that is not what was
    ///   announced, and for a full disk.
    mutating func take(_ chunk: BlobChunk) throws -> Progress {
        guard chunk.sha256 == reference.sha256, chunk.offset == offset else { return .nothing }
        guard !chunk.content.isEmpty, UInt64(chunk.content.count) <= reference.byteCount - offset else {
            throw fail("the coordinator does not have the prompts' embeddings that it announced")
        }
        do {
            try handle.write(contentsOf: chunk.content)
        } catch {
            throw fail("\(path): cannot be written; the embeddings take \(reference.byteCount) bytes")
        }
        hash.update(chunk.content)
        offset += UInt64(chunk.content.count)
        guard offset == reference.byteCount else { return .wantsMore }
        guard Data(hash.finish()) == reference.sha256 else {
            throw fail("the prompts' embeddings were damaged on their way")
        }
        try? handle.close()
        return .finished(path: path)
    }

    /// Removes what has arrived so far.
    func discard() {
        try? handle.close()
        try? FileManager.default.removeItem(atPath: path)
    }

    private func fail(_ line: String) -> WorkerError {
        discard()
        return .embeddings(line)
    }
}
