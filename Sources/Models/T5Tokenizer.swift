/// A T5 tokenizer: normalisation, words, the most probable pieces, the end token, padding to a fixed length.
///
/// Equals `T5Tokenizer(..., padding="max_length", truncation=True)` of transformers 5, which reads a `tokenizer.json` or converts a
/// SentencePiece model.
public struct T5Tokenizer: Sendable {
    private let path: String
    private let pieceCount: Int
    private let characterMap: CharacterMap?
    private let model: UnigramModel
    private let specialTokens: SpecialTokens
    private let paddingID, endID: Int32

    /// Opens a tokenizer folder: `tokenizer.json`, which transformers prefers too, or `spiece.model`.
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

    /// Checks that every piece has an embedding.
    ///
    /// The sentinels `<extra_id_0>` and so on, which no prompt has, need none.
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
    /// - Returns: The ids, and the number of tokens that are not padding (they come first).
    public func encode(_ text: String, maxLength: Int) -> TokenizedText {
        let kept = ids(of: text).prefix(max(0, maxLength - 1))
        let ids = kept.map(Int64.init) + [Int64(endID)]
        return TokenizedText(
            ids: ids + Array(repeating: Int64(paddingID), count: max(0, maxLength - ids.count)), tokenCount: ids.count)
    }

    /// The ids of a whole text, without the end token.
    func ids(of text: String) -> [Int32] {
        specialTokens.split(text).flatMap { part in
            switch part {
            case .token(let id): [id]
            case .text(let text): pieces(of: characterMap?.normalize(text) ?? text).flatMap(model.encode)
            }
        }
    }

    /// The words of a normalised text, each led by U+2581, which stands for the blank before it; where a text holds that character
    /// itself, another begins.
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

/// A prompt as token ids, padded.
public struct TokenizedText: Sendable, Equatable {
    /// Ids of all positions, padding included.
    public let ids: [Int64]
    /// The number of positions that are not padding; they come first.
    public let tokenCount: Int
}
