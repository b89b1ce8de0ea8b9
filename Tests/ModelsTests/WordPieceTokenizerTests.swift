import Foundation
import TestSupport
import Testing

@testable import Models

@Suite struct WordPieceTokenizerTests {
    private static let folder = "\(Fixtures.folder)/wordpiece"

    private func open(embeddings: Int = 400) throws -> WordPieceTokenizer {
        try WordPieceTokenizer(path: "\(Self.folder)/vocab.txt", embeddingCount: embeddings)
    }

    @Test func threeThousandTextsMatchTransformers() throws {
        let checksums = try TokenChecksums(path: "\(Self.folder)/checksums.json", key: "bert")
        let tokenizer = try open()
        #expect(checksums.count == 3000 && checksums.maxLength == 35)
        for number in 0..<checksums.count {
            let text = number == 0 ? "" : checksums.text(number)
            let ids = tokenizer.encode(text, maxLength: 35).map(Int64.init)
            let padded = ids + Array(repeating: 0, count: 35 - ids.count)
            #expect(checksums.match(padded, number), "text \(number), \(text.debugDescription): \(ids)")
        }
    }

    @Test func textsAreFramedAndTruncated() throws {
        let tokenizer = try open()
        let empty = tokenizer.encode("", maxLength: 35)
        #expect(empty == [3, 4])
        let long = tokenizer.encode(String(repeating: "a red fox, ", count: 50), maxLength: 35)
        #expect(long.count == 35 && long.first == 3 && long.last == 4)
        #expect(long[1..<34].allSatisfy { $0 > 4 })
    }

    @Test func addedTokensRequireAnEmbedding() throws {
        let count = try String(contentsOfFile: "\(Self.folder)/vocab.txt", encoding: .utf8).split(separator: "\n").count
        #expect(try open().encode("[ENC]", maxLength: 9) == [3, Int32(count + 1), 4])
        let few = try open(embeddings: count).encode("[ENC]", maxLength: 9)
        #expect(few.allSatisfy { $0 < count } && few.count > 3)
        #expect(complaint { try open(embeddings: count - 1) }.isOneLine(naming: "vocab.txt", "vocab_size"))
    }

    @Test func vocabularyRequiresSpecialTokens() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("[PAD]\n[UNK]\n[CLS]\nfox\n", to: "vocab.txt")
        #expect(complaint { try WordPieceTokenizer(path: path, embeddingCount: 9) }.isOneLine(naming: path, "[SEP]"))
        #expect(
            complaint { try WordPieceTokenizer(path: folder.file("no"), embeddingCount: 9) }
                .isOneLine(naming: folder.file("no"), "not found"))
    }
}
