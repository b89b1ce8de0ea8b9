import Models
import Tensors
import TestSupport
import Testing

@Suite struct T5EncoderTests {
    private static let file = "text_encoder/config.json"
    private static let weights = "text_encoder/model.safetensors"

    private func open(_ model: ModelCopy) throws -> T5Encoder {
        try T5Encoder(folder: model.file("text_encoder"))
    }

    @Test(arguments: [
        ("d_model", "0"), ("d_kv", "-1"), ("num_layers", "0"), ("vocab_size", "\"224\""), ("num_heads", "1e12"),
        ("feed_forward_proj", "\"relu\""), ("model_type", "\"umt5\""), ("layer_norm_epsilon", "-1"),
        // With these values some distances would have no bucket.
        ("relative_attention_num_buckets", "1"), ("relative_attention_max_distance", "8"),
        ("relative_attention_max_distance", "1"),
    ])
    func invalidConfigurationValuesAreRejected(_ key: String, _ json: String) throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.set(key, to: json, in: Self.file)
        #expect(complaint { try open(model) }.isOneLine(naming: model.file(Self.file), "\(key) is ", "expected"))
    }

    @Test func missingKeyIsReported() throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.set("d_ff", to: nil, in: Self.file)
        #expect(complaint { try open(model) }.isOneLine(naming: model.file(Self.file), "d_ff is missing"))
    }

    @Test(arguments: [
        ("vocab_size", "225"), ("relative_attention_num_buckets", "16"), ("num_layers", "3"), ("d_ff", "55"),
    ])
    func configurationMustMatchWeights(_ key: String, _ json: String) throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.set(key, to: json, in: Self.file)
        #expect(complaint { try open(model) }.isOneLine(naming: model.file("text_encoder"), "the tensor"))
    }

    @Test func integerPositionBiasIsRejected() throws {
        let model = try ModelCopy(of: "alpha-small")
        let name = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        try model.edit(Self.weights) { $0.tensors[name]?.type = "I32" }
        #expect(complaint { try open(model) }.isOneLine(naming: model.file(Self.weights), name, "I32"))
    }

    @Test(arguments: [224, -1, .max] as [Int64])
    func idsOutOfRangeAreRejected(_ id: Int64) throws {
        let model = try ModelCopy(of: "alpha-small")
        let encoder = try open(model)
        let line = complaint { try encoder.encode(ids: [3, id], attendedCount: 2) }
        #expect(line.isOneLine(naming: model.file("text_encoder"), "id \(id)", "224 entries"))
    }

    @Test func embeddingAliasIsSupported() throws {
        let model = try ModelCopy(of: "alpha-small")
        let ids: [Int64] = [5, 9, 100, 1]
        let states = try open(model).encode(ids: ids, attendedCount: 4).values
        try model.edit(Self.weights) {
            $0.tensors["encoder.embed_tokens.weight"] = $0.tensors.removeValue(forKey: "shared.weight")
        }
        #expect(try open(model).encode(ids: ids, attendedCount: 4).values == states)
    }

    @Test func paddingDoesNotAffectTokensBeforeIt() throws {
        let encoder = try open(ModelCopy(of: "alpha-small"))
        let ids: [Int64] = [5, 9, 100, 77, 1]
        let short = try encoder.encode(ids: ids, attendedCount: 5)
        let padded = try encoder.encode(ids: ids + Array(repeating: 0, count: 35), attendedCount: 5)
        let differences = zip(short.values, padded.rows(0..<5).values).map { abs($0 - $1) }
        #expect(differences.max() ?? 1 < 1e-5)
    }
}
