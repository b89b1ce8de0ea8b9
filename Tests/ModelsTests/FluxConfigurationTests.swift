import ModelConfiguration
import Models
import TestSupport
import Testing

@Suite struct FluxConfigurationTests {
    private static let file = "transformer/config.json"

    private func open(_ model: ModelCopy) -> Complaint {
        complaint { try FluxTransformer(folder: model.file("transformer")) }
    }

    @Test(arguments: [
        ("num_layers", "-1"), ("num_single_layers", "1001"), ("attention_head_dim", "\"10\""),
        ("num_attention_heads", "0"), ("axes_dims_rope", "[2, 4, 6]"), ("axes_dims_rope", "[3, 3, 4]"),
        ("axes_dims_rope", "[6, 4]"), ("axes_dims_rope", "10"), ("in_channels", "30"), ("out_channels", "32"),
        ("patch_size", "2"), ("guidance_embeds", "3.5"), ("_class_name", "\"PixArtTransformer2DModel\""),
    ])
    func unsupportedConfigurationValuesAreRejected(_ key: String, _ json: String) throws {
        let model = try ModelCopy(of: "flux-small")
        try model.set(key, to: json, in: Self.file)
        #expect(open(model).isOneLine(naming: model.file(Self.file), key, "expected"))
    }

    @Test(arguments: [
        ("num_layers", "3"), ("num_single_layers", "4"), ("joint_attention_dim", "21"), ("num_attention_heads", "3"),
        ("pooled_projection_dim", "768"), ("in_channels", "16"),
    ])
    func configurationThatContradictsTheWeightsIsRejected(_ key: String, _ json: String) throws {
        let model = try ModelCopy(of: "flux-small")
        try model.set(key, to: json, in: Self.file)
        #expect(open(model).isOneLine(naming: model.file("transformer"), "the tensor"))
    }

    @Test func guidanceNeedsItsEmbedding() throws {
        let model = try ModelCopy(of: "flux-plain")
        try model.set("guidance_embeds", to: "true", in: Self.file)
        #expect(open(model).isOneLine(naming: "time_text_embed.guidance_embedder.linear_1.weight", "missing"))
    }

    @Test func absentKeysTakeTheRulesOfDiffusers() throws {
        let folder = try TemporaryFolder()
        let settings = try FluxConfiguration(
            Configuration(path: folder.write(#"{"_class_name": "FluxTransformer2DModel"}"#, to: "config.json")))
        #expect(settings.fullBlockCount == 19 && settings.singleBlockCount == 38 && settings.width == 3072)
        #expect(settings.rotaryDimensions == [16, 56, 56] && settings.latentChannels == 16)
        #expect(settings.textWidth == 4096 && settings.pooledWidth == 768 && !settings.embedsGuidance)
    }
}
