import Foundation
import TestSupport
import Testing

/// One damaged weight ends a program with one line that names it, and nothing is written.
@Suite struct NonFiniteTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Sets the first element of a tensor.
    private func damage(_ model: ModelCopy, _ file: String, _ tensor: String, _ value: Float) throws {
        try model.edit(file) { content in
            let stored = try #require(content.tensors[tensor])
            var filled = content
            filled.fill(tensor, with: value)
            let width = stored.type == "F32" ? 4 : 2
            let element =
                stored.type == "BF16"
                ? withUnsafeBytes(of: UInt16(value.bitPattern >> 16)) { Data($0) }
                : filled.tensors[tensor]?.bytes.prefix(width) ?? Data()
            content.tensors[tensor]?.bytes = element + stored.bytes.dropFirst(width)
        }
    }

    private func expectFailure(_ program: String, _ arguments: [String], naming parts: [String]) throws {
        let run = try ProgramRun(program, arguments)
        #expect(run.wait() == 1, "\(run.errors)")
        #expect(run.errors.split(separator: "\n").count { $0.contains("error:") } == 1, "\(run.errors)")
        for part in parts { #expect(run.errors.contains(part), "no \"\(part)\" in: \(run.errors)") }
    }

    private static let t5 = "encoder.block.0.layer.0.SelfAttention"

    @Test(arguments: [
        // float16, bfloat16 and float32; tensors of every role.
        ("alpha-micro", "text_encoder/model.safetensors", "\(t5).k.weight", "text encoder T5"),
        ("alpha-micro", "text_encoder/model.safetensors", "encoder.final_layer_norm.weight", ""),
        (
            "alpha-micro", "transformer/diffusion_pytorch_model.safetensors", "proj_out.weight",
            "transformer at step 1 of 2"
        ),
        (
            "alpha-small", "transformer/diffusion_pytorch_model.safetensors",
            "transformer_blocks.0.attn1.to_k.weight", "transformer at step 1 of 2"
        ),
        (
            "alpha-small", "transformer/diffusion_pytorch_model.safetensors",
            "transformer_blocks.1.ff.net.0.proj.weight", "transformer at step 1 of 2"
        ),
        ("alpha-small", "vae/diffusion_pytorch_model.safetensors", "decoder.conv_out.weight", "VAE decoding"),
        (
            "flux-small", "text_encoder/model.safetensors", "text_model.encoder.layers.0.mlp.fc1.weight",
            "text encoder CLIP"
        ),
        ("flux-small", "vae/diffusion_pytorch_model.safetensors", "decoder.conv_in.weight", "VAE decoding"),
    ])
    func damagedWeightsEndGeneration(_ fixture: String, _ file: String, _ tensor: String, _ stage: String) throws {
        for value in [Float.nan, .infinity] {
            let model = try ModelCopy(of: fixture)
            try damage(model, file, tensor, value)
            let output = folder.file("image.png")
            let common = ["--model", model.path, "--threads", "1"]
            let parts = [model.file(file), "\"\(tensor)\" contains", stage].filter { !$0.isEmpty }
            try expectFailure(
                "ecad",
                ["generate", "--prompt", "a fox", "--steps", "2", "--height", "16", "--width", "16", "-o", output]
                    + common,
                naming: parts)
            #expect(!FileManager.default.fileExists(atPath: output))
            guard file.hasPrefix("text_encoder") else { continue }
            let prompts = try folder.write("a fox\n", to: "prompts.txt")
            let embeddings = folder.file("embeddings.safetensors")
            try expectFailure("ecad", ["embed", "--prompts", prompts, "-o", embeddings] + common, naming: parts)
            #expect(!FileManager.default.fileExists(atPath: embeddings))
        }
    }

    @Test(arguments: [
        ("alpha-small", "transformer", "transformer/diffusion_pytorch_model.safetensors", "proj_out.weight"),
        (
            "flux-small", "transformer", "transformer/diffusion_pytorch_model-00003-of-00003.safetensors",
            "proj_out.weight"
        ),
        ("alpha-small", "vae-decoder", "vae/diffusion_pytorch_model.safetensors", "decoder.conv_out.weight"),
        ("alpha-small", "text-encoder", "text_encoder/model.safetensors", "encoder.final_layer_norm.weight"),
    ])
    func damagedWeightsEndAVerification(
        _ fixture: String, _ reference: String, _ file: String, _ tensor: String
    ) throws {
        let model = try ModelCopy(of: fixture)
        try damage(model, file, tensor, .nan)
        try expectFailure(
            "ecad",
            ["verify", "--model", model.path, "--reference", "\(Fixtures.folder)/\(fixture)/\(reference).safetensors"],
            naming: [model.file(file), "\"\(tensor)\" contains NaN"])
    }

    @Test func damagedEmbeddingsEndGeneration() throws {
        let model = "\(Fixtures.folder)/alpha-micro/model"
        let prompts = try folder.write("a fox\n", to: "prompts.txt")
        let file = folder.file("embeddings.safetensors")
        let run = try ProgramRun(
            "ecad", ["embed", "--model", model, "--prompts", prompts, "--threads", "1", "-o", file])
        #expect(run.wait() == 0, "\(run.errors)")
        var content = try SafetensorsContent(path: file)
        content.fill("0.text", with: .nan)
        try content.write(to: file)
        try expectFailure(
            "ecad",
            [
                "generate", "--model", model, "--embeddings", file, "--steps", "2", "--threads", "1", "-o",
                folder.file("images"),
            ],
            naming: [file, "\"0.text\" contains NaN"])
        #expect(!FileManager.default.fileExists(atPath: folder.file("images")))
    }

    @Test(arguments: [
        ("clip", "visual_projection.weight"), ("image-reward", "mlp.layers.0.weight"),
        ("inception", "Conv2d_1a_3x3.conv.weight"),
    ])
    func damagedScorersEndScoring(_ fixture: String, _ tensor: String) throws {
        let scorer = try ModelCopy(of: fixture)
        let files = try FileManager.default.contentsOfDirectory(atPath: scorer.path)
        let file = try #require(
            files.filter { $0.hasSuffix(".safetensors") }.first {
                try SafetensorsContent(path: scorer.file($0)).tensors[tensor] != nil
            })
        // Inception's ReLU would make zeros of it.
        try damage(scorer, file, tensor, fixture == "inception" ? -.infinity : .nan)
        try FileManager.default.createDirectory(atPath: folder.file("images"), withIntermediateDirectories: true)
        for name in ["0", "1"] {
            _ = try folder.copy(of: "\(Fixtures.folder)/scoring/colour.jpg", as: "images/\(name).jpg")
        }
        let prompts = try folder.write("a fox\na hare\n", to: "prompts.txt")
        let kind =
            fixture == "inception"
            ? ["--scorer", "frechet:\(scorer.path)", "--reference", folder.file("images")]
            : ["--scorer", scorer.path, "--prompts", prompts]
        try expectFailure(
            "ecad", ["score", "--images", folder.file("images")] + kind,
            naming: [scorer.file(file), "\"\(tensor)\" contains"])
    }

    /// The worker names the tensor and leaves; neither its processor nor a candidate is at fault.
    @Test func damagedWeightsEndARun() throws {
        let model = try ModelCopy(of: "alpha-micro")
        let file = "transformer/diffusion_pytorch_model.safetensors"
        try damage(model, file, "proj_out.weight", .nan)
        let run = try SmallRun(model: model.path)
        let coordinator = try run.begin(workers: 1)
        #expect(coordinator.wait() == 1, "\(coordinator.errors)")
        #expect(coordinator.errors.contains("\"proj_out.weight\" contains NaN"), "\(coordinator.errors)")
        // The line on the number of threads names processors as well.
        let lines = coordinator.errors.split(separator: "\n").filter {
            !$0.contains("that this process may run on") && !$0.contains("CPU quota")
        }
        #expect(!lines.contains { $0.contains("canary") || $0.contains("processor") }, "\(coordinator.errors)")
        #expect(try run.count("SELECT coalesce(sum(failures), 0) FROM tasks") == 0)
    }

    /// Weights in half precision are computed with in single precision: their square overflows float16.
    @Test func halfPrecisionWeightsDoNotOverflow() throws {
        let half = try ModelCopy(of: "alpha-micro")
        let file = "text_encoder/model.safetensors"
        let single = try ModelCopy(of: "alpha-micro")
        try half.edit(file) { content in
            #expect(content.tensors["shared.weight"]?.type == "F16")
            content.fill("shared.weight", with: 60000)
        }
        try single.edit(file) { content in
            content.fill("shared.weight", with: 60000)
            for (name, tensor) in content.tensors where tensor.type == "F16" {
                let wide = tensor.bytes.withUnsafeBytes { source in
                    (0..<tensor.bytes.count / 2).map {
                        Float(source.loadUnaligned(fromByteOffset: 2 * $0, as: Float16.self))
                    }
                }
                content.tensors[name] = .init(
                    type: "F32", shape: tensor.shape, bytes: wide.withUnsafeBytes { Data($0) })
            }
        }
        let prompts = try folder.write("a fox\n", to: "prompts.txt")
        let embeddings = try [half, single].map { model in
            let output = folder.file("embeddings.safetensors")
            let run = try ProgramRun(
                "ecad", ["embed", "--model", model.path, "--prompts", prompts, "--threads", "1", "-o", output])
            #expect(run.wait() == 0, "\(run.errors)")
            return try SafetensorsContent(path: output).tensors["0.text"]?.bytes
        }
        #expect(embeddings[0] != nil && embeddings[0] == embeddings[1])
    }
}
