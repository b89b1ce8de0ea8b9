import Basics
import Foundation
import Prompts
import Scoring
import Tensors
import TestSupport
import Testing

@Suite struct FolderScoringTests {
    private let folder: TemporaryFolder
    private var images: String { folder.file("images") }
    private var reference: String { folder.file("reference") }

    /// Six images; the first equals its reference.
    init() throws {
        folder = try TemporaryFolder()
        for name in [images, reference] {
            try FileManager.default.createDirectory(atPath: name, withIntermediateDirectories: true)
        }
        for number in 0..<6 {
            try Self.image(number, level: 0).write(to: "\(images)/0000\(number).png")
            try Self.image(number, level: number).write(to: "\(reference)/0000\(number).png")
        }
    }

    private static func image(_ number: Int, level: Int) -> Image {
        let pixels = (0..<(3 * 20 * 16)).map { UInt8(($0 / 3 % 20 * 7 + $0 % 3 * 60 + number * 31 + level * 9) % 256) }
        return Image(width: 20, height: 16, pixels: pixels)
    }

    private func prompts(_ count: Int = 6) throws -> PromptSet {
        try PromptSet(bytes: Array((0..<count).map { "prompt \($0)" }.joined(separator: "\n").utf8), file: "p")
    }

    private func paired(_ kinds: ScorerKind...) -> [FolderScoring.Request] {
        kinds.map { .scorer(ScorerSource($0)) }
    }

    @Test func summariesDescribeTheScoresOfEachScorer() throws {
        let requests = paired(.psnr, .ssim)
        let scoring = try FolderScoring(
            images: images, reference: reference, prompts: prompts(), requests: requests)
        var scores: [String: [Double]] = [:]
        var steps: [Int] = []
        let report = try scoring.run(
            progress: { steps.append($0) }, scored: { scores[$0.scorer, default: []].append($0.value) })
        #expect(steps == [1, 2, 3, 4, 5, 6] && scoring.stepCount == 6)
        let expected = try (0..<6).map {
            try PSNRScorer.psnr(Self.image($0, level: 0), reference: Self.image($0, level: $0))
        }
        #expect(scores["psnr"] == expected && scores["ssim"]?.count == 6)
        let summary = try #require(report.scores.first)
        let mean = expected.reduce(0, +) / 6
        #expect(summary.scorer == "psnr" && summary.images == 6 && abs(summary.mean - mean) < 1e-12)
        let squares = expected.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        #expect(abs((summary.standardError ?? 0) - (squares / 30).squareRoot()) < 1e-12)
        let sorted = expected.sorted()
        #expect(abs(summary.p5 - (sorted[0] * 0.75 + sorted[1] * 0.25)) < 1e-12)
        #expect(summary.worst == sorted[0])
        let worst = try #require(expected.firstIndex(of: sorted[0]))
        #expect(summary.worstImage == "0000\(worst).png" && summary.worstPrompt == "prompt \(worst)")
    }

    @Test func unreadableImagesAreReportedAndSkipped() throws {
        try Data("no image".utf8).write(to: URL(filePath: "\(images)/00001.png"))
        let whole = try Data(contentsOf: URL(filePath: "\(images)/00002.png"))
        try whole.prefix(60).write(to: URL(filePath: "\(images)/00002.png"))
        try FileManager.default.removeItem(atPath: "\(reference)/00004.png")
        let scoring = try FolderScoring(
            images: images, reference: reference, prompts: nil, requests: paired(.psnr))
        var failed: [String] = []
        let report = try scoring.run(failed: { failed.append($0.file) })
        #expect(failed == ["\(images)/00001.png", "\(images)/00002.png", "\(reference)/00004.png"])
        #expect(report.failures.map(\.file) == failed && report.images == 6)
        #expect(report.scores.map(\.images) == [3])
    }

    @Test func referencesMayHaveAnotherExtension() throws {
        let manager = FileManager.default
        try manager.moveItem(atPath: "\(reference)/00003.png", toPath: "\(reference)/00003.PNG")
        try manager.copyItem(atPath: "\(reference)/00002.png", toPath: "\(reference)/extra.png")
        func scoring() throws -> FolderScoring {
            try FolderScoring(images: images, reference: reference, prompts: nil, requests: paired(.psnr))
        }
        #expect(try scoring().run().scores.map(\.images) == [6])
        #expect(try scoring().notes == ["\(reference): 1 reference image has no image"])
        try manager.copyItem(atPath: "\(reference)/00003.PNG", toPath: "\(reference)/00003.jpg")
        #expect(complaint { try scoring() }.isOneLine(naming: "00003.png", "00003.PNG", "00003.jpg"))
        try manager.removeItem(atPath: "\(reference)/00003.jpg")
        try manager.copyItem(atPath: "\(images)/00003.png", toPath: "\(images)/00003.jpg")
        #expect(complaint { try scoring() }.isOneLine(naming: "same reference", "00003.PNG"))
        #expect(
            complaint {
                try FolderScoring(
                    images: images, reference: Fixtures.folder + "/images", prompts: nil, requests: paired(.psnr))
            }.isOneLine(naming: "no reference image"))
    }

    @Test func noScoresIsAnError() throws {
        for number in 0..<6 { try Data().write(to: URL(filePath: "\(images)/0000\(number).png")) }
        let scoring = try FolderScoring(
            images: images, reference: reference, prompts: nil, requests: paired(.psnr))
        #expect(throws: ScoringError.noneScored(folder: images, count: 6, scorer: "psnr")) { try scoring.run() }
    }

    @Test func missingInputsAreReportedBeforeScoring() throws {
        #expect(throws: ScoringError.self) {
            try FolderScoring(images: images, reference: nil, prompts: nil, requests: paired(.ssim))
        }
        #expect(throws: ScoringError.self) {
            try FolderScoring(images: images, reference: reference, prompts: nil, requests: paired(.latentError))
        }
        let clip = "\(Fixtures.folder)/clip/model"
        #expect(
            complaint {
                try FolderScoring(
                    images: images, reference: nil, prompts: nil, requests: [.scorer(ScorerSource(.clip, folder: clip))]
                )
            }.isOneLine(naming: "clip", "prompt"))
        #expect(throws: ScoringError.self) {
            try FolderScoring(images: images, reference: nil, prompts: nil, requests: [.frechet(folder: clip)])
        }
        let reward = "\(Fixtures.folder)/image-reward/model"
        #expect(throws: ScoringError.noFeatures(folder: reward)) {
            try FolderScoring(images: images, reference: reference, prompts: nil, requests: [.frechet(folder: reward)])
        }
    }

    @Test(arguments: ["clip", "inception"])
    func distanceGrowsWithTheDifference(_ network: String) throws {
        func distance(to reference: String) throws -> Double {
            let scoring = try FolderScoring(
                images: images, reference: reference, prompts: nil,
                requests: [.frechet(folder: "\(Fixtures.folder)/\(network)/model")])
            #expect(scoring.stepCount == 12)
            let report = try scoring.run()
            #expect(report.distances.map(\.images) == [6] && report.distances.map(\.referenceImages) == [6])
            return report.distances[0].distance
        }
        let same = try distance(to: images)
        #expect(same >= 0 && same < 1e-6)
        #expect(try distance(to: reference) > 100 * same + 1e-6)
    }

    @Test func modelScorersUseThePromptOfEachImage() throws {
        let models = [ScorerKind.imageReward, .clip].map { kind in
            ScorerSource(kind, folder: "\(Fixtures.folder)/\(kind.rawValue)/model")
        }
        #expect(models.map(\.folder).map { ScorerSource(folder: $0) } == models)
        let scoring = try FolderScoring(
            images: images, reference: nil, prompts: prompts(), requests: models.map { .scorer($0) })
        var scores: [String: [Double]] = [:]
        _ = try scoring.run(scored: { scores[$0.scorer, default: []].append($0.value) })
        #expect(scores.keys.sorted() == ["clip", "image-reward"])
        for (name, values) in scores {
            #expect(Set(values).count == 6, "\(name): \(values)")
            #expect(values.allSatisfy { abs($0) <= (name == "clip" ? 100 : 10) })
        }
    }
}
