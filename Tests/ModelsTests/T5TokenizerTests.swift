import Foundation
import TestSupport
import Testing

@testable import Models

@Suite struct T5TokenizerTests {
    private static let json = "tokenizer/tokenizer.json"
    private static let file = "tokenizer/spiece.model"

    private func open(_ model: ModelCopy) throws -> T5Tokenizer {
        try T5Tokenizer(folder: model.file("tokenizer"))
    }

    // MARK: - Reference ids

    @Test(arguments: ["json", "alpha-small"])
    func threeThousandTextsMatchTransformers(_ name: String) throws {
        let checksums = try TokenChecksums(path: "\(Fixtures.folder)/t5-tokenizer/checksums.json", key: name)
        let folder = name == "json" ? "t5-tokenizer/json" : "\(name)/model/tokenizer"
        let tokenizer = try T5Tokenizer(folder: "\(Fixtures.folder)/\(folder)")
        #expect(checksums.count == 3000)
        for number in 0..<checksums.count {
            let text = checksums.text(number)
            let ids = tokenizer.encode(text, maxLength: checksums.maxLength).ids
            #expect(checksums.match(ids, number), "text \(number), \(text.debugDescription): \(ids)")
        }
    }

    @Test(arguments: ["sigma-small", "flux-small"])
    func tokenizerJSONAndSentencePieceAgree(_ fixture: String) throws {
        let suffix = fixture == "flux-small" ? "_2" : ""
        let model = try ModelCopy(of: fixture)
        let folder = model.file("tokenizer\(suffix)")
        let texts = ["a \u{FB01}ne fox\u{2019}s \u{BD} teapot\tat dawn", "", "日本 🎻 a violin", "<extra_id_7> and </s>."]
        try model.remove("tokenizer\(suffix)/spiece.model")
        let written = try texts.map { try T5Tokenizer(folder: folder).encode($0, maxLength: 30) }
        try model.replace("tokenizer\(suffix)", withThatOf: fixture)
        try model.remove("tokenizer\(suffix)/tokenizer.json")
        #expect(try texts.map { try T5Tokenizer(folder: folder).encode($0, maxLength: 30) } == written)
    }

    // MARK: - Texts

    @Test func textsEndWithEndTokenAndPadding() throws {
        let tokenizer = try open(ModelCopy(of: "alpha-small"))
        let text = tokenizer.encode("a red fox", maxLength: 40)
        #expect(text.ids.count == 40 && text.tokenCount > 1 && text.tokenCount < 40)
        #expect(text.ids[text.tokenCount - 1] == 1)
        #expect(text.ids[text.tokenCount...].allSatisfy { $0 == 0 })
        #expect(text.ids[..<(text.tokenCount - 1)].allSatisfy { $0 > 2 })
    }

    @Test func longTextsAreTruncatedBeforeTheEndToken() throws {
        let tokenizer = try open(ModelCopy(of: "alpha-small"))
        let long = tokenizer.encode("a red fox in the snow", maxLength: 100)
        let cut = tokenizer.encode("a red fox in the snow", maxLength: 5)
        #expect(cut.ids == Array(long.ids.prefix(4)) + [1] && cut.tokenCount == 5)
        #expect(tokenizer.encode("", maxLength: 3).ids == [1, 0, 0])
        #expect(tokenizer.encode("a red fox", maxLength: 1).ids == [1])
    }

    @Test func specialTokensAreRecognisedVerbatim() throws {
        let tokenizer = try open(ModelCopy(of: "sigma-small"))
        let fox = tokenizer.ids(of: "fox")
        #expect(tokenizer.ids(of: "fox</s>fox<pad> fox") == fox + [1] + fox + [0] + fox)
        #expect(tokenizer.ids(of: "<extra_id_0><extra_id_99>") == [199, 100])
    }

    @Test func specialTokensStripWhiteSpaceIfConfigured() {
        let tokens = SpecialTokens([
            .init(text: "<a>", id: 1, stripsLeft: true, stripsRight: true), .init(text: "<a>b", id: 2),
            .init(text: "", id: 3),
        ])
        #expect(tokens.split("x <a>  y") == [.text("x"), .token(1), .text("y")])
        #expect(tokens.split(" <a> <a>b c") == [.token(1), .token(2), .text(" c")])
        #expect(tokens.split("<a") == [.text("<a")] && tokens.split("").isEmpty)
    }

    // MARK: - Files

    @Test func directoryWithoutTokenizerIsReported() throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.remove(Self.file)
        let line = complaint { try open(model) }
        #expect(line.isOneLine(naming: model.file("tokenizer"), "tokenizer.json", "spiece.model"))
    }

    @Test(arguments: ["", "not a protobuf\n", "{\"model\": {\"vocab\": []}}"])
    func otherFileFormatsAreRejected(_ text: String) throws {
        let model = try ModelCopy(of: "alpha-micro")
        try model.write(text, to: Self.file)
        #expect(complaint { try open(model) }.isOneLine(naming: model.file(Self.file), "not a SentencePiece model"))
    }

    @Test(arguments: ["alpha-micro", "alpha-small"])
    func truncatedFileIsRejected(_ fixture: String) throws {
        let model = try ModelCopy(of: fixture)
        try model.truncate(Self.file, toFraction: 0.5)
        #expect(complaint { try open(model) }.isOneLine(naming: model.file(Self.file), "truncated"))
    }

    @Test(arguments: [
        ("", "not a JSON"), ("{}", "not a JSON"), (#"{"model": {"type": "BPE", "vocab": []}}"#, "BPE"),
        (#"{"model": {"type": "Unigram", "vocab": [["a", 0]], "unk_id": 1}}"#, "unk_id"),
        (#"{"model": {"type": "Unigram", "vocab": [["a", 0]], "unk_id": 0, "byte_fallback": true}}"#, "byte_fallback"),
        (#"{"model": {"type": "Unigram", "vocab": [["a", 0]], "unk_id": 0}}"#, "\"</s>\" is missing"),
        (
            #"{"model": {"type": "Unigram", "vocab": [["a", 0]], "unk_id": 0}, "normalizer": {"precompiled_charsmap": "AAA="}}"#,
            "precompiled_charsmap"
        ),
        (
            #"{"model": {"type": "Unigram", "vocab": [["a", 0]], "unk_id": 0}, "added_tokens": [{"id": 0, "content": "a", "single_word": true}]}"#,
            "single_word"
        ),
    ])
    func unsupportedTokenizerJSONIsRejected(_ text: String, _ fragment: String) throws {
        let model = try ModelCopy(of: "sigma-small")
        try model.write(text, to: Self.json)
        #expect(complaint { try open(model) }.isOneLine(naming: model.file(Self.json), fragment))
    }

    @Test func vocabularyMustFitEmbeddings() throws {
        let tokenizer = try open(ModelCopy(of: "sigma-small"))
        #expect(complaint { try tokenizer.validate(vocabularySize: 100) }.description.isEmpty)
        #expect(
            complaint { try tokenizer.validate(vocabularySize: 99) }.isOneLine(
                naming: "tokenizer.json", "100 pieces", "99"))
    }
}
