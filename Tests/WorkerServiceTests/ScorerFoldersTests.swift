import Foundation
import ModelConfiguration
import Schedules
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

    @Test func modelsAreFoundBesideTheRunsModelAndWhereTheUserSays() throws {
        let clip = try ModelFingerprint.compute(folder: folder.file("clip"))
        let reward = try ModelFingerprint.compute(folder: folder.file("a/reward"))
        let beside = try ScorerFolders(named: [], beside: folder.file("model/"))
        #expect(beside.fingerprints == [clip])
        #expect(try beside.folder(fingerprint: clip, of: .clip) == folder.file("clip"))
        let named = try ScorerFolders(named: [folder.file("a/reward")], beside: folder.file("model"))
        #expect(named.fingerprints == [clip, reward].sorted())
        #expect(try named.folder(fingerprint: reward, of: .imageReward) == folder.file("a/reward"))
        #expect(
            complaint { try beside.folder(fingerprint: reward, of: .imageReward) }.isOneLine(naming: "image-reward"))
    }

    @Test func aNamedFolderMustHoldAScorer() {
        for name in ["model", "nothing"] {
            #expect(
                complaint { try ScorerFolders(named: [folder.file(name)], beside: "/nowhere/m") }
                    .isOneLine(naming: "--scorer", folder.file(name)))
        }
    }
}
