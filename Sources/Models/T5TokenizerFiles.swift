import Foundation
import ModelConfiguration

/// What the files of a T5 tokenizer say: those that transformers writes today, or SentencePiece's alone.
struct T5TokenizerFiles {
    /// The file that holds the pieces.
    let path: String
    let pieces: [UnigramModel.Piece]
    /// Of the pieces, those that mark gaps in T5's training texts.
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
                path: folder, expected: "tokenizer.json or a SentencePiece model spiece.model in this folder")
        }
    }

    // MARK: - tokenizer.json

    private init(tokenizerJSON path: String) throws {
        func fault(_ reason: String) -> ModelsError { .tokenizer(path: path, reason: reason) }
        let file: WholeTokenizer
        do {
            file = try JSONDecoder().decode(
                WholeTokenizer.self, from: FileManager.default.contents(atPath: path) ?? Data())
        } catch {
            throw fault("not a JSON file of a unigram vocabulary, as T5's tokenizers have it")
        }
        guard file.model.type == "Unigram" else { throw fault("its model is \(file.model.type), not Unigram") }
        guard file.model.byte_fallback != true else { throw fault("byte_fallback is true; expected false") }
        guard let unknownID = file.model.unk_id, file.model.vocab.indices.contains(unknownID) else {
            throw fault("unk_id is not one of its \(file.model.vocab.count) pieces")
        }
        let tokens = file.added_tokens ?? []
        if let token = tokens.first(where: { $0.single_word == true }) {
            throw fault("the added token \"\(token.content)\" is a single_word, which is not supported")
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
            throw fault("its precompiled_charsmap is damaged")
        }
        characterMap = map
    }

    // swift-format-ignore: AlwaysUseLowerCamelCase
    private struct WholeTokenizer: Decodable {
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

    /// T5's tokenizers have the character map alone, or with others whose work the splitting at white space does as well.
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

    /// A piece as it is written: `["text", -3.5]`.
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
            throw ModelsError.tokenizer(path: path, reason: "it has no piece for unknown text")
        }
        self.path = path
        // As transformers numbers them: behind all others, the last one first.
        let extra = (0..<sentinels).reversed().map { "<extra_id_\($0)>" }
        let scored = model.pieces.map { UnigramModel.Piece(text: Array($0.text.utf8), score: Double($0.score)) }
        pieces = scored + extra.map { UnigramModel.Piece(text: Array($0.utf8), score: 0) }
        sentinelCount = sentinels
        unknownID = Int32(unknown)
        characterMap = model.characterMap
        let known = model.pieces.enumerated().filter { $0.element.kind != .normal }
            .map { SpecialTokens.Token(text: $0.element.text, id: Int32($0.offset)) }
        specialTokens =
            known
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
