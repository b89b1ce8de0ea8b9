import Basics
import Foundation
import ModelConfiguration

/// CLIP's tokenizer: normalisation, words, byte-pair encoding, start and end tokens, padding to a fixed length.
///
/// Gives the same ids as `CLIPTokenizer(..., padding="max_length", truncation=True)` of transformers 5.
public struct CLIPTokenizer: Sendable {
    /// The maximum number of tokens, including start and end (`model_max_length`).
    public let maxLength: Int

    private let path: String
    private let encoding: BytePairEncoding
    private let largestID: Int32
    private let startID, endID, paddingID: Int32
    private let specialTokens: SpecialTokens

    /// Opens a tokenizer directory with `vocab.json` and `merges.txt`, or with `tokenizer.json`.
    ///
    /// - Throws: ``ModelsError/missingFile(path:expected:)``, ``ModelsError/tokenizer(path:reason:)``.
    public init(folder: String) throws {
        let files = try CLIPTokenizerFiles(folder: folder)
        func id(_ token: String) throws -> Int32 {
            guard let id = files.vocabulary[token] else {
                throw ModelsError.tokenizer(path: files.path, reason: "the token \"\(token)\" is missing")
            }
            return id
        }
        path = files.path
        startID = try id(files.startToken)
        endID = try id(files.endToken)
        paddingID = try id(files.paddingToken)
        let unknownID = try id(files.unknownToken)
        encoding = BytePairEncoding(vocabulary: files.vocabulary, merges: files.merges, unknownID: unknownID)
        largestID = files.vocabulary.values.max() ?? 0
        maxLength = files.maxLength
        let texts = Set([files.startToken, files.endToken, files.paddingToken, files.unknownToken])
        specialTokens = SpecialTokens(try texts.map { SpecialTokens.Token(text: $0, id: try id($0)) })
    }

    /// Checks that every token has an embedding in a text encoder.
    ///
    /// - Throws: ``ModelsError/incompatibleParts(path:reason:)`` with the tokenizer's file.
    func validate(vocabularySize: Int) throws {
        guard largestID < vocabularySize else {
            throw ModelsError.incompatibleParts(
                path: path,
                reason: "has token ids up to \(largestID); expected at most \(vocabularySize - 1), because the text "
                    + "encoder's vocab_size is \(vocabularySize)")
        }
    }

    /// Encodes a text.
    ///
    /// - Parameters:
    ///   - text: The prompt.
    ///   - maxLength: The padded length, at least 2, or nil for ``maxLength``. Longer texts are truncated before the end token.
    /// - Returns: `maxLength` ids and the number of those that are not padding.
    public func encode(_ text: String, maxLength: Int? = nil) -> TokenizedText {
        let length = max(2, maxLength ?? self.maxLength)
        let kept = Array(self.ids(of: text).prefix(length - 2))
        let ids = ([startID] + kept + [endID]).map(Int64.init)
        return TokenizedText(
            ids: ids + Array(repeating: Int64(paddingID), count: length - ids.count), tokenCount: ids.count)
    }

    /// The number of ids of a text without truncation, with start and end tokens.
    func tokenCount(of text: String) -> Int { ids(of: text).count + 2 }

    /// The ids without start and end tokens; special tokens in the text are recognised verbatim.
    private func ids(of text: String) -> [Int32] {
        specialTokens.split(text).flatMap { part in
            switch part {
            case .token(let id): [id]
            case .text(let text): CLIPWords.split(Array(text.unicodeScalars)[...]).flatMap(encoding.encode)
            }
        }
    }
}

// MARK: - Files

/// The contents of a CLIP tokenizer's files.
private struct CLIPTokenizerFiles {
    /// The vocabulary file.
    let path: String
    let vocabulary: [String: Int32]
    let merges: [(String, String)]
    let startToken, endToken, unknownToken, paddingToken: String
    let maxLength: Int

    init(folder: String) throws {
        let vocabularyPath = "\(folder)/vocab.json"
        if FileManager.default.fileExists(atPath: vocabularyPath) {
            path = vocabularyPath
            vocabulary = try Self.decode([String: Int32].self, from: vocabularyPath)
            merges = try Self.mergeLines(of: "\(folder)/merges.txt")
        } else {
            path = "\(folder)/tokenizer.json"
            guard FileManager.default.fileExists(atPath: path) else {
                throw ModelsError.missingFile(
                    path: vocabularyPath, expected: "CLIP's vocabulary, or tokenizer.json in the same directory")
            }
            let file = try Self.decode(TokenizerJSON.self, from: path)
            guard file.model.type ?? "BPE" == "BPE" else {
                throw ModelsError.tokenizer(path: path, reason: "the model type is \(file.model.type ?? ""), not BPE")
            }
            let added = (file.added_tokens ?? []).map { ($0.content, $0.id) }
            vocabulary = file.model.vocab.merging(added) { current, _ in current }
            merges = file.model.merges.map { ($0.first, $0.second) }
        }
        guard vocabulary.values.allSatisfy({ $0 >= 0 }) else {
            throw ModelsError.tokenizer(path: path, reason: "a token id is negative")
        }
        // Newer versions write special tokens to tokenizer_config.json, older ones to a separate file.
        let settings = try ["tokenizer_config.json", "special_tokens_map.json"]
            .map { "\(folder)/\($0)" }.filter(FileManager.default.fileExists(atPath:)).map {
                try Configuration(path: $0)
            }
        func token(_ key: String, default fallback: String) throws -> String {
            try settings.first { $0.has(key) }?.token(key) ?? fallback
        }
        startToken = try token("bos_token", default: "<|startoftext|>")
        endToken = try token("eos_token", default: "<|endoftext|>")
        unknownToken = try token("unk_token", default: "<|endoftext|>")
        paddingToken = try token("pad_token", default: "<|endoftext|>")
        // transformers writes 1e30 for an unknown length.
        let length = try settings.first { $0.has("model_max_length") }?.double("model_max_length") ?? 77
        maxLength = (2...4096).contains(length) ? Int(length) : 77
    }

    private struct TokenizerJSON: Decodable {
        struct Model: Decodable {
            let type: String?
            let vocab: [String: Int32]
            let merges: [MergePair]
        }

        struct AddedToken: Decodable {
            let id: Int32
            let content: String
        }

        let model: Model
        // swift-format-ignore: AlwaysUseLowerCamelCase
        let added_tokens: [AddedToken]?
    }

    /// A merge: `["a", "b"]` in newer files, `"a b"` in older ones.
    private struct MergePair: Decodable {
        let first, second: String

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            let line = try? container.decode(String.self)
            let parts = try line.map { $0.split(separator: " ").map(String.init) } ?? container.decode([String].self)
            guard parts.count == 2 else {
                throw DecodingError.dataCorruptedError(in: container, debugDescription: "a merge must be a pair")
            }
            (first, second) = (parts[0], parts[1])
        }
    }

    private static func decode<Value: Decodable>(_ type: Value.Type, from path: String) throws -> Value {
        let bytes = try FileContents.read(path)
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw ModelsError.tokenizer(path: path, reason: "not a JSON file with a byte-pair vocabulary")
        }
    }

    private static func mergeLines(of path: String) throws -> [(String, String)] {
        guard FileContents.exists(path) else {
            throw FileContents.missing(path, expected: "CLIP's merges, in the directory of vocab.json")
        }
        let lines = String(decoding: try FileContents.read(path), as: UTF8.self).split(whereSeparator: {
            $0 == "\n" || $0 == "\r\n"
        })
        return try lines.enumerated().compactMap { index, line in
            if index == 0 && line.hasPrefix("#version") { return nil }
            let parts = line.split(separator: " ")
            guard parts.count == 2 else {
                throw ModelsError.tokenizer(path: path, reason: "line \(index + 1) is not a pair of tokens")
            }
            return (String(parts[0]), String(parts[1]))
        }
    }
}

// MARK: - Words

/// CLIP's text normalisation and pre-tokenisation.
private enum CLIPWords {
    /// Single words in the original's pattern; its byte-level step then splits them at the letters.
    private static let markers = ["startoftext", "endoftext"].map { Array("<|\($0)|>".unicodeScalars) }
    private static let contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"].map { Array($0.unicodeScalars) }

    /// The words of a text after NFC and lower-casing.
    ///
    /// A word is a contraction, a run of letters, a single digit, or a run of other characters except white space.
    static func split(_ text: ArraySlice<Unicode.Scalar>) -> [String] {
        var composed = String.UnicodeScalarView()
        composed.append(contentsOf: text)
        // Scalar by scalar, as in the original: no final sigma.
        let scalars = String(composed).precomposedStringWithCanonicalMapping.unicodeScalars
            .flatMap { Array($0.properties.lowercaseMapping.unicodeScalars) }
        var words: [String] = []
        var position = 0
        func take(_ count: Int) {
            var word = String.UnicodeScalarView()
            word.append(contentsOf: scalars[position..<(position + count)])
            words.append(String(word))
            position += count
        }
        func run(_ kind: Kind) -> Int { scalars[position...].prefix { Kind($0) == kind }.count }
        while position < scalars.count {
            if let marker = markers.first(where: { scalars[position...].starts(with: $0) }) {
                for count in [2, marker.count - 4, 2] { take(count) }
            } else if let contraction = contractions.first(where: { scalars[position...].starts(with: $0) }) {
                take(contraction.count)
            } else {
                let kind = Kind(scalars[position])
                switch kind {
                case .space: position += 1
                case .number: take(1)
                case .letter, .other: take(run(kind))
                }
            }
        }
        return words
    }

    private enum Kind {
        case space, letter, number, other

        init(_ scalar: Unicode.Scalar) {
            switch scalar.properties.generalCategory {
            case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: self = .letter
            case .decimalNumber, .letterNumber, .otherNumber: self = .number
            default: self = scalar.properties.isWhitespace ? .space : .other
            }
        }
    }
}

// MARK: - Byte-pair encoding

/// Byte-level byte-pair encoding (arXiv 1508.07909, as in GPT-2) with CLIP's end-of-word marker.
private struct BytePairEncoding: Sendable {
    private struct Pair: Hashable {
        let first, second: Int32
    }

    private struct Merge {
        let rank: Int
        let result: Int32
    }

    private static let wordEnd = "</w>"

    /// The id of each byte inside a word and at its end.
    private let byteIDs, finalByteIDs: [Int32]
    private let merges: [Pair: Merge]

    /// - Parameters:
    ///   - vocabulary: The id of every token, spelt in GPT-2's byte alphabet.
    ///   - merges: Pairs of tokens to merge, by descending priority; pairs outside the vocabulary are ignored.
    ///   - unknownID: The id of bytes outside the vocabulary.
    init(vocabulary: [String: Int32], merges: [(String, String)], unknownID: Int32) {
        byteIDs = Self.alphabet.map { vocabulary[String($0)] ?? unknownID }
        finalByteIDs = Self.alphabet.map { vocabulary[String($0) + Self.wordEnd] ?? unknownID }
        var table: [Pair: Merge] = [:]
        for (rank, (first, second)) in merges.enumerated() {
            guard let left = vocabulary[first], let right = vocabulary[second], let result = vocabulary[first + second]
            else { continue }
            let pair = Pair(first: left, second: right)
            if table[pair] == nil { table[pair] = Merge(rank: rank, result: result) }
        }
        self.merges = table
    }

    /// The token ids of one word.
    func encode(_ word: String) -> [Int32] {
        var ids = word.utf8.map { byteIDs[Int($0)] }
        guard let last = word.utf8.last else { return [] }
        ids[ids.count - 1] = finalByteIDs[Int(last)]
        while let (position, merge) = bestMerge(in: ids) {
            ids.replaceSubrange(position...(position + 1), with: CollectionOfOne(merge.result))
        }
        return ids
    }

    private func bestMerge(in ids: [Int32]) -> (Int, Merge)? {
        var best: (Int, Merge)?
        for position in ids.indices.dropLast() {
            guard let merge = merges[Pair(first: ids[position], second: ids[position + 1])] else { continue }
            if merge.rank < best?.1.rank ?? .max { best = (position, merge) }
        }
        return best
    }

    /// GPT-2's character for each byte: itself if printable, else one from U+0100 onwards.
    private static let alphabet: [Unicode.Scalar] = {
        let printable = [0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF].flatMap { Array($0) }
        var next = 0x100
        return (0...0xFF).map { byte in
            if printable.contains(byte) { return Unicode.Scalar(UInt8(byte)) }
            defer { next += 1 }
            return Unicode.Scalar(UInt16(next)) ?? " "
        }
    }()
}
