import Diffusion
import ModelConfiguration
import Models
import Schedules
import Scoring
import Tensors
import TestSupport
import Testing

@testable import Evaluations

@Suite struct EvaluatorTests {
    private static let prompts = ["a red lighthouse", "a silver fox in the snow", ""]
    private static let settings = EvaluationSettings(
        generation: GenerationSettings(height: 16, width: 24, stepCount: 4, guidanceScale: 4.5), prompts: prompts,
        negativePrompt: "")

    private let evaluator: Evaluator
    private let items = [EvaluationItem(prompt: 1, seed: 5), EvaluationItem(prompt: 0, seed: 6)]

    init() throws {
        evaluator = try Evaluator(
            model: ModelFolder(path: "\(Fixtures.folder)/alpha-small/model"), settings: Self.settings)
    }

    /// A schedule that reuses one component at every step but the first.
    private func caching(_ component: Int) -> Schedule {
        var schedule = Schedule(shape: evaluator.shape)
        for step in 1..<evaluator.shape.stepCount { schedule[step * evaluator.shape.genesPerStep + component] = .reuse }
        return schedule
    }

    private func evaluate(
        _ candidates: [(id: Int64, schedule: Schedule?)], items: [EvaluationItem]? = nil, measuresLatency: Bool = false,
        returnsImages: Bool = false, progress: (Int, Int) -> Bool = { _, _ in true }
    ) throws -> [ImageResult]? {
        let task = EvaluationTask(
            candidates: candidates, items: items ?? self.items, measuresLatency: measuresLatency,
            returnsImages: returnsImages)
        return try evaluator.evaluate(task, progress: progress)
    }

    @Test func recomputingEverythingMatchesTheReference() throws {
        let results = try #require(
            try evaluate([(1, Schedule(shape: evaluator.shape)), (2, nil), (3, caching(0))], returnsImages: true))
        #expect(results.map { $0.scores["psnr"] == 100 } == [true, true, true, true, false, false])
        let images = try results.map { try #require($0.image) }
        #expect(images[0] == images[2] && images[1] == images[3])
        #expect(images[0] != images[1] && images[0] != images[4])
        #expect(images.allSatisfy { $0.width == 24 && $0.height == 16 })
        for index in 4..<6 {
            let psnr = try PSNRScorer.psnr(images[index], reference: images[index - 4])
            #expect(results[index].scores["psnr"] == psnr)
        }
    }

    @Test func thumbnailsAreReducedImagesOfSomeItems() throws {
        var task = EvaluationTask(
            candidates: [(1, caching(0)), (2, nil)], items: items, measuresLatency: false, returnsImages: false)
        let plain = try #require(try evaluator.evaluate(task) { _, _ in true })
        #expect(plain.allSatisfy { $0.image == nil && $0.reference == nil })
        task.thumbnails = [items[1], EvaluationItem(prompt: 2, seed: 9)]
        task.returnsReferences = true
        task.imagePixels = 12
        let results = try #require(try evaluator.evaluate(task) { _, _ in true })
        #expect(results.map { $0.image != nil } == [false, true, false, true])
        // The uncached image once, and equal to that of the uncached candidate.
        #expect(results.map { $0.reference != nil } == [false, true, false, false])
        #expect(results[1].reference == results[3].image && results[1].image != results[3].image)
        let whole = try #require(try evaluate([(1, caching(0))], returnsImages: true)?[1].image)
        #expect(results[1].image == whole.resized(width: 12, height: 8))
        #expect(zip(plain, results).allSatisfy { $0.scores == $1.scores })
    }

    @Test func resultsAreOrderedByCandidateAndItem() throws {
        let ids: [Int64] = [9, 3, 7, 7, -1, 12]
        let candidates = ids.enumerated().map { (id: $1, schedule: Optional(caching($0))) }
        let results = try #require(try evaluate(candidates, measuresLatency: true))
        #expect(results.map(\.candidateID) == ids.flatMap { [$0, $0] })
        #expect(results.map(\.item) == ids.flatMap { _ in items })
        // Different schedules give different scores, so no result has another candidate's images.
        #expect(Set(results.compactMap { $0.scores["psnr"] }).count == 12)
    }

    @Test func candidatesBetweenReferencesShareTheirTime() throws {
        let candidates = (0..<6).map { (id: Int64($0), schedule: Optional(caching($0))) }
        for measuresLatency in [false, true, false] {
            let results = try #require(try evaluate(candidates, measuresLatency: measuresLatency))
            #expect(results.count == 12)
            for result in results {
                #expect(result.denoiseSeconds > 0 && result.decodeSeconds > 0)
                #expect(result.referenceSeconds ?? 0 > 0)
            }
            // Of six candidates, four are between the first two references.
            #expect(Set(results.map(\.referenceSeconds)).count <= 2)
            if measuresLatency { #expect(results[0].referenceSeconds != results[8].referenceSeconds) }
            // Images of a batch share its time; candidates timed between the same references share them.
            #expect(results[0].denoiseSeconds == results[1].denoiseSeconds)
            #expect(results[0].referenceSeconds == results[7].referenceSeconds)
        }
    }

    @Test func referenceIsTimedAgainAfterAWhile() throws {
        let candidates = [(id: Int64(1), schedule: Optional(caching(0)))]
        _ = try evaluate(candidates)
        func referenceSeconds(timed end: ContinuousClock.Instant) throws -> Double {
            var timings = UncachedTimings(imageCount: items.count)
            timings.add(1000, at: end)
            evaluator.uncachedTimings[items.count] = timings
            return try #require(try evaluate(candidates)?.first?.referenceSeconds)
        }
        #expect(try referenceSeconds(timed: .now) == 1000)
        #expect(try referenceSeconds(timed: .now - .seconds(1_000_000)) < 1000)
    }

    @Test func imagesAreReturnedOnlyIfRequested() throws {
        #expect(try evaluate([(1, nil)])?.contains { $0.image != nil } == false)
        #expect(try evaluate([(1, nil)], returnsImages: true)?.contains { $0.image == nil } == false)
    }

    @Test func cachedReferencesGiveTheSameScores() throws {
        let first = try evaluate([(1, caching(2))])?.map(\.scores)
        _ = try evaluate([(2, caching(1))], items: [EvaluationItem(prompt: 2, seed: 5), items[0], items[1]])
        #expect(try evaluate([(1, caching(2))])?.map(\.scores) == first)
    }

    @Test func progressCountsImages() throws {
        var reports: [[Int]] = []
        _ = try evaluate((0..<5).map { (Int64($0), caching($0)) }, measuresLatency: true) {
            reports.append([$0, $1])
            return true
        }
        #expect(reports == [0, 2, 4, 6, 8, 10].map { [$0, 10] })
    }

    @Test(arguments: [0, 4, 8])
    func cancelledTaskReturnsNil(_ limit: Int) throws {
        let candidates = (0..<5).map { (id: Int64($0), schedule: Optional(caching($0))) }
        var done = -1
        let results = try evaluate(candidates) { count, _ in
            done = count
            return count < limit
        }
        #expect(results == nil && done == limit)
        #expect(try evaluate(candidates)?.count == 10)
    }

    // MARK: - Invalid tasks

    @Test(arguments: [3, -1])
    func unknownPromptIndexIsRejected(_ prompt: Int) {
        let error = EvaluationsError.unknownPrompt(index: prompt, count: 3)
        #expect(throws: error) { try evaluate([(1, nil)], items: [items[0], EvaluationItem(prompt: prompt, seed: 1)]) }
        #expect("\(error)" == "prompt index \(prompt) is out of range; the run has 3 prompts")
    }

    @Test func mismatchedScheduleIsRejected() {
        for shape in [ScheduleShape.pixart(blocks: 3, steps: 4), .pixart(blocks: 2, steps: 5)] {
            #expect(throws: EvaluationsError.scheduleShape(candidate: 8)) {
                try evaluate([(7, caching(0)), (8, Schedule(shape: shape))])
            }
        }
        #expect(
            "\(EvaluationsError.scheduleShape(candidate: 8))".contains(
                "candidate 8: the schedule's steps or blocks differ"))
    }

    @Test func taskRequiresImages() throws {
        #expect(complaint { try evaluate([(1, nil)], items: []) }.isOneLine(naming: "0 images"))
        #expect(try evaluate([])?.isEmpty == true)
    }

    @Test(arguments: [0, -1, 1001])
    func unsupportedStepCountsAreRejected(_ steps: Int) throws {
        var settings = Self.settings
        settings.generation.stepCount = steps
        let folder = try ModelFolder(path: "\(Fixtures.folder)/alpha-small/model")
        #expect(complaint { try Evaluator(model: folder, settings: settings) }.isOneLine(naming: "steps is \(steps)"))
    }
}
