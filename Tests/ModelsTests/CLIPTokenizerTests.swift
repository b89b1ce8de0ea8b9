import Foundation
import TestSupport
import Testing

@testable import Models

@Suite struct CLIPTokenizerTests {
    private func open(_ model: ModelCopy) throws -> CLIPTokenizer {
        try CLIPTokenizer(folder: model.file("tokenizer"))
    }

    // MARK: - Against transformers

    /// Made by `scripts/fixtures/make_clip_tokens.py`, with texts put together as below.
    private struct Checksums: Decodable {
        let maxLength: Int
        let fragments: [String]
        let byFixture: [String: String]

        init(from decoder: any Decoder) throws {
            let values = try decoder.container(keyedBy: AnyKey.self)
            maxLength = try values.decode(Int.self, forKey: AnyKey(stringValue: "max_length"))
            fragments = try values.decode([String].self, forKey: AnyKey(stringValue: "fragments"))
            byFixture = try ["flux-small", "flux-plain"].reduce(into: [:]) {
                $0[$1] = try values.decode(String.self, forKey: AnyKey(stringValue: $1))
            }
        }

        private struct AnyKey: CodingKey {
            let stringValue: String
            var intValue: Int? { nil }
            init(stringValue: String) { self.stringValue = stringValue }
            init?(intValue: Int) { nil }
        }

        func text(_ number: Int) -> String {
            var state = UInt64(number)
            func draw(_ bound: Int) -> Int {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                return Int(state >> 33) % bound
            }
            var scalars = String.UnicodeScalarView()
            for _ in 0..<(1 + draw(12)) {
                scalars.append(contentsOf: fragments[draw(fragments.count)].unicodeScalars)
                if draw(2) == 1 { scalars.append(" ") }
            }
            return String(scalars)
        }
    }

    private func crc32(_ text: String) -> UInt32 {
        ~text.utf8.reduce(~0 as UInt32) { crc, byte in
            (0..<8).reduce(crc ^ UInt32(byte)) { value, _ in value & 1 == 1 ? value >> 1 ^ 0xEDB8_8320 : value >> 1 }
        }
    }

    @Test(arguments: ["flux-small", "flux-plain"])
    func threeThousandTextsEqualTheOriginal(_ fixture: String) throws {
        let data = try Data(contentsOf: URL(filePath: "\(Fixtures.folder)/clip-tokenizer/checksums.json"))
        let checksums = try JSONDecoder().decode(Checksums.self, from: data)
        let digits = Array(checksums.byFixture[fixture, default: ""].utf8)
        let tokenizer = try open(ModelCopy(of: fixture))
        #expect(digits.count == 8 * 3000)
        for number in 0..<(digits.count / 8) {
            let text = checksums.text(number)
            let ids = tokenizer.encode(text, maxLength: checksums.maxLength).ids
            let found = crc32(ids.map(String.init).joined(separator: " "))
            let expected = UInt32(String(decoding: digits[(8 * number)..<(8 * number + 8)], as: UTF8.self), radix: 16)
            #expect(found == expected, "text \(number), \(text.debugDescription): \(ids)")
        }
    }

    @Test func tokenizerJSONAloneIsEnough() throws {
        let model = try ModelCopy(of: "flux-small")
        let texts = ["A red lighthouse's lamp, 35mm!", "", "<|endoftext|> 日本 café"]
        let expected = try texts.map { try open(model).encode($0) }
        for name in ["vocab.json", "merges.txt", "special_tokens_map.json"] { try model.remove("tokenizer/\(name)") }
        #expect(try texts.map { try open(model).encode($0) } == expected)
    }

    // MARK: - Start, end, padding

    @Test func textsAreFramedAndPadded() throws {
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
    func aMissingFileIsNamed(_ name: String) throws {
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
    func aDamagedFileIsRefused(_ name: String, _ text: String, _ fragment: String) throws {
        let model = try ModelCopy(of: "flux-plain")
        try model.write(text, to: "tokenizer/\(name)")
        #expect(complaint { try open(model) }.isOneLine(naming: model.file("tokenizer/"), fragment))
    }

    @Test(arguments: [
        #"{"model": {"type": "Unigram", "vocab": {}, "merges": []}}"#,
        #"{"model": {"vocab": {}, "merges": [["a"]]}}"#, "{}",
    ])
    func anotherKindOfTokenizerJSONIsRefused(_ text: String) throws {
        let model = try ModelCopy(of: "flux-small")
        try model.remove("tokenizer/vocab.json")
        try model.write(text, to: "tokenizer/tokenizer.json")
        #expect(complaint { try open(model) }.isOneLine(naming: model.file("tokenizer/tokenizer.json"), "not"))
    }

    @Test func moreTokensThanEmbeddingsAreRefused() throws {
        let model = try ModelCopy(of: "flux-small")
        try model.replace("tokenizer", byThatOf: "flux-small")
        let tokenizer = try open(model)
        let last = tokenizer.encode("").ids.max() ?? 0
        #expect(complaint { try tokenizer.checkTokens(fit: Int(last) + 1) }.description.isEmpty)
        let line = complaint { try tokenizer.checkTokens(fit: Int(last)) }
        #expect(line.isOneLine(naming: model.file("tokenizer/vocab.json"), "\(last)", "at most \(last - 1)"))
    }
}
