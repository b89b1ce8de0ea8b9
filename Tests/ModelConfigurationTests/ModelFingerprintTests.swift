import Basics
import Foundation
import TestSupport
import Testing

@testable import ModelConfiguration

/// Which files identify a model, however its directory is laid out.
@Suite struct ModelFingerprintTests {
    private static let pipelines = ["alpha-micro", "alpha-patch1", "flux-small"]
    private static let scorers = ["clip", "image-reward"]

    @Test(arguments: pipelines + scorers)
    func everyLoadedFileCountsAndNoOther(_ fixture: String) throws {
        let model = try ModelCopy(of: fixture)
        let original = try ModelFingerprint.compute(folder: model.path)
        for name in ["flux1-dev.safetensors", "notes.txt", "extra.json", ".gitattributes"] {
            try model.write("x", to: name)
        }
        #expect(try ModelFingerprint.compute(folder: model.path) == original)
        for name in try ModelFiles.loaded(from: model.path, part: .whole) {
            let bytes = try FileContents.read(model.file(name))
            var changed = bytes
            // White space at the end of a text; a byte of the last tensor, which the samples of both its ends cover.
            changed[bytes.count - 1] ^= 1
            if name.hasSuffix(".json") { changed = bytes + [0x20] }
            try Data(changed).write(to: URL(filePath: model.file(name)))
            #expect(try ModelFingerprint.compute(folder: model.path) != original, "\(name)")
            try Data(bytes).write(to: URL(filePath: model.file(name)))
        }
        #expect(try ModelFingerprint.compute(folder: model.path) == original)
    }

    @Test(arguments: pipelines + scorers)
    func linksAreFollowed(_ fixture: String) throws {
        let (model, folder) = (try ModelCopy(of: fixture), try TemporaryFolder())
        let original = try ModelFingerprint.compute(folder: model.path)
        let manager = FileManager.default
        let root = folder.file("root")
        try manager.createSymbolicLink(atPath: root, withDestinationPath: model.path)
        #expect(try ModelFingerprint.compute(folder: root) == original)
        let parts = folder.file("parts")
        try manager.createDirectory(atPath: parts, withIntermediateDirectories: true)
        for name in try manager.contentsOfDirectory(atPath: model.path) {
            try manager.createSymbolicLink(atPath: "\(parts)/\(name)", withDestinationPath: model.file(name))
        }
        #expect(try ModelFingerprint.compute(folder: parts) == original)
        let hub = try folder.hubCache(of: model.path)
        #expect(try ModelFingerprint.compute(folder: hub) == original)
    }

    /// Tensors of large files count even if they lie between the evenly spaced samples.
    @Test func smallTensorOfALargeFileCounts() throws {
        let model = try ModelCopy(of: "alpha-micro")
        let file = "transformer/diffusion_pytorch_model.safetensors"
        try model.edit(file) {
            for index in 0..<3 {
                $0.tensors["large.\(index)"] = .init(type: "U8", shape: [9 << 20], bytes: Data(count: 9 << 20))
            }
            $0.tensors["large.1.bias"] = .init(type: "F32", shape: [4], bytes: Data(count: 16))
        }
        let original = try ModelFingerprint.compute(folder: model.path)
        try model.edit(file) { $0.fill("large.1.bias", with: 1) }
        #expect(try ModelFingerprint.compute(folder: model.path) != original)
    }

    @Test func textEncodersDoNotCountForWorkersWithEmbeddings() throws {
        let model = try ModelCopy(of: "flux-small")
        let image = try ModelFingerprint.compute(folder: model.path, part: .image)
        let text = try ModelFingerprint.compute(folder: model.path, part: .text)
        for name in ["text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"] { try model.remove(name) }
        #expect(try ModelFingerprint.compute(folder: model.path, part: .image) == image)
        #expect(try ModelFingerprint.compute(folder: model.path) == image && text != image)
        #expect(
            complaint { try ModelFingerprint.compute(folder: model.path, part: .text) }.isOneLine(
                naming: "text_encoder"))
    }

    /// Recorded in histories, and computed by the Python worker as well (scripts/fixtures/make_fingerprints.py).
    @Test func fingerprintsOfTheFixturesAreThoseOfThePythonWorker() throws {
        let bytes = try FileContents.read("\(Fixtures.folder)/fingerprints.json")
        let expected = try JSONDecoder().decode([String: [String: String]].self, from: Data(bytes))
        #expect(expected.count == 6)
        for (name, hashes) in expected {
            let folder = "\(Fixtures.folder)/\(name)/model"
            #expect(try ModelFingerprint.compute(folder: folder) == hashes["whole"], "\(name)")
            guard let image = hashes["image"] else { continue }
            #expect(try ModelFingerprint.compute(folder: folder, part: .image) == image, "\(name)")
        }
    }

    @Test func directoryWithoutModelHasNoFingerprint() throws {
        let folder = try TemporaryFolder()
        #expect(
            complaint { try ModelFingerprint.compute(folder: folder.path) }
                .isOneLine(naming: folder.file("model_index.json"), "not found"))
    }

    // MARK: - Earlier releases

    /// Computed by the release before this fingerprint, for the fixture's directory and for a link to it.
    @Test func fingerprintsOfEarlierReleasesAreRecognised() throws {
        let recorded = "0b631f1f04b8b7f58b8b9bcd2caeded99d7322eb1f89688ad1cea3021cba7d27"
        let folder = "\(Fixtures.folder)/alpha-micro/model"
        func agreement(_ recorded: String, _ folder: String) throws -> ModelFingerprint.Agreement {
            ModelFingerprint.compare(recorded, with: try ModelFingerprint.compute(folder: folder), folder: folder)
        }
        #expect(try agreement(recorded, folder) == .earlier)
        #expect(try agreement(ModelFingerprint.compute(folder: folder), folder) == .same)
        #expect(try agreement(SHA256.digest([]).hexadecimal, folder) == .nothing)
        #expect(try agreement(recorded, "\(Fixtures.folder)/alpha-small/model") == .different)
    }
}
