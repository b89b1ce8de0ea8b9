import Basics
import ModelConfiguration
import Models
import Tensors
import TestSupport
import Testing

@Suite struct AutoencoderDecoderTests {
    private static let file = "vae/config.json"

    private func open(_ model: ModelCopy) -> Complaint {
        complaint { try AutoencoderDecoder(folder: model.file("vae")) }
    }

    @Test(arguments: [
        ("scaling_factor", "0", "a positive number"), ("scaling_factor", "1e-60", "a positive number"),
        ("scaling_factor", "\"x\"", "a positive number"), ("latent_channels", "0", "an integer"),
        ("norm_num_groups", "0", "an integer"), ("layers_per_block", "-1", "an integer"),
        ("block_out_channels", "[]", "positive integers"), ("block_out_channels", "[8, 0]", "positive integers"),
        ("block_out_channels", "[8, 8, 8, 8, 8, 8, 8, 8, 8]", "up to 8"), ("act_fn", "\"mish\"", "silu"),
        ("_class_name", "\"AutoencoderTiny\"", "AutoencoderKL"),
        ("up_block_types", "[\"AttnUpDecoderBlock2D\"]", "UpDecoderBlock2D"),
    ])
    func invalidConfigurationValuesAreRejected(_ key: String, _ json: String, _ expected: String) throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.set(key, to: json, in: Self.file)
        #expect(open(model).isOneLine(naming: model.file(Self.file), "\(key) is ", expected))
    }

    @Test func groupsMustDivideChannels() throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.set("norm_num_groups", to: "5", in: Self.file)
        #expect(open(model).isOneLine(naming: model.file(Self.file), "[8, 12, 16]", "norm_num_groups = 5"))
    }

    @Test(arguments: [("latent_channels", "3"), ("layers_per_block", "2"), ("block_out_channels", "[8, 12, 20]")])
    func configurationMustMatchWeights(_ key: String, _ json: String) throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.set(key, to: json, in: Self.file)
        #expect(open(model).isOneLine(naming: model.file("vae"), "the tensor"))
    }

    @Test func everyUpBlockDoublesTheSize() throws {
        let model = try ModelCopy(of: "alpha-small")
        let decoder = try AutoencoderDecoder(folder: model.file("vae"))
        #expect(decoder.settings.scale == 4)
        #expect(decoder.settings.scalingFactor == 0.18215)
        let image = decoder.decode(FeatureMap(channelCount: 4, height: 3, width: 5))
        #expect(image.height == 12 && image.width == 20 && image.channels.rows == 3)
    }

    @Test func oldAttentionLayerNamesAreSupported() throws {
        let model = try ModelCopy(of: "alpha-small")
        let latents = FeatureMap(Matrix((0..<36).map { Float($0 % 7) - 3 }, rows: 4, columns: 9), height: 3, width: 3)
        let image = try AutoencoderDecoder(folder: model.file("vae")).decode(latents)
        let names = [("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")]
        try model.edit("vae/diffusion_pytorch_model.safetensors") { content in
            let hasNew = content.tensors["decoder.mid_block.attentions.0.to_q.weight"] != nil
            for (new, old) in names {
                for part in ["weight", "bias"] {
                    let prefix = "decoder.mid_block.attentions.0."
                    let (from, to) = hasNew ? (new, old) : (old, new)
                    content.tensors["\(prefix)\(to).\(part)"] = content.tensors.removeValue(
                        forKey: "\(prefix)\(from).\(part)")
                }
            }
        }
        let renamed = try AutoencoderDecoder(folder: model.file("vae")).decode(latents)
        #expect(renamed.channels.values == image.channels.values)
    }

    private static func latents(_ height: Int, _ width: Int) -> FeatureMap {
        let values = (0..<(4 * height * width)).map { Float($0 * 37 % 23) / 8 - 1.4 }
        return FeatureMap(Matrix(values, rows: 4, columns: height * width), height: height, width: width)
    }

    @Test(arguments: Precision.allCases.filter(\.isSupported))
    func imagesDependNeitherOnEarlierOnesNorOnThreads(precision: Precision) throws {
        let model = try ModelCopy(of: "alpha-small")
        let decoder = try AutoencoderDecoder(folder: model.file("vae"), precision: precision)
        let threads = BLAS.threadCount
        defer { BLAS.setThreadCount(threads) }
        let image = decoder.decode(Self.latents(9, 7)).channels.values
        for (count, other) in [(1, Self.latents(40, 33)), (2, Self.latents(1, 1)), (5, Self.latents(17, 16))] {
            BLAS.setThreadCount(count)
            _ = decoder.decode(other)
            #expect(decoder.decode(Self.latents(9, 7)).channels.values == image)
        }
    }

    @Test(.enabled(if: CPU.hasBFloat16)) func imagesInBFloat16AreClose() throws {
        let model = try ModelCopy(of: "alpha-small")
        let images = try [Precision.float32, .bfloat16].map {
            try AutoencoderDecoder(folder: model.file("vae"), precision: $0).decode(Self.latents(12, 13)).channels
        }
        let scale = images[0].values.map(abs).max() ?? 0
        let difference = zip(images[0].values, images[1].values).map { abs($0 - $1) }.max() ?? .infinity
        #expect(difference > 0 && difference < 0.05 * scale)
    }

    @Test func layersAreTimed() throws {
        let model = try ModelCopy(of: "alpha-small")
        let decoder = try AutoencoderDecoder(folder: model.file("vae"))
        var layers: [AutoencoderDecoder.LayerTime] = []
        decoder.onLayer = { layers.append($0) }
        _ = decoder.decode(Self.latents(4, 4))
        let upsampled = layers.filter { $0.kind == .upsampling }
        #expect(upsampled.map(\.width) == [8, 16])
        #expect(upsampled.map(\.flops) == upsampled.map { 18 * $0.width * $0.width * $0.channels.0 * $0.channels.1 })
        #expect(Set(layers.map(\.kind)) == Set(AutoencoderDecoder.LayerTime.Kind.allCases))
        #expect(layers.allSatisfy { $0.seconds >= 0 && $0.flops > 0 })
    }
}
