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
        for (name, type) in [("model", "t5"), ("a/reward", "image-reward"), ("clip", "clip")] {
            try FileManager.default.createDirectory(atPath: folder.file(name), withIntermediateDirectories: true)
            _ = try folder.write("{\"model_type\": \"\(type)\"}", to: "\(name)/config.json")
        }
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

    @Test func givenFolderMustContainAScorerModel() {
        for name in ["model", "nothing"] {
            #expect(
                complaint { try ScorerFolders(given: [folder.file(name)], nextTo: "/nowhere/m") }
                    .isOneLine(naming: "--scorer", folder.file(name)))
        }
    }
}
