import Foundation
import ModelConfiguration
import Models
import Tensors
import TestSupport
import Testing

/// Weights that are missing, truncated or inconsistent with the configuration.
@Suite struct CheckpointTests {
    private static let file = "transformer/diffusion_pytorch_model.safetensors"
    private static let index = "\(file).index.json"
    private static let firstShard = "transformer/diffusion_pytorch_model-00001-of-00002.safetensors"

    private func open(_ model: ModelCopy) -> Complaint {
        complaint { try PixArtTransformer(folder: model.file("transformer")) }
    }

    @Test func missingDirectoryIsReported() throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.remove("transformer")
        #expect(open(model).isOneLine(naming: model.file("transformer/config.json"), "not found"))
    }

    @Test func missingWeightsAreReported() throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.remove(Self.file)
        #expect(open(model).isOneLine(naming: model.file("transformer"), "diffusion_pytorch_model.safetensors"))
    }

    @Test(arguments: [0.00001, 0.01, 0.5, 0.9999])
    func truncatedWeightsAreRejected(_ part: Double) throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.truncate(Self.file, toFraction: part)
        #expect(open(model).isOneLine(naming: model.file(Self.file), "bytes", "describes", "truncated"))
    }

    @Test func emptyWeightsAreRejected() throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.write("", to: Self.file)
        #expect(open(model).isOneLine(naming: model.file(Self.file), "is empty"))
    }

    @Test(arguments: ["F8_E4M3", "F8_E5M2"])
    func eightBitWeightsAreRejectedByName(_ type: String) throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.edit(Self.file) {
            guard let tensor = $0.tensors["proj_out.weight"] else { return }
            let count = tensor.shape.reduce(1, *)
            $0.tensors["proj_out.weight"] = .init(type: type, shape: tensor.shape, bytes: Data(count: count))
        }
        #expect(open(model).isOneLine(naming: model.file(Self.file), "proj_out.weight", type, "F16, BF16"))
    }

    @Test(arguments: ["F4", "F8_E8M0", "C64"])
    func typesThatAreNotReadAreNamed(_ type: String) throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.edit(Self.file) { $0.tensors["proj_out.weight"]?.type = type }
        #expect(open(model).isOneLine(naming: model.file(Self.file), "proj_out.weight", "has type \(type)", "BF16"))
    }

    /// Files of a clone without Git LFS; one in a snapshot of a hub cache whose blobs were not copied.
    @Test(arguments: [
        "transformer/config.json", file, "vae/diffusion_pytorch_model.safetensors", "tokenizer/spiece.model",
        "text_encoder/model.safetensors", "model_index.json", "scheduler/scheduler_config.json",
    ])
    func gitLFSPointersAreReportedWithTheRemedy(_ name: String) throws {
        let model = try ModelCopy(of: "alpha-micro")
        try model.write(
            "version https://git-lfs.github.com/spec/v1\noid sha256:0a1b\nsize 12345\n", to: name)
        let error = complaint { try ModelFingerprint.compute(folder: model.path) }
        #expect(error.isOneLine(naming: model.file(name), "Git LFS pointer", "git lfs pull"))
        guard !name.contains("index"), !name.contains("scheduler") else { return }
        let loading = complaint {
            _ = try TextEncoding(model: ModelFolder(path: model.path))
            _ = try PixArtTransformer(folder: model.file("transformer"))
            return try AutoencoderDecoder(folder: model.file("vae"))
        }
        #expect(loading.isOneLine(naming: model.file(name), "Git LFS pointer", "git lfs pull"), "\(loading)")
    }

    @Test(arguments: [("PK\u{3}\u{4}zip of PyTorch", "zip archive"), ("GGUF", "GGUF"), ("<!DOCTYPE html>", "HTML")])
    func otherFormatsAreNamed(_ content: String, _ kind: String) throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.write(content + String(repeating: "x", count: 100), to: Self.file)
        #expect(open(model).isOneLine(naming: model.file(Self.file), "not a safetensors file", kind))
    }

    @Test(arguments: ["proj_out.weight", "transformer_blocks.1.attn2.to_k.bias", "scale_shift_table"])
    func missingTensorIsReported(_ name: String) throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.edit(Self.file) { $0.tensors[name] = nil }
        #expect(open(model).isOneLine(naming: model.file("transformer"), "\"\(name)\" is missing"))
    }

    @Test(arguments: ["pos_embed.proj.weight", "adaln_single.linear.weight", "proj_out.bias"])
    func wrongTensorShapeIsRejected(_ name: String) throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.edit(Self.file) { $0.tensors[name]?.shape.append(1) }
        #expect(open(model).isOneLine(naming: model.file("transformer"), name, "1]; expected ["))
    }

    @Test(arguments: ["pos_embed.proj.weight", "adaln_single.linear.weight", "proj_out.bias"])
    func integerTensorIsRejected(_ name: String) throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.edit(Self.file) { $0.tensors[name]?.type = "I32" }
        #expect(open(model).isOneLine(naming: model.file(Self.file), name, "I32", "floating-point"))
    }

    @Test func unusedTensorsAreIgnored() throws {
        let model = try ModelCopy(of: "alpha-small")
        try model.edit(Self.file) {
            $0.tensors["pos_embed.pos_embed"] = .init(type: "F32", shape: [1], bytes: Data(count: 4))
        }
        #expect(open(model).description.isEmpty)
    }

    // MARK: - Shards

    @Test func missingShardIsReported() throws {
        let model = try ModelCopy(of: "alpha-patch1")
        try model.remove(Self.firstShard)
        #expect(open(model).isOneLine(naming: model.file(Self.firstShard), "not found", model.file(Self.index)))
    }

    @Test(arguments: ["../vae/diffusion_pytorch_model.safetensors", "/etc/passwd", ""])
    func indexMustNotReferToOtherDirectories(_ shard: String) throws {
        let model = try ModelCopy(of: "alpha-patch1")
        try model.set("weight_map", to: "{\"proj_out.weight\": \"\(shard)\"}", in: Self.index)
        #expect(open(model).isOneLine(naming: model.file(Self.index), "weight_map", "\"\(shard)\"", "same directory"))
    }

    @Test func shardWithoutIndexedTensorIsReported() throws {
        let model = try ModelCopy(of: "alpha-patch1")
        let (shard, name) = (model.file(Self.firstShard), "adaln_single.linear.bias")
        #expect(try SafetensorsFile(path: shard).contains(name))
        try model.edit(Self.firstShard) { $0.tensors[name] = nil }
        #expect(open(model).isOneLine(naming: shard, name))
    }

    @Test(arguments: ["[]", "{\"proj_out.weight\": 3}", "3"])
    func malformedWeightMapIsRejected(_ map: String) throws {
        let model = try ModelCopy(of: "alpha-patch1")
        try model.set("weight_map", to: map, in: Self.index)
        #expect(open(model).isOneLine(naming: model.file(Self.index), "weight_map", "object of strings"))
    }

    @Test func tensorMissingFromIndexIsReported() throws {
        let model = try ModelCopy(of: "alpha-patch1")
        try model.set("weight_map", to: "{}", in: Self.index)
        #expect(open(model).isOneLine(naming: model.file("transformer"), "is missing"))
    }
}
