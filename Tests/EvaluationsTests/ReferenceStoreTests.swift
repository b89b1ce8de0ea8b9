import Diffusion
import Foundation
import ModelConfiguration
import Models
import Schedules
import Scoring
import Tensors
import TestSupport
import Testing

@testable import Evaluations

@Suite struct ReferenceStoreTests {
    private static let settings = EvaluationSettings(
        generation: GenerationSettings(height: 16, width: 24, stepCount: 4, guidanceScale: 4.5),
        prompts: ["a red lighthouse", "a silver fox in the snow", ""], negativePrompt: "")

    private let folder: TemporaryFolder
    private let items = [EvaluationItem(prompt: 1, seed: 5), EvaluationItem(prompt: 0, seed: 6)]

    init() throws { folder = try TemporaryFolder() }

    private func store(_ identity: [String] = ["1.0", "model"]) throws -> ReferenceStore {
        try ReferenceStore(folder: folder.file("references"), identity: identity)
    }

    /// An evaluator as a worker opens it.
    private func evaluator(_ store: ReferenceStore?, settings: EvaluationSettings = settings) throws -> Evaluator {
        let evaluator = try Evaluator(
            model: ModelFolder(path: "\(Fixtures.folder)/alpha-small/model"), settings: settings, store: store)
        _ = try evaluator.canary()
        return evaluator
    }

    private func evaluate(
        _ evaluator: Evaluator, _ items: [EvaluationItem]? = nil, measuresLatency: Bool = false
    ) throws -> [[String: Double]] {
        var schedule = Schedule(shape: evaluator.shape)
        for step in 1..<evaluator.shape.stepCount { schedule[step * evaluator.shape.genesPerStep + 1] = .reuse }
        let task = EvaluationTask(
            candidates: [(1, schedule)], items: items ?? self.items, measuresLatency: measuresLatency,
            returnsImages: false)
        return try #require(try evaluator.evaluate(task) { _, _ in true }).map(\.scores)
    }

    private func files() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.file("references")).sorted()
    }

    @Test func aRestartedEvaluatorDoesNotDenoiseThemAgain() throws {
        let first = try evaluator(try store())
        let scores = try evaluate(first)
        #expect(first.denoisedReferenceCount == 1)
        #expect(try files().count == 1)
        #expect(try evaluate(try evaluator(nil)) == scores)
        let second = try evaluator(try store())
        #expect(try evaluate(second) == scores)
        #expect(second.denoisedReferenceCount == 0)
        // The time of the uncached reference is measured all the same; the images are those on disk.
        #expect(try evaluate(second, measuresLatency: true) == scores)
        // Their bits depend on the order in the batch.
        _ = try evaluate(second, items.reversed())
        #expect(second.denoisedReferenceCount == 1)
        #expect(try files().count == 2)
    }

    @Test func nothingIsUsedBeforeTheEngineHasShownItsRounding() throws {
        let evaluator = try Evaluator(
            model: ModelFolder(path: "\(Fixtures.folder)/alpha-small/model"), settings: Self.settings,
            store: try store())
        _ = try evaluate(evaluator)
        #expect(try files() == [])
    }

    @Test func anotherModelReleaseOrSettingFindsNothing() throws {
        _ = try evaluate(try evaluator(try store()))
        var other = Self.settings
        other.generation.guidanceScale = 3
        var prompts = Self.settings
        prompts.prompts[1] = "a silver fox in the sand"
        let evaluators = [
            try evaluator(try store(["1.1", "model"])), try evaluator(try store(["1.0", "mode", "l"])),
            try evaluator(try store(), settings: other), try evaluator(try store(), settings: prompts),
        ]
        for evaluator in evaluators {
            _ = try evaluate(evaluator)
            #expect(evaluator.denoisedReferenceCount == 1)
        }
        #expect(try files().count == 5)
        let batch = { (canary: [Float]) in
            ReferenceStore.Batch(settings: Self.settings, items: [], canary: canary)
        }
        let latents = Matrix([1, 2], rows: 1, columns: 2)
        let store = try store()
        try store.keep(latents, of: batch([1, 0.5]))
        #expect(store.latents(of: batch([1, Float(0.5).nextUp]), columns: 2) == nil)
    }

    @Test(arguments: [0, 100, -1, -30])
    func aDamagedFileIsReplaced(_ position: Int) throws {
        let scores = try evaluate(try evaluator(try store()))
        let path = folder.file("references/\(try files()[0])")
        let intact = try Data(contentsOf: URL(fileURLWithPath: path))
        var damaged = intact
        damaged[position < 0 ? damaged.count + position : position] ^= 1
        try damaged.write(to: URL(fileURLWithPath: path))
        let evaluator = try evaluator(try store())
        #expect(try evaluate(evaluator) == scores)
        #expect(evaluator.denoisedReferenceCount == 1)
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == intact)
        try intact.prefix(40).write(to: URL(fileURLWithPath: path))
        let afterTruncation = try self.evaluator(try store())
        #expect(try evaluate(afterTruncation) == scores)
        #expect(afterTruncation.denoisedReferenceCount == 1)
    }

    @Test func theLeastRecentlyUsedAreDeletedBeyondTheLimit() throws {
        let store = try ReferenceStore(folder: folder.file("references"), identity: [], byteLimit: 40_000)
        let latents = Matrix([Float](repeating: 1, count: 1_000), rows: 1, columns: 1_000)
        func batch(_ seed: UInt64) -> ReferenceStore.Batch {
            ReferenceStore.Batch(
                settings: Self.settings, items: [EvaluationItem(prompt: 0, seed: seed)], canary: [1])
        }
        for seed in 0..<9 as Range<UInt64> {
            try store.keep(latents, of: batch(seed))
            let file = URL(fileURLWithPath: folder.file("references"))
            for name in try files() {
                // Older by an hour for each batch since the last use.
                var path = file.appendingPathComponent(name)
                var values = try path.resourceValues(forKeys: [.contentModificationDateKey])
                values.contentModificationDate = values.contentModificationDate?.addingTimeInterval(-3_600)
                try path.setResourceValues(values)
            }
        }
        #expect(store.latents(of: batch(0), columns: 1_000)?.values == latents.values)
        try store.keep(latents, of: batch(9))
        #expect(try files().count == 7)
        let kept = (0..<10).map { store.latents(of: batch($0), columns: 1_000) != nil }
        #expect(kept == [true, false, false, false, true, true, true, true, true, true])
    }

    @Test func aFullDiskIsReportedOnceAndChangesNothing() throws {
        let evaluator = try evaluator(try store())
        try FileManager.default.removeItem(atPath: folder.file("references"))
        let scores = try evaluate(evaluator)
        #expect(try evaluate(try self.evaluator(nil)) == scores)
        let problem = try #require(evaluator.takeStoreProblem())
        #expect(problem.contains(folder.file("references")) && problem.contains("no such file or directory"))
        _ = try evaluate(evaluator, items.reversed())
        #expect(evaluator.takeStoreProblem() == nil)
    }

    @Test func aFolderThatCannotBeCreatedIsAnError() throws {
        let file = try folder.write("", to: "file")
        #expect {
            _ = try ReferenceStore(folder: "\(file)/references", identity: [])
        } throws: {
            "\($0)".contains("cannot be created")
        }
    }
}
