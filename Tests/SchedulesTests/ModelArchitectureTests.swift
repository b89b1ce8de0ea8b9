import Foundation
import Schedules
import Testing

@Suite struct ModelArchitectureTests {
    func read(_ text: String, latents: Int = 32, textLength: Int = 120) throws -> ModelArchitecture {
        try ModelArchitecture(
            transformerConfiguration: text.utf8, file: "config.json", latentHeight: latents, latentWidth: latents,
            textLength: textLength)
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
        func usesConditions(_ keys: String) throws -> Bool {
            guard case .pixart(let model) = try read("{\"_class_name\": \"PixArtTransformer2DModel\"\(keys)}") else {
                return false
            }
            return model.usesAdditionalConditions
        }
        #expect(try usesConditions(", \"sample_size\": 128"))
        #expect(try !usesConditions(", \"sample_size\": 64"))
        #expect(try !usesConditions(", \"sample_size\": 128, \"use_additional_conditions\": false"))
        #expect(try usesConditions(", \"sample_size\": 128, \"use_additional_conditions\": null"))
    }

    @Test func publishedFluxFilesAreRead() throws {
        let text = """
            {"_class_name": "FluxTransformer2DModel", "attention_head_dim": 128, "guidance_embeds": true,
             "in_channels": 64, "joint_attention_dim": 4096, "num_attention_heads": 24, "num_layers": 19,
             "num_single_layers": 38, "patch_size": 1, "pooled_projection_dim": 768}
            """
        #expect(try read(text, textLength: 512) == ModelArchitecture(family: .fluxDev))
        let schnell = try read(text.replacingOccurrences(of: "true", with: "false"), textLength: 512)
        let difference = try ModelArchitecture(family: .fluxDev).costs().always - schnell.costs().always
        #expect(difference == 20_447_232)
    }

    @Test func smallModelsGiveTheirOwnShapeAndCost() throws {
        let model = try read(
            """
            {"_class_name": "PixArtTransformer2DModel", "attention_head_dim": 8, "num_attention_heads": 2,
             "num_layers": 3, "out_channels": null, "in_channels": 4, "cross_attention_dim": 16,
             "caption_channels": null, "sample_size": 8, "patch_size": 2}
            """, latents: 8, textLength: 5)
        #expect(try model.shape(stepCount: 4) == .pixart(blocks: 3, steps: 4))
        // 16 tokens of 16 channels, batch of 1: patches, timestep, adaLN, head of 4 channels.
        let costs = try model.costs(batch: 1)
        #expect(costs.always == 16 * 16 * 16 + (256 * 16 + 256) + 16 * 96 + 16 * 16 * 16)
        #expect(costs.components[.attn2] == 2 * 16 * 256 + 2 * 5 * 256)
    }

    @Test func wrongConfigurationsAreRefusedByName() {
        func message(_ text: String) -> String {
            do { return "\(try read(text))" } catch { return "\(error)" }
        }
        #expect(message("{}") == "config.json: _class_name is missing")
        #expect(message("{\"_class_name\": \"UNet2DConditionModel\"}").contains("is \"UNet2DConditionModel\""))
        #expect(message("{\"_class_name\": \"Transformer2DModel\"}").contains("norm_type ada_norm_single"))
        #expect(
            message("{\"_class_name\": \"PixArtTransformer2DModel\", \"num_layers\": \"28\"}")
                == "config.json: num_layers is \"28\"; expected an integer from 1 to 65536")
        #expect(
            message("{\"_class_name\": \"PixArtTransformer2DModel\", \"num_layers\": 5000}")
                == "num_layers: expected 1 to 1000, found 5000")
        #expect(
            message("{\"_class_name\": \"FluxTransformer2DModel\", \"num_layers\": 0, \"num_single_layers\": 0}")
                .contains("num_layers + num_single_layers"))
    }

    @Test func countsThatWouldOverflowAreRefused() {
        let text = """
            {"_class_name": "PixArtTransformer2DModel", "num_attention_heads": 32, "attention_head_dim": 512,
             "num_layers": 1000, "patch_size": 1}
            """
        #expect(throws: SchedulesError.self) { try read(text, latents: 1024) }
        #expect(throws: SchedulesError.self) { try read(text, latents: .max) }
    }

    @Test func stepCountsOutOfRangeAreRefused() throws {
        let model = try ModelArchitecture(family: .fluxDev)
        #expect(throws: SchedulesError.outOfRange(name: "steps", expected: "1 to 1000", found: "0")) {
            try model.shape(stepCount: 0)
        }
        #expect(throws: SchedulesError.self) { try ModelArchitecture(family: .pixartAlpha, size: 250) }
    }

    @Test func codingKeepsTheArchitecture() throws {
        for family in Family.allCases {
            let model = try ModelArchitecture(family: family, size: 1024)
            #expect(try JSONDecoder().decode(ModelArchitecture.self, from: JSONEncoder().encode(model)) == model)
        }
    }
}
