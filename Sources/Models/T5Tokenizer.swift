import Basics
import Foundation
import ModelConfiguration

/// T5's tokenizer: normalisation, words, unigram segmentation, the end token, padding to a fixed length.
///
/// Gives the same ids as `T5Tokenizer(..., padding="max_length", truncation=True)` of transformers 5, which reads
/// `tokenizer.json` or converts a SentencePiece model.
public struct T5Tokenizer: Sendable {
    private let path: String
    private let pieceCount: Int
    private let characterMap: CharacterMap?
    private let model: UnigramModel
    private let specialTokens: SpecialTokens
    private let paddingID, endID: Int32

    /// Opens a tokenizer directory with `tokenizer.json`, which takes precedence as in transformers, or `spiece.model`.
    ///
    /// - Throws: ``ModelsError/missingFile(path:expected:)``, ``ModelsError/tokenizer(path:reason:)``.
    public init(folder: String) throws {
        let files = try T5TokenizerFiles(folder: folder)
        let model = UnigramModel(files.pieces, unknownID: files.unknownID)
        func id(_ token: String) throws -> Int32 {
            guard let id = model.id(of: token.utf8) else {
                throw ModelsError.tokenizer(path: files.path, reason: "the token \"\(token)\" is missing")
            }
            return id
        }
        path = files.path
        pieceCount = files.pieces.count - files.sentinelCount
        characterMap = files.characterMap
        specialTokens = SpecialTokens(files.specialTokens)
        endID = try id("</s>")
        paddingID = try id("<pad>")
        self.model = model
    }

    /// Checks that every piece has an embedding in a text encoder.
    ///
    /// The sentinels `<extra_id_0>` etc. need none, because prompts do not contain them.
    ///
    /// - Throws: ``ModelsError/incompatibleParts(path:reason:)`` with the tokenizer's file.
    func validate(vocabularySize: Int) throws {
        guard pieceCount <= vocabularySize else {
            throw ModelsError.incompatibleParts(
                path: path,
                reason: "has \(pieceCount) pieces; expected at most \(vocabularySize), the text encoder's vocab_size")
        }
    }

    /// Encodes a text.
    ///
    /// - Parameters:
    ///   - text: The prompt, after the pipeline's own cleaning.
    ///   - maxLength: The padded length; longer texts are truncated before the end token.
    /// - Returns: `maxLength` ids and the number of those that are not padding.
    public func encode(_ text: String, maxLength: Int) -> TokenizedText {
        let kept = ids(of: text).prefix(max(0, maxLength - 1))
        let ids = kept.map(Int64.init) + [Int64(endID)]
        return TokenizedText(
            ids: ids + Array(repeating: Int64(paddingID), count: max(0, maxLength - ids.count)), tokenCount: ids.count)
    }

    /// The ids of a text without truncation or end token.
    func ids(of text: String) -> [Int32] {
        specialTokens.split(text).flatMap { part in
            switch part {
            case .token(let id): [id]
            case .text(let text): pieces(of: characterMap?.normalize(text) ?? text).flatMap(model.encode)
            }
        }
    }

    /// The words of a normalised text, each preceded by U+2581 in place of the space before it; U+2581 in the text itself
    /// also starts a new word.
    private func pieces(of text: String) -> [[UInt8]] {
        let mark: Unicode.Scalar = "\u{2581}"
        return text.unicodeScalars.split(whereSeparator: \.properties.isWhitespace).flatMap { word in
            var pieces: [String.UnicodeScalarView] = []
            for scalar in word {
                if scalar == mark || pieces.isEmpty { pieces.append(String(mark).unicodeScalars) }
                if scalar != mark { pieces[pieces.count - 1].append(scalar) }
            }
            return pieces.map { Array(String($0).utf8) }
        }
    }
}

/// A prompt as padded token ids.
public struct TokenizedText: Sendable, Equatable {
    /// The ids, including padding.
    public let ids: [Int64]
    /// The number of tokens before the padding.
    public let tokenCount: Int
}

// MARK: - Files

/// The contents of a T5 tokenizer's files.
private struct T5TokenizerFiles {
    /// The vocabulary file.
    let path: String
    let pieces: [UnigramModel.Piece]
    /// The number of sentinel pieces, which mark masked spans in T5's training texts.
    let sentinelCount: Int
    let unknownID: Int32
    let characterMap: CharacterMap?
    let specialTokens: [SpecialTokens.Token]

    init(folder: String) throws {
        let json = "\(folder)/tokenizer.json"
        let model = "\(folder)/spiece.model"
        if FileManager.default.fileExists(atPath: json) {
            try self.init(tokenizerJSON: json)
        } else if FileManager.default.fileExists(atPath: model) {
            try self.init(sentencePieceModel: model, sentinels: Self.sentinelCount(in: folder))
        } else {
            throw ModelsError.missingFile(
                path: folder, expected: "tokenizer.json or a SentencePiece model spiece.model in this directory")
        }
    }

    // MARK: - tokenizer.json

    private init(tokenizerJSON path: String) throws {
        func fault(_ reason: String) -> ModelsError { .tokenizer(path: path, reason: reason) }
        let file: TokenizerJSON
        let bytes = try FileContents.read(path)
        do {
            file = try JSONDecoder().decode(TokenizerJSON.self, from: Data(bytes))
        } catch {
            throw fault("not a JSON file with a unigram vocabulary, as T5's tokenizers have")
        }
        guard file.model.type == "Unigram" else { throw fault("the model type is \(file.model.type), not Unigram") }
        guard file.model.byte_fallback != true else { throw fault("byte_fallback is true; expected false") }
        guard let unknownID = file.model.unk_id, file.model.vocab.indices.contains(unknownID) else {
            throw fault("unk_id is not one of the \(file.model.vocab.count) pieces")
        }
        let tokens = file.added_tokens ?? []
        if let token = tokens.first(where: { $0.single_word == true }) {
            throw fault("the added token \"\(token.content)\" has single_word set, which is not supported")
        }
        self.path = path
        pieces = file.model.vocab.map { UnigramModel.Piece(text: Array($0.text.utf8), score: $0.score) }
        sentinelCount = file.model.vocab.count { $0.text.hasPrefix("<extra_id_") }
        self.unknownID = Int32(unknownID)
        specialTokens = tokens.map {
            SpecialTokens.Token(
                text: $0.content, id: $0.id, stripsLeft: $0.lstrip ?? false, stripsRight: $0.rstrip ?? false)
        }
        guard let compiled = file.normalizer?.characterMap else {
            characterMap = nil
            return
        }
        guard let map = Data(base64Encoded: compiled).flatMap({ CharacterMap(Array($0)) }) else {
            throw fault("precompiled_charsmap is corrupt")
        }
        characterMap = map
    }

    // swift-format-ignore: AlwaysUseLowerCamelCase
    private struct TokenizerJSON: Decodable {
        struct Model: Decodable {
            let type: String
            let vocab: [ScoredPiece]
            let unk_id: Int?
            let byte_fallback: Bool?
        }

        struct AddedToken: Decodable {
            let id: Int32
            let content: String
            let single_word, lstrip, rstrip: Bool?
        }

        let model: Model
        let added_tokens: [AddedToken]?
        let normalizer: Normalizer?
    }

    /// T5's normalizer is the character map alone or a sequence with others, which splitting at white space makes redundant.
    private struct Normalizer: Decodable {
        let characterMap: String?

        private enum Key: String, CodingKey {
            case normalizers
            case precompiledCharsmap = "precompiled_charsmap"
        }

        init(from decoder: any Decoder) throws {
            let container = try decoder.container(keyedBy: Key.self)
            let parts = try container.decodeIfPresent([Normalizer].self, forKey: .normalizers) ?? []
            characterMap =
                try container.decodeIfPresent(String.self, forKey: .precompiledCharsmap)
                ?? parts.lazy.compactMap(\.characterMap).first
        }
    }

    /// A piece and its score: `["text", -3.5]`.
    private struct ScoredPiece: Decodable {
        let text: String
        let score: Double

        init(from decoder: any Decoder) throws {
            var container = try decoder.unkeyedContainer()
            text = try container.decode(String.self)
            score = try container.decode(Double.self)
        }
    }

    // MARK: - spiece.model

    private init(sentencePieceModel path: String, sentinels: Int) throws {
        let model = try SentencePieceModel(path: path)
        guard let unknown = model.pieces.firstIndex(where: { $0.kind == .unknown }) else {
            throw ModelsError.tokenizer(path: path, reason: "there is no piece for unknown text")
        }
        self.path = path
        // As in transformers, sentinels follow all other pieces in descending order.
        let extra = (0..<sentinels).reversed().map { "<extra_id_\($0)>" }
        let scored = model.pieces.map { UnigramModel.Piece(text: Array($0.text.utf8), score: Double($0.score)) }
        pieces = scored + extra.map { UnigramModel.Piece(text: Array($0.utf8), score: 0) }
        sentinelCount = sentinels
        unknownID = Int32(unknown)
        characterMap = model.characterMap
        let special = model.pieces.enumerated().filter { $0.element.kind != .normal }
            .map { SpecialTokens.Token(text: $0.element.text, id: Int32($0.offset)) }
        specialTokens =
            special
            + extra.enumerated().map {
                SpecialTokens.Token(text: $0.element, id: Int32(model.pieces.count + $0.offset))
            }
    }

    private static func sentinelCount(in folder: String) throws -> Int {
        let path = "\(folder)/tokenizer_config.json"
        guard FileManager.default.fileExists(atPath: path) else { return 100 }
        return try Configuration(path: path).count("extra_ids", default: 100, in: 0...100_000)
    }
}
