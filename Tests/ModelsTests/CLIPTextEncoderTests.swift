import Foundation
import Models
import Tensors
import TestSupport
import Testing

@Suite struct CLIPTextEncoderTests {
    private static let file = "text_encoder/config.json"
    private static let weights = "text_encoder/model.safetensors"
    private let ids: [Int64] = [20, 5, 300, 41, 7, 300, 2]

    private func open(_ model: ModelCopy) throws -> CLIPTextEncoder {
        try CLIPTextEncoder(folder: model.file("text_encoder"))
    }

    @Test func attentionIsCausal() throws {
        let encoder = try open(ModelCopy(of: "flux-small"))
        let whole = try encoder.encode(ids: ids).hiddenStates
        let start = try encoder.encode(ids: Array(ids.prefix(4))).hiddenStates
        #expect(zip(whole.rows(0..<4).values, start.values).allSatisfy { abs($0 - $1) < 1e-5 })
        var changed = ids
        changed[0] = 21
        #expect(try encoder.encode(ids: changed).hiddenStates.rows(6..<7).values != whole.rows(6..<7).values)
    }

    /// Published configurations state end token 2, which means the largest id.
    @Test(arguments: [("2", 2), ("41", 3), ("5", 1), ("600", 0)])
    func firstEndTokenIsPooled(_ end: String, _ position: Int) throws {
        let model = try ModelCopy(of: "flux-small")
        try model.set("eos_token_id", to: end, in: Self.file)
        let output = try open(model).encode(ids: ids)
        #expect(output.pooled.values == output.hiddenStates.rows(position..<(position + 1)).values)
    }

    @Test func tensorNamePrefixIsOptional() throws {
        let model = try ModelCopy(of: "flux-small")
        let expected = try open(model).encode(ids: ids).hiddenStates.values
        try model.edit(Self.weights) { content in
            content.tensors = Dictionary(
                uniqueKeysWithValues: content.tensors.map {
                    (String($0.key.trimmingPrefix("text_model.")), $0.value)
                })
        }
        #expect(try open(model).encode(ids: ids).hiddenStates.values == expected)
    }

    @Test func activationsAreDistinct() throws {
        let model = try ModelCopy(of: "flux-small")
        let results = try ["quick_gelu", "gelu", "gelu_new"].map { name in
            try model.set("hidden_act", to: "\"\(name)\"", in: Self.file)
            return try open(model).encode(ids: ids).hiddenStates.values
        }
        #expect(Set(results).count == 3)
    }

    @Test(arguments: [
        ("hidden_size", "0"), ("num_attention_heads", "5"), ("num_hidden_layers", "0"), ("hidden_act", "\"relu\""),
        ("model_type", "\"t5\""), ("layer_norm_eps", "0"), ("max_position_embeddings", "5000"), ("vocab_size", "true"),
    ])
    func invalidConfigurationValuesAreRejected(_ key: String, _ json: String) throws {
        let model = try ModelCopy(of: "flux-small")
        try model.set(key, to: json, in: Self.file)
        #expect(complaint { try open(model) }.isOneLine(naming: model.file(Self.file), "\(key) is ", "expected"))
    }

    @Test(arguments: [("vocab_size", "100"), ("max_position_embeddings", "21"), ("intermediate_size", "29")])
    func configurationMustMatchWeights(_ key: String, _ json: String) throws {
        let model = try ModelCopy(of: "flux-small")
        try model.set(key, to: json, in: Self.file)
        #expect(complaint { try open(model) }.isOneLine(naming: model.file("text_encoder"), "the tensor"))
    }

    @Test func idsOutOfRangeAreRejected() throws {
        let encoder = try open(ModelCopy(of: "flux-small"))
        for id in [Int64(encoder.vocabulary), -1, .max] {
            #expect(complaint { try encoder.encode(ids: [1, id]) }.isOneLine(naming: "id \(id)", "text_encoder"))
        }
        for count in [0, 21] {
            let line = complaint { try encoder.encode(ids: Array(repeating: 1, count: count)) }
            #expect(line.isOneLine(naming: "\(count) tokens", "1 to 20"))
        }
    }
}
