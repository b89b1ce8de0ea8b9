import Foundation
import TestSupport
import Testing

@testable import Models

@Suite struct CLIPTokenizerTests {
    private func open(_ model: ModelCopy) throws -> CLIPTokenizer {
        try CLIPTokenizer(folder: model.file("tokenizer"))
    }

    // MARK: - Reference ids

    @Test(arguments: ["flux-small", "flux-plain"])
    func threeThousandTextsMatchTransformers(_ fixture: String) throws {
        let checksums = try TokenChecksums(path: "\(Fixtures.folder)/clip-tokenizer/checksums.json", key: fixture)
        let tokenizer = try open(ModelCopy(of: fixture))
        #expect(checksums.count == 3000)
        for number in 0..<checksums.count {
            let text = checksums.text(number)
            let ids = tokenizer.encode(text, maxLength: checksums.maxLength).ids
            #expect(checksums.match(ids, number), "text \(number), \(text.debugDescription): \(ids)")
        }
    }

    @Test func tokenizerJSONIsSufficient() throws {
        let model = try ModelCopy(of: "flux-small")
        let texts = ["A red lighthouse's lamp, 35mm!", "", "<|endoftext|> 日本 café"]
        let expected = try texts.map { try open(model).encode($0) }
        for name in ["vocab.json", "merges.txt", "special_tokens_map.json"] { try model.remove("tokenizer/\(name)") }
        #expect(try texts.map { try open(model).encode($0) } == expected)
    }

    // MARK: - Start, end, padding

    @Test func textsHaveStartEndAndPaddingTokens() throws {
        let tokenizer = try open(ModelCopy(of: "flux-plain"))
        #expect(tokenizer.maxLength == 33)
        let empty = tokenizer.encode("")
        #expect(empty.ids.count == 33 && empty.tokenCount == 2)
        let (start, end, padding) = (empty.ids[0], empty.ids[1], empty.ids[2])
        #expect(Set([start, end, padding]).count == 3 && empty.ids[2...].allSatisfy { $0 == padding })
        let long = tokenizer.encode(String(repeating: "a red fox, ", count: 50))
        #expect(long.tokenCount == 33 && long.ids[0] == start && long.ids[32] == end)
        #expect(long.ids[1..<32].allSatisfy { $0 != start && $0 != end })
        #expect(tokenizer.encode("a red fox", maxLength: 1).ids == [start, end])
    }

    // MARK: - Files

    @Test(arguments: ["vocab.json", "merges.txt"])
    func missingFileIsReported(_ name: String) throws {
        let model = try ModelCopy(of: "flux-plain")
        try model.remove("tokenizer/\(name)")
        #expect(complaint { try open(model) }.isOneLine(naming: model.file("tokenizer/\(name)"), "not found"))
    }

    @Test(arguments: [
        ("vocab.json", "[]", "not a JSON"), ("vocab.json", #"{"a": "b"}"#, "not a JSON"),
        ("vocab.json", "", "not a JSON"), ("vocab.json", #"{"a": 0}"#, "<|startoftext|>"),
        ("vocab.json", #"{"a": -1}"#, "negative"), ("merges.txt", "#version: 0.2\na b c\n", "line 2"),
        ("tokenizer_config.json", #"{"bos_token": 3}"#, "bos_token"),
        ("tokenizer_config.json", #"{"eos_token": {"content": "<end>"}}"#, "<end>"),
    ])
    func malformedFilesAreRejected(_ name: String, _ text: String, _ fragment: String) throws {
        let model = try ModelCopy(of: "flux-plain")
        try model.write(text, to: "tokenizer/\(name)")
        #expect(complaint { try open(model) }.isOneLine(naming: model.file("tokenizer/"), fragment))
    }

    @Test(arguments: [
        #"{"model": {"type": "Unigram", "vocab": {}, "merges": []}}"#,
        #"{"model": {"vocab": {}, "merges": [["a"]]}}"#, "{}",
    ])
    func unsupportedTokenizerJSONIsRejected(_ text: String) throws {
        let model = try ModelCopy(of: "flux-small")
        try model.remove("tokenizer/vocab.json")
        try model.write(text, to: "tokenizer/tokenizer.json")
        #expect(complaint { try open(model) }.isOneLine(naming: model.file("tokenizer/tokenizer.json"), "not"))
    }

    @Test func vocabularyMustFitEmbeddings() throws {
        let model = try ModelCopy(of: "flux-small")
        let tokenizer = try open(model)
        let last = tokenizer.encode("").ids.max() ?? 0
        #expect(complaint { try tokenizer.validate(vocabularySize: Int(last) + 1) }.description.isEmpty)
        let line = complaint { try tokenizer.validate(vocabularySize: Int(last)) }
        #expect(line.isOneLine(naming: model.file("tokenizer/vocab.json"), "\(last)", "at most \(last - 1)"))
    }
}
