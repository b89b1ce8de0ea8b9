import Foundation
import ModelConfiguration

/// What the files of a CLIP tokenizer say.
struct CLIPTokenizerFiles {
    /// The file that holds the vocabulary.
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
                throw ModelsError.missingFile(path: vocabularyPath, expected: "CLIP's vocabulary, or tokenizer.json")
            }
            let file = try Self.decode(WholeTokenizer.self, from: path)
            guard file.model.type ?? "BPE" == "BPE" else {
                throw ModelsError.tokenizer(path: path, reason: "its model is \(file.model.type ?? ""), not BPE")
            }
            let added = (file.added_tokens ?? []).map { ($0.content, $0.id) }
            vocabulary = file.model.vocab.merging(added) { known, _ in known }
            merges = file.model.merges.map { ($0.first, $0.second) }
        }
        guard vocabulary.values.allSatisfy({ $0 >= 0 }) else {
            throw ModelsError.tokenizer(path: path, reason: "it has a negative id")
        }
        // Older files state the special tokens in a file of their own, newer ones beside the other settings.
        let settings = try ["tokenizer_config.json", "special_tokens_map.json"]
            .map { "\(folder)/\($0)" }.filter(FileManager.default.fileExists(atPath:)).map({
                try Configuration(path: $0)
            })
        func token(_ key: String, default fallback: String) throws -> String {
            try settings.first { $0.has(key) }?.token(key) ?? fallback
        }
        startToken = try token("bos_token", default: "<|startoftext|>")
        endToken = try token("eos_token", default: "<|endoftext|>")
        unknownToken = try token("unk_token", default: "<|endoftext|>")
        paddingToken = try token("pad_token", default: "<|endoftext|>")
        // transformers writes 1e30 for a length that it does not know.
        let length = try settings.first { $0.has("model_max_length") }?.double("model_max_length") ?? 77
        maxLength = (2...4096).contains(length) ? Int(length) : 77
    }

    private struct WholeTokenizer: Decodable {
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

    /// A merge as today's writers put it, `["a", "b"]`, or as older ones did, `"a b"`.
    private struct MergePair: Decodable {
        let first, second: String

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            let line = try? container.decode(String.self)
            let parts = try line.map { $0.split(separator: " ").map(String.init) } ?? container.decode([String].self)
            guard parts.count == 2 else {
                throw DecodingError.dataCorruptedError(in: container, debugDescription: "a merge is a pair")
            }
            (first, second) = (parts[0], parts[1])
        }
    }

    private static func decode<Value: Decodable>(_ type: Value.Type, from path: String) throws -> Value {
        let data = FileManager.default.contents(atPath: path) ?? Data()
        do {
            return try JSONDecoder().decode(type, from: data)
        } catch {
            throw ModelsError.tokenizer(path: path, reason: "not a JSON file of a byte-pair vocabulary")
        }
    }

    private static func mergeLines(of path: String) throws -> [(String, String)] {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw ModelsError.missingFile(path: path, expected: "CLIP's merges beside vocab.json")
        }
        let lines = String(decoding: data, as: UTF8.self).split(whereSeparator: { $0 == "\n" || $0 == "\r\n" })
        return try lines.enumerated().compactMap { index, line in
            if index == 0 && line.hasPrefix("#version") { return nil }
            let parts = line.split(separator: " ")
            guard parts.count == 2 else {
                throw ModelsError.tokenizer(path: path, reason: "line \(index + 1) is no pair of tokens")
            }
            return (String(parts[0]), String(parts[1]))
        }
    }
}
