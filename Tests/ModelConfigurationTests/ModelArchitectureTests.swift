import JSON
import ModelConfiguration
import TestSupport
import Testing

@Suite struct ModelArchitectureTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func transformer(_ text: String) throws -> TransformerConfiguration {
        try TransformerConfiguration(Configuration(path: folder.write(text, to: "config.json")))
    }

    private func read(_ text: String, latents: Int = 32, textLength: Int = 120) throws -> ModelArchitecture {
        try ModelArchitecture(
            transformer: transformer(text), latentHeight: latents, latentWidth: latents, textLength: textLength)
    }

    private func pixart(_ keys: String) throws -> PixArtConfiguration {
        let text = "{\"_class_name\": \"PixArtTransformer2DModel\", \"caption_channels\": 4096\(keys)}"
        return try PixArtConfiguration(Configuration(path: folder.write(text, to: "pixart.json")))
    }

    @Test func oldPixArtFilesAreRead() throws {
        let model = try read(
            """
            {"_class_name": "Transformer2DModel", "norm_type": "ada_norm_single", "attention_head_dim": 72,
             "caption_channels": 4096, "cross_attention_dim": 1152, "in_channels": 4, "num_attention_heads": 16,
             "num_layers": 28, "num_vector_embeds": null, "out_channels": 8, "patch_size": 2, "sample_size": 32}
            """)
        #expect(model == (try ModelArchitecture(family: .pixartAlpha)))
    }

    @Test func additionalConditionsFollowTheSampleSizeUnlessGiven() throws {
        #expect(try pixart(", \"sample_size\": 128").usesAdditionalConditions)
        #expect(try !pixart(", \"sample_size\": 64").usesAdditionalConditions)
        #expect(try !pixart(", \"sample_size\": 128, \"use_additional_conditions\": false").usesAdditionalConditions)
        #expect(try pixart(", \"sample_size\": 128, \"use_additional_conditions\": null").usesAdditionalConditions)
    }

    /// diffusers: the default is 8, `None` means `in_channels`.
    @Test func nullOutChannelsEqualInChannels() throws {
        #expect(try pixart("").outChannels == 8)
        #expect(try pixart(", \"out_channels\": null").outChannels == 4)
        #expect(try pixart(", \"out_channels\": null, \"in_channels\": 16").outChannels == 16)
        #expect(try pixart(", \"out_channels\": 6").outChannels == 6)
    }

    @Test func publishedFluxFilesAreRead() throws {
        let text = """
            {"_class_name": "FluxTransformer2DModel", "attention_head_dim": 128, "guidance_embeds": true,
             "in_channels": 64, "out_channels": null, "joint_attention_dim": 4096, "num_attention_heads": 24,
             "num_layers": 19, "num_single_layers": 38, "patch_size": 1, "pooled_projection_dim": 768}
            """
        #expect(try read(text, textLength: 512) == ModelArchitecture(family: .flux))
        let schnell = try read(text.replacing("true", with: "false"), textLength: 512)
        let difference = try ModelArchitecture(family: .flux).costs().always - schnell.costs().always
        #expect(difference == 20_447_232)
    }

    @Test func smallModelsHaveTheirOwnCosts() throws {
        let model = try read(
            """
            {"_class_name": "PixArtTransformer2DModel", "attention_head_dim": 8, "num_attention_heads": 2,
             "num_layers": 3, "out_channels": null, "in_channels": 4, "cross_attention_dim": 16,
             "caption_channels": 7, "sample_size": 8, "patch_size": 2}
            """, latents: 8, textLength: 5)
        // 16 tokens of 16 channels, batch of 1: patches, timestep, adaLN, captions, head of 4 channels.
        let costs = model.costs(batch: 1)
        let always = 16 * 16 * 16 + (256 * 16 + 256) + 16 * 96 + 5 * (7 * 16 + 16 * 16) + 16 * 16 * 16
        #expect(costs.always == always)
        #expect(costs.components[.attn2] == 2 * 16 * 256 + 2 * 5 * 256)
    }

    @Test func wrongConfigurationsAreRejectedByName() {
        func message(_ text: String) -> String {
            complaint { try transformer(text) }.description.replacing("\(folder.path)/", with: "")
        }
        let pixart = "{\"_class_name\": \"PixArtTransformer2DModel\""
        #expect(message("{}").hasPrefix("config.json: _class_name is missing; expected PixArtTransformer2DModel or"))
        #expect(message("{\"_class_name\": \"UNet2DConditionModel\"}").contains("is \"UNet2DConditionModel\""))
        #expect(
            message("{\"_class_name\": \"Transformer2DModel\"}")
                == "config.json: norm_type is missing; expected ada_norm_single")
        #expect(
            message("\(pixart), \"num_layers\": \"28\"}")
                == "config.json: num_layers is \"28\"; expected an integer from 1 to 1000")
        #expect(
            message("\(pixart), \"num_layers\": 5000}")
                == "config.json: num_layers is 5000; expected an integer from 1 to 1000")
        #expect(message("\(pixart), \"caption_channels\": null}").contains("caption_channels is missing"))
        #expect(
            message("{\"_class_name\": \"FluxTransformer2DModel\", \"num_layers\": 0, \"num_single_layers\": 0}")
                == "config.json: num_layers + num_single_layers is 0; expected an integer from 1 to 1000")
    }

    @Test func countsThatWouldOverflowAreRejected() {
        let text = """
            {"_class_name": "PixArtTransformer2DModel", "num_attention_heads": 32, "attention_head_dim": 510,
             "num_layers": 1000, "patch_size": 1, "cross_attention_dim": 16320, "caption_channels": 16}
            """
        #expect(complaint { try read(text, latents: 1024) }.isOneLine(naming: "multiply-adds of one step is"))
        #expect(complaint { try read(text, latents: .max) }.isOneLine(naming: "latent height is"))
    }

    @Test func imageSizesOutOfRangeAreRejected() {
        #expect(
            throws: ModelConfigurationError(
                name: "size", found: "250", expected: "a multiple of 16 from 16 to 8192")
        ) { try ModelArchitecture(family: .pixartAlpha, size: 250) }
    }
}
