import Foundation

/// The tokenizer of CLIP: clean-up, words, byte-pair encoding, start and end tokens, padding to a fixed length.
///
/// Equals `CLIPTokenizer(..., padding="max_length", truncation=True)` of transformers 5.
public struct CLIPTokenizer: Sendable {
    /// The most tokens a text has, start and end included (`model_max_length`).
    public let maxLength: Int

    private let path: String
    private let encoding: BytePairEncoding
    private let largestID: Int32
    private let startID, endID, paddingID: Int32
    private let specialTokens: SpecialTokens

    /// Opens a tokenizer folder: `vocab.json` with `merges.txt`, or `tokenizer.json` alone.
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

    /// Checks that every token has an embedding.
    ///
    /// - Throws: ``ModelsError/invalidArgument(_:)`` naming the tokenizer's file.
    func checkTokens(fit vocabulary: Int) throws {
        guard largestID < vocabulary else {
            throw ModelsError.invalidArgument(
                "\(path): has ids up to \(largestID); expected at most \(vocabulary - 1), by the text encoder's vocab_size"
            )
        }
    }

    /// Token ids and attention mask of a text, both of length `maxLength`.
    ///
    /// - Parameters:
    ///   - text: The prompt.
    ///   - maxLength: The padded length, at least 2; longer texts are cut so that the end token is the last. Nil for the model's.
    /// - Returns: The ids, and the number of those that are not padding.
    public func encode(_ text: String, maxLength: Int? = nil) -> TokenizedText {
        let length = max(2, maxLength ?? self.maxLength)
        let kept = Array(self.ids(of: text).prefix(length - 2))
        let ids = ([startID] + kept + [endID]).map(Int64.init)
        return TokenizedText(
            ids: ids + Array(repeating: Int64(paddingID), count: length - ids.count), tokenCount: ids.count)
    }

    /// The ids of a text between start and end: special tokens as they stand, everything between them in words.
    private func ids(of text: String) -> [Int32] {
        specialTokens.split(text).flatMap { part in
            switch part {
            case .token(let id): [id]
            case .text(let text): CLIPWords.split(Array(text.unicodeScalars)[...]).flatMap(encoding.encode)
            }
        }
    }
}
