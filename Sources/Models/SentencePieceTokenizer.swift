import CSentencePiece
import Foundation

/// A T5 tokenizer: SentencePiece pieces, the end token, padding to a fixed length.
///
/// Equals `T5Tokenizer(..., padding="max_length", truncation=True)` of transformers.
public final class SentencePieceTokenizer: @unchecked Sendable {
    // libsentencepiece's processor is immutable once loaded, and its Encode is const: sharing it between threads is
    // safe.
    private let processor: OpaquePointer
    private let path: String
    private let paddingID: Int64 = 0
    private let endID: Int64 = 1

    /// Opens `spiece.model` in a tokenizer folder.
    ///
    /// - Throws: ``ModelsError/missingFile(path:expected:)``, ``ModelsError/tokenizer(path:reason:)``.
    public init(folder: String) throws {
        let path = "\(folder)/spiece.model"
        guard FileManager.default.fileExists(atPath: path) else {
            throw ModelsError.missingFile(path: path, expected: "the tokenizer's SentencePiece model")
        }
        var reason = [CChar](repeating: 0, count: 512)
        guard let opened = csp_open(path, &reason, reason.count) else {
            let text = String(decoding: reason.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            // The library names the line of its own source that failed to parse the file.
            let isUnparsed = text.contains("ParseFromArray")
            throw ModelsError.tokenizer(
                path: path,
                reason: "not a SentencePiece model: "
                    + (isUnparsed
                        ? "it is cut, damaged or of another format" : text.replacingOccurrences(of: "\n", with: " ")))
        }
        processor = opened
        self.path = path
    }

    deinit {
        csp_close(processor)
    }

    /// The number of pieces; ids are smaller.
    public var pieceCount: Int { Int(csp_piece_count(processor)) }

    /// Checks that every piece has an embedding.
    ///
    /// - Throws: ``ModelsError/invalidArgument(_:)`` naming the tokenizer's file.
    func checkPieces(fit vocabulary: Int) throws {
        guard pieceCount <= vocabulary else {
            throw ModelsError.invalidArgument(
                "\(path): has \(pieceCount) pieces; expected at most \(vocabulary), the text encoder's vocab_size")
        }
    }

    /// Token ids and attention mask of a text, both of length `maxLength`.
    ///
    /// - Parameters:
    ///   - text: The prompt as the pipeline passes it on.
    ///   - maxLength: The padded length; longer texts are cut so that the end token is the last.
    /// - Returns: The ids, and 1 for each token that is not padding (always a prefix).
    public func encode(_ text: String, maxLength: Int) -> TokenizedText {
        let kept = pieces(of: text).prefix(max(0, maxLength - 1)).map(Int64.init)
        let ids = kept + [endID]
        return TokenizedText(
            ids: ids + Array(repeating: paddingID, count: max(0, maxLength - ids.count)), tokenCount: ids.count)
    }

    private func pieces(of text: String) -> [Int32] {
        var utf8 = text
        return utf8.withUTF8 { bytes in
            // Normalisation may lengthen a text, so the first guess can be too small; the call then says what is
            // needed.
            var capacity = bytes.count + 2
            while true {
                var ids = [Int32](repeating: 0, count: capacity)
                let start = UnsafeRawPointer(bytes.baseAddress)?.assumingMemoryBound(to: CChar.self)
                let count = Int(csp_encode(processor, start, bytes.count, &ids, capacity))
                if count <= capacity { return Array(ids.prefix(max(0, count))) }
                capacity = count
            }
        }
    }
}

/// A prompt as token ids, padded.
public struct TokenizedText: Sendable, Equatable {
    /// Ids of all positions, padding included.
    public let ids: [Int64]
    /// The number of positions that are not padding; they come first.
    public let tokenCount: Int
}
