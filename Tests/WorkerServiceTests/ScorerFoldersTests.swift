import Basics
import Foundation
import ModelConfiguration
import Scoring
import TestSupport
import Testing

@testable import WorkerService

@Suite struct ScorerFoldersTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        for name in ["model", "a"] {
            try FileManager.default.createDirectory(atPath: folder.file(name), withIntermediateDirectories: true)
        }
        _ = try folder.write("{\"model_type\": \"t5\"}", to: "model/config.json")
        _ = try folder.copy(of: "\(Fixtures.folder)/image-reward/model", as: "a/reward")
        _ = try folder.copy(of: "\(Fixtures.folder)/clip/model", as: "clip")
    }

    @Test func modelsAreFoundNextToTheRunsModelAndInGivenFolders() throws {
        let clip = try ModelFingerprint.compute(folder: folder.file("clip"))
        let reward = try ModelFingerprint.compute(folder: folder.file("a/reward"))
        let neighbors = try ScorerFolders(given: [], nextTo: folder.file("model/"))
        #expect(neighbors.fingerprints == [clip])
        #expect(try neighbors.folder(fingerprint: clip, of: .clip) == folder.file("clip"))
        let both = try ScorerFolders(given: [folder.file("a/reward")], nextTo: folder.file("model"))
        #expect(both.fingerprints == [clip, reward].sorted())
        #expect(try both.folder(fingerprint: reward, of: .imageReward) == folder.file("a/reward"))
        #expect(
            complaint { try neighbors.folder(fingerprint: reward, of: .imageReward) }.isOneLine(naming: "image-reward"))
    }

    /// A run may not need it.
    @Test func unusableModelNextToTheRunsModelIsReported() throws {
        try FileManager.default.removeItem(atPath: folder.file("clip/model.safetensors"))
        let neighbors = try ScorerFolders(given: [folder.file("a/reward")], nextTo: folder.file("model"))
        #expect(neighbors.fingerprints.count == 1)
        #expect(neighbors.problems.count == 1 && neighbors.problems[0].contains(folder.file("clip")))
        #expect(
            complaint { try ScorerFolders(given: [folder.file("clip")], nextTo: "/nowhere/m") }
                .isOneLine(naming: folder.file("clip"), "no weights found"))
    }

    @Test func givenFolderMustContainAScorerModel() {
        for name in ["model", "nothing"] {
            #expect(
                complaint { try ScorerFolders(given: [folder.file(name)], nextTo: "/nowhere/m") }
                    .isOneLine(naming: "--scorer", folder.file(name)))
        }
    }
}
