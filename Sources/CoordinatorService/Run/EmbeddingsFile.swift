import Basics
import Foundation
import JSON
import Messages
import ModelConfiguration
import Schedules

/// A file of prompt embeddings that the coordinator hands out to its workers.
///
/// The coordinator reads what the file says of itself; the embeddings mean nothing to it.
struct EmbeddingsFile: Sendable {
    /// Bytes of a file that one message carries.
    private static let chunkBytes = 4 << 20
    private static let longestHeader: UInt64 = 100_000_000

    /// The file.
    let path: String
    /// How workers ask for it.
    let reference: BlobReference
    private let prompts: Set<[UInt8]>
    private let negativePrompt: String
    private let kind: String
    private let textEncoder: String
    private let handle: FileHandle

    /// Opens a file that `ecad embed` wrote and computes its hash.
    ///
    /// - Throws: ``CoordinatorError``.
    init(path: String) throws {
        do {
            handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            var reference = BlobReference()
            reference.sha256 = Data(try SHA256.digest(ofFile: path))
            reference.byteCount = try handle.seekToEnd()
            self.reference = reference
        } catch {
            throw CoordinatorError.unreadableFile(path: path, what: "the prompts' embeddings")
        }
        let metadata = try? Self.metadata(handle, path)
        guard let metadata, metadata["format"]?.string == "ecad-embeddings/1",
            let list = metadata["prompts"]?.string, let negativePrompt = metadata["negative_prompt"]?.string,
            let kind = metadata["kind"]?.string, let textEncoder = metadata["text_encoder"]?.string,
            let prompts = try? JSONDecoder().decode([String].self, from: Data(list.utf8))
        else {
            throw CoordinatorError.embeddings("\(path): not a file of prompt embeddings, as ecad embed writes it")
        }
        self.path = path
        self.prompts = Set(prompts.map { Array($0.utf8) })
        self.negativePrompt = negativePrompt
        self.kind = kind
        self.textEncoder = textEncoder
    }

    /// The `__metadata__` of a safetensors file: eight bytes with the length of a JSON header, the header, the data.
    private static func metadata(_ handle: FileHandle, _ path: String) throws -> JSONObject? {
        try handle.seek(toOffset: 0)
        let length = (try handle.read(upToCount: 8) ?? Data()).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        guard length <= longestHeader else { return nil }
        let header = try handle.read(upToCount: Int(length)) ?? Data()
        return try JSONValue(parsing: header, file: path).object?["__metadata__"]?.object
    }

    /// Checks that the embeddings are those of a run: its prompts, its model.
    ///
    /// - Throws: ``CoordinatorError/embeddings(_:)``.
    func check(prompts: [String], negativePrompt: String, model: ModelDescription, folder: String) throws {
        func fault(_ line: String) -> CoordinatorError {
            .embeddings("\(path): \(line); write it again with ecad embed")
        }
        if let missing = prompts.first(where: { !self.prompts.contains(Array($0.utf8)) }) {
            throw fault("has no embedding of the prompt \"\(missing.prefix(60))\"")
        }
        guard Array(negativePrompt.utf8) == Array(self.negativePrompt.utf8) else {
            throw fault("made for the negative prompt \"\(self.negativePrompt)\", not \"\(negativePrompt)\"")
        }
        var expected = "pixart"
        if case .flux = model.architecture.transformer { expected = "flux" }
        guard kind == expected else { throw fault("made for \(kind), but \(folder) is \(expected)") }
        guard ModelFingerprint.hasText(folder: folder) else { return }
        let own = try? ModelFingerprint.compute(folder: folder, part: .text)
        guard own == textEncoder else { throw fault("written by other text encoders than those of \(folder)") }
    }

    /// A part of the file; empty if another file is asked for, or if this one cannot be read any more.
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
    /// The answer to a request for what the coordinator does not have.
    static func none(_ request: BlobRequest) -> BlobChunk {
        var chunk = BlobChunk()
        chunk.sha256 = request.sha256
        chunk.offset = request.offset
        return chunk
    }
}
