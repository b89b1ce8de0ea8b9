import ModelConfiguration
import Models
import TestSupport
import Testing

@Suite struct PixArtConfigurationTests {
    private static let file = "transformer/config.json"

    private func open(_ model: ModelCopy) -> Complaint {
        complaint { try PixArtTransformer(folder: model.file("transformer")) }
    }

    @Test(arguments: [
        ("num_layers", "0"), ("num_layers", "-3"), ("num_layers", "1001"), ("num_layers", "\"2\""),
        ("num_layers", "2.5"), ("num_layers", "1e18"), ("patch_size", "0"), ("patch_size", "-2"),
        ("patch_size", "1e300"), ("num_attention_heads", "0"), ("attention_head_dim", "true"),
        ("in_channels", "\"four\""), ("sample_size", "0"), ("caption_channels", "[24]"),
        ("norm_type", "\"layer_norm\""), ("norm_type", "3"), ("norm_type", "null"), ("norm_eps", "-1e-6"),
        ("activation_fn", "\"geglu\""), ("_class_name", "\"FluxTransformer2DModel\""),
        ("_class_name", "\"PixArtTransformer3DModel\""), ("cross_attention_dim", "41"), ("interpolation_scale", "0"),
        ("interpolation_scale", "\"2\""), ("use_additional_conditions", "\"yes\""), ("num_attention_heads", "1000000"),
        ("patch_size", "65"),
        ("caption_channels", "null"),
    ])
    func unsupportedConfigurationValuesAreRejected(_ key: String, _ json: String) throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.set(key, to: json, in: Self.file)
        #expect(open(model).isOneLine(naming: model.file(Self.file), key, "expected"))
    }

    @Test(arguments: [
        ("num_layers", "3"), ("patch_size", "64"), ("out_channels", "4"), ("caption_channels", "25"),
    ])
    func configurationThatContradictsTheWeightsIsRejected(_ key: String, _ json: String) throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.set(key, to: json, in: Self.file)
        #expect(open(model).isOneLine(naming: model.file("transformer"), "the tensor"))
    }

    @Test(arguments: [(3, 6, false), (5, 4, true)])
    func widthsThatThePositionsCannotFillAreRejected(_ heads: Int, _ dimension: Int, _ additional: Bool) throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.set("num_attention_heads", to: "\(heads)", in: Self.file)
        try model.set("attention_head_dim", to: "\(dimension)", in: Self.file)
        try model.set("cross_attention_dim", to: nil, in: Self.file)
        try model.set("use_additional_conditions", to: "\(additional)", in: Self.file)
        let divisor = additional ? 12 : 4
        #expect(
            open(model).isOneLine(
                naming: "attention_head_dim is \(heads * dimension); expected a multiple of \(divisor)"))
    }

    @Test func legacyAndUnknownKeysAreTolerated() throws {
        let model = try ModelCopy(of: "alpha-small")
        for (key, value) in [("num_vector_embeds", "null"), ("upcast_attention", "false"), ("qk_norm", "[1, {}]")] {
            try model.set(key, to: value, in: Self.file)
        }
        #expect(open(model).description.isEmpty)
    }

    @Test func absentKeysTakeTheRulesOfDiffusers() throws {
        let folder = try TemporaryFolder()
        func settings(_ text: String) throws -> PixArtConfiguration {
            let json = #"{"_class_name": "PixArtTransformer2DModel", "caption_channels": 4096\#(text)}"#
            return try PixArtConfiguration(Configuration(path: folder.write(json, to: "config.json")))
        }
        let large = try settings("")
        #expect(large.blockCount == 28 && large.width == 1152)
        #expect(large.patchSize == 2 && large.inChannels == 4 && large.outChannels == 8 && large.normEpsilon == 1e-6)
        #expect(large.sampleSize == 128 && large.usesAdditionalConditions && large.interpolationScale == 2)
        let small = try settings(#", "sample_size": 32"#)
        #expect(!small.usesAdditionalConditions && small.interpolationScale == 1)
        let sigma = try settings(
            #", "sample_size": 128, "use_additional_conditions": false, "interpolation_scale": 0.5"#)
        #expect(!sigma.usesAdditionalConditions && sigma.interpolationScale == 0.5)
    }
}
