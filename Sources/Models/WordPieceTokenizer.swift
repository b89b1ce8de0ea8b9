import Foundation

/// The tokenizer of BERT: clean-up, words, and the longest known pieces of each word.
///
/// Equals `BertTokenizer` of transformers 4 with `do_lower_case`, as BLIP sets it up: with the tokens [DEC] and [ENC]
/// added to the vocabulary.
public struct WordPieceTokenizer: Sendable {
    /// Longer words are unknown as a whole.
    private static let longestWord = 100

    /// By UTF-8: texts that look alike are different tokens.
    private let idOfPiece: [[UInt8]: Int32]
    private let startID, endID, unknownID: Int32
    private let specialTokens: SpecialTokens

    /// Reads a vocabulary, a token a line.
    ///
    /// - Parameters:
    ///   - path: `vocab.txt`.
    ///   - embeddingCount: The ids that the text encoder has embeddings for.
    /// - Throws: ``ModelsError/missingFile(path:expected:)``, ``ModelsError/tokenizer(path:reason:)``.
    public init(path: String, embeddingCount: Int) throws {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ModelsError.missingFile(path: path, expected: "BERT's vocabulary, a token a line")
        }
        var ids: [[UInt8]: Int32] = [:]
        var lineCount = 0
        var lines = Array(data).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        if lines.last?.isEmpty == true { lines.removeLast() }
        for line in lines {
            ids[Array(line.last == UInt8(ascii: "\r") ? line.dropLast() : line)] = Int32(lineCount)
            lineCount += 1
        }
        func id(_ token: String) throws -> Int32 {
            guard let id = ids[Array(token.utf8)] else {
                throw ModelsError.tokenizer(path: path, reason: "the token \"\(token)\" is missing")
            }
            return id
        }
        guard lineCount <= embeddingCount else {
            throw ModelsError.tokenizer(
                path: path, reason: "it has \(lineCount) tokens; expected at most vocab_size = \(embeddingCount)")
        }
        (startID, endID, unknownID) = (try id("[CLS]"), try id("[SEP]"), try id("[UNK]"))
        _ = try id("[PAD]")
        for token in ["[DEC]", "[ENC]"] where ids[Array(token.utf8)] == nil && lineCount < embeddingCount {
            ids[Array(token.utf8)] = Int32(lineCount)
            lineCount += 1
        }
        idOfPiece = ids
        specialTokens = SpecialTokens(
            ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "[ENC]"].compactMap { token in
                ids[Array(token.utf8)].map { SpecialTokens.Token(text: token, id: $0) }
            })
    }

    /// The ids of a text between [CLS] and [SEP], without padding.
    ///
    /// - Parameters:
    ///   - text: Any text.
    ///   - maxLength: The most ids, at least 2; of longer texts the first are kept.
    /// - Returns: At least two ids.
    public func encode(_ text: String, maxLength: Int) -> [Int32] {
        var ids: [Int32] = []
        for part in specialTokens.split(text) {
            switch part {
            case .token(let id): ids.append(id)
            case .text(let text): for word in BERTWords.split(text) { append(word, to: &ids) }
            }
        }
        return [startID] + ids.prefix(max(0, maxLength - 2)) + [endID]
    }

    /// The longest known piece from the left, again and again; a word with a part that is none is unknown.
    private func append(_ word: [Unicode.Scalar], to ids: inout [Int32]) {
        guard word.count <= Self.longestWord else { return ids.append(unknownID) }
        let prefix: [UInt8] = [UInt8(ascii: "#"), UInt8(ascii: "#")]
        var pieces: [Int32] = []
        var start = 0
        while start < word.count {
            var piece = start > 0 ? prefix : []
            var match: (end: Int, id: Int32)?
            for end in start..<word.count {
                piece += UTF8.encode(word[end]).map(Array.init) ?? []
                if let id = idOfPiece[piece] { match = (end + 1, id) }
            }
            guard let match else { return ids.append(unknownID) }
            pieces.append(match.id)
            start = match.end
        }
        ids += pieces
    }
}
