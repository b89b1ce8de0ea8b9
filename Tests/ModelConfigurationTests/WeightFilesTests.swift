import Foundation
import TestSupport
import Testing

@testable import ModelConfiguration

/// Which weight files are used.
///
/// The choice is that of diffusers 0.42 and transformers 5.24.
@Suite struct WeightFilesTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func write(_ names: String..., index: [String: String] = [:]) throws {
        for name in names { _ = try folder.write("x", to: name) }
        for (name, shard) in index { _ = try folder.write("{\"weight_map\": {\"w\": \"\(shard)\"}}", to: name) }
    }

    private func names(_ library: WeightFiles.Library) throws -> [String] {
        try WeightFiles(folder: folder.path, library: library).names
    }

    private func expectError(_ library: WeightFiles.Library, _ parts: String...) {
        #expect(
            complaint { try WeightFiles(folder: folder.path, library: library) }
                .isOneLine(naming: [folder.path] + parts),
            "\(complaint { try WeightFiles(folder: folder.path, library: library) })")
    }

    /// `ModelMixin.from_pretrained` looks for an index first.
    @Test func shardsTakePrecedenceInDiffusers() throws {
        let shard = "diffusion_pytorch_model-00001-of-00001.safetensors"
        try write(
            "diffusion_pytorch_model.safetensors", shard,
            index: ["diffusion_pytorch_model.safetensors.index.json": shard])
        #expect(try names(.diffusers) == [shard])
    }

    /// `PreTrainedModel.from_pretrained` looks for a single file first.
    @Test func singleFileTakesPrecedenceInTransformers() throws {
        let shard = "model-00001-of-00001.safetensors"
        try write("model.safetensors", shard, index: ["model.safetensors.index.json": shard])
        #expect(try names(.transformers) == ["model.safetensors"])
    }

    @Test func namesOfTheOtherLibraryDoNotCount() throws {
        try write("model.safetensors")
        expectError(.diffusers, "no weights found but model.safetensors", "diffusion_pytorch_model.safetensors")
        try write("diffusion_pytorch_model.safetensors")
        #expect(try names(.diffusers) == ["diffusion_pytorch_model.safetensors"])
        #expect(try names(.transformers) == ["model.safetensors"])
    }

    // MARK: - Variants

    @Test func onlyVariantIsUsed() throws {
        try write("model.fp16.safetensors")
        #expect(try names(.transformers) == ["model.fp16.safetensors"])
        try write("model.safetensors")
        #expect(try names(.transformers) == ["model.safetensors"])
    }

    @Test(arguments: ["safetensors.index.fp16.json", "fp16.safetensors.index.json"])
    func shardsOfTheOnlyVariantAreUsed(_ suffix: String) throws {
        let shard = "diffusion_pytorch_model.fp16-00001-of-00001.safetensors"
        try write(shard, index: ["diffusion_pytorch_model.\(suffix)": shard])
        #expect(try names(.diffusers) == [shard])
    }

    @Test func severalVariantsAreNamed() throws {
        try write("model.fp16.safetensors", "model.bf16.safetensors")
        expectError(.transformers, "the variants bf16 and fp16", "expected model.safetensors")
    }

    // MARK: - Absence

    @Test(arguments: ["pytorch_model.bin", "model.pth", "model.ckpt"])
    func pickleIsNamedWithTheRemedy(_ name: String) throws {
        try write(name)
        expectError(.transformers, "/\(name): is a pickle", "model.safetensors", "safe_serialization")
    }

    @Test(arguments: ["model.safetensors.incomplete", "0a1b.incomplete"])
    func incompleteDownloadIsReported(_ name: String) throws {
        try write(name)
        expectError(.transformers, "no weights found", "the download is incomplete")
    }

    @Test func incompleteDownloadToALocalDirectoryIsReported() throws {
        for name in ["vae", ".cache/huggingface/download/vae"] {
            try FileManager.default.createDirectory(atPath: folder.file(name), withIntermediateDirectories: true)
        }
        try write(".cache/huggingface/download/vae/Zm9v.incomplete")
        #expect(
            complaint { try WeightFiles(folder: folder.file("vae"), library: .diffusers) }
                .isOneLine(naming: folder.file("vae"), "the download is incomplete"))
    }

    @Test func missingShardOfAnIncompleteDownloadIsReported() throws {
        try write("x.incomplete", index: ["model.safetensors.index.json": "model-00001-of-00001.safetensors"])
        expectError(.transformers, "model-00001-of-00001.safetensors: not found", "the download is incomplete")
    }

    @Test func danglingLinkIsNamedWithItsTarget() throws {
        try FileManager.default.createSymbolicLink(
            atPath: folder.file("model.safetensors"), withDestinationPath: "../../blobs/0a1b")
        expectError(.transformers, "/model.safetensors: is a link to ../../blobs/0a1b, which does not exist")
    }

    // MARK: - Quantization

    @Test(arguments: ["quantization_config", "compression_config"])
    func quantizedWeightsAreRefusedByName(_ key: String) throws {
        try write("model.safetensors")
        _ = try folder.write("{\"\(key)\": {\"quant_method\": \"bitsandbytes\"}}", to: "config.json")
        expectError(.transformers, "config.json", key, "\"bitsandbytes\"", "quantized weights are not supported")
        _ = try folder.write("{\"\(key)\": null}", to: "config.json")
        #expect(try names(.transformers) == ["model.safetensors"])
    }
}
