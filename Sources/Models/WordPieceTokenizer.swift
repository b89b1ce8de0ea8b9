import Basics
import Foundation

/// BERT's tokenizer: normalisation, words, and greedy longest-match pieces (WordPiece).
///
/// Gives the same ids as `BertTokenizer` of transformers 4 with `do_lower_case`, with BLIP's additional tokens [DEC] and
/// [ENC].
public struct WordPieceTokenizer: Sendable {
    /// Words with more characters are unknown.
    private static let maxWordLength = 100

    /// Keyed by UTF-8, because `String` equates canonically equivalent texts.
    private let idOfPiece: [[UInt8]: Int32]
    private let startID, endID, unknownID: Int32
    private let specialTokens: SpecialTokens

    /// Reads a vocabulary with one token per line.
    ///
    /// - Parameters:
    ///   - path: `vocab.txt`.
    ///   - embeddingCount: The number of embeddings of the text encoder.
    /// - Throws: ``ModelsError/missingFile(path:expected:)``, ``ModelsError/tokenizer(path:reason:)``,
    ///   ``ModelsError/incompatibleParts(path:reason:)`` for a vocabulary larger than the embeddings.
    public init(path: String, embeddingCount: Int) throws {
        guard FileContents.exists(path) else {
            throw FileContents.missing(path, expected: "BERT's vocabulary with one token per line")
        }
        var ids: [[UInt8]: Int32] = [:]
        var lineCount = 0
        var lines = try FileContents.read(path).split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
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
            throw ModelsError.incompatibleParts(
                path: path, reason: "has \(lineCount) tokens; expected at most vocab_size = \(embeddingCount)")
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
    ///   - maxLength: The maximum number of ids, at least 2; longer texts are truncated before [SEP].
    /// - Returns: Between 2 and `maxLength` ids.
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

    /// Appends the greedy longest-match pieces of a word, or the unknown token if a part matches no piece.
    private func append(_ word: [Unicode.Scalar], to ids: inout [Int32]) {
        guard word.count <= Self.maxWordLength else { return ids.append(unknownID) }
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

/// BERT's normalisation and pre-tokenisation: `BasicTokenizer` of transformers 4 with `do_lower_case`.
private enum BERTWords {
    /// The words of a text, lower-cased and without accents; each punctuation mark and each CJK character is a word.
    static func split(_ text: String) -> [[Unicode.Scalar]] {
        // The original lower-cases before it searches for special tokens, character by character.
        var cleaned = String.UnicodeScalarView()
        for scalar in text.unicodeScalars.lazy.flatMap({ $0.properties.lowercaseMapping.unicodeScalars }) {
            if scalar.value == 0 || scalar.value == 0xFFFD || isControl(scalar) { continue }
            if isBlank(scalar) {
                cleaned.append(" ")
            } else if isCJK(scalar) {
                cleaned.append(contentsOf: [" ", scalar, " "])
            } else {
                cleaned.append(scalar)
            }
        }
        var words: [[Unicode.Scalar]] = []
        for word in String(cleaned).precomposedStringWithCanonicalMapping.unicodeScalars.split(whereSeparator: isSpace)
        {
            let lowered = word.flatMap { Array($0.properties.lowercaseMapping.unicodeScalars) }
            var view = String.UnicodeScalarView()
            view.append(contentsOf: lowered)
            var current: [Unicode.Scalar] = []
            func finish() {
                if !current.isEmpty { words.append(current) }
                current = []
            }
            for scalar in String(view).decomposedStringWithCanonicalMapping.unicodeScalars
            where scalar.properties.generalCategory != .nonspacingMark {
                if isPunctuation(scalar) {
                    finish()
                    words.append([scalar])
                } else if isSpace(scalar) {
                    finish()
                } else {
                    current.append(scalar)
                }
            }
            finish()
        }
        return words
    }

    private static func isBlank(_ scalar: Unicode.Scalar) -> Bool {
        [" ", "\t", "\n", "\r"].contains(scalar) || scalar.properties.generalCategory == .spaceSeparator
    }

    /// Python's `str.split` separators; the ASCII separators are control characters and have been removed.
    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.isWhitespace }

    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        if ["\t", "\n", "\r"].contains(scalar) { return false }
        return switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned: true
        default: false
        }
    }

    private static func isPunctuation(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        // Including characters that Unicode classifies as symbols, such as $ and ^.
        case 33...47, 58...64, 91...96, 123...126: return true
        default: break
        }
        return switch scalar.properties.generalCategory {
        case .connectorPunctuation, .dashPunctuation, .openPunctuation, .closePunctuation, .initialPunctuation,
            .finalPunctuation, .otherPunctuation:
            true
        default: false
        }
    }

    private static func isCJK(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x4E00...0x9FFF, 0x3400...0x4DBF, 0x20000...0x2A6DF, 0x2A700...0x2B73F, 0x2B740...0x2B81F,
            0x2B820...0x2CEAF, 0xF900...0xFAFF, 0x2F800...0x2FA1F:
            true
        default: false
        }
    }
}
