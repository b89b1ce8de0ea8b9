import Basics
import History
import Messages
import Testing

@testable import CoordinatorService

@Suite struct ResultCheckingTests {
    private func result(_ change: (inout Messages.TaskResult) -> Void = { _ in }) -> Messages.TaskResult {
        var result = Messages.TaskResult()
        result.taskID = 9
        result.taskSeconds = 1
        for candidate in [Int64(4), 5] {
            for prompt in [UInt32(0), 1] {
                var image = ImageMeasurement()
                image.candidateID = candidate
                image.promptIndex = prompt
                image.scores = ["psnr": 30]
                image.denoiseSeconds = 0.5
                result.images.append(image)
            }
        }
        change(&result)
        return result
    }

    private func check(_ result: Messages.TaskResult, scorer: String = "psnr") throws -> History.TaskResult {
        try History.TaskResult(
            result, candidates: [4, 5], images: [ImageKey(prompt: 0, seed: 0), ImageKey(prompt: 1, seed: 0)], from: 3,
            scorer: scorer)
    }

    /// A worker of an earlier version may have spooled the result.
    @Test func scoresUnderAFormerNameAreStoredUnderTheCurrentOne() throws {
        let former = result { result in
            for index in result.images.indices { result.images[index].scores = ["image-reward-kept": 0.5] }
        }
        let checked = try check(former, scorer: "image-reward-clipped")
        #expect(Set(checked.scores.map(\.scorer)) == ["image-reward-clipped"])
        #expect(Recheck.scores(of: checked, scorer: .imageRewardClipped).count == 4)
        #expect(throws: ResultProblem.self) { try check(former, scorer: "image-reward") }
    }

    @Test func recheckToleranceFollowsFromEngineAndPrecision() {
        func scores(_ values: [Double]) -> Recheck.Scores {
            Dictionary(
                uniqueKeysWithValues: values.enumerated().map {
                    (Recheck.ScoreKey(candidate: 1, image: ImageKey(prompt: $0, seed: 0)), $1)
                })
        }
        let single = Arithmetic(engine: .torch)
        let half = Arithmetic(engine: .torch, precision: .bfloat16)
        for (other, agreesInSingle, agreesInHalf) in [
            ([30.5, 30, 30, 30], true, true), ([12, 30, 30, 30], false, true), ([12, 12, 12, 30], false, false),
            ([30, 30, 30], false, false),
        ] {
            for (arithmetic, agrees) in [
                (single, agreesInSingle), (Arithmetic(), agreesInSingle), (half, agreesInHalf),
            ] {
                let found = Recheck.compare(
                    scores([30, 30, 30, 30]), scores(other), scorer: .psnr, arithmetic: arithmetic)
                #expect(found.agrees == agrees, "\(arithmetic): \(other)")
            }
        }
    }

    @Test func completeResultIsAccepted() throws {
        let taken = try check(result { $0.images[0].referenceSeconds = 2 })
        #expect(taken.scores.count == 4 && taken.timings.count == 4 && taken.workerID == 3)
        #expect(taken.timings[0].referenceSeconds == 2 && taken.timings[1].referenceSeconds == nil)
    }

    @Test func missingRepeatedAndForeignImagesAreRejected() {
        #expect(throws: ResultProblem.rows(expected: 4, found: 3)) { try check(result { $0.images.removeLast() }) }
        #expect(throws: ResultProblem.rows(expected: 4, found: 3)) { try check(result { $0.images[3] = $0.images[2] }) }
        #expect(throws: ResultProblem.rows(expected: 4, found: 3)) {
            try check(result { $0.images[3].candidateID = 77 })
        }
        #expect(throws: ResultProblem.rows(expected: 4, found: 4)) {
            try check(result { $0.images.append($0.images[0]) })
        }
    }

    @Test(arguments: [Double.nan, .infinity, -.infinity])
    func scoresThatAreNoNumbersAreRejected(_ value: Double) {
        #expect(throws: ResultProblem.score(candidate: 5, scorer: "psnr")) {
            try check(result { $0.images[2].scores["psnr"] = value })
        }
        #expect(throws: ResultProblem.score(candidate: 4, scorer: "psnr")) {
            try check(result { $0.images[0].scores = [:] })
        }
        #expect(throws: ResultProblem.seconds(candidate: 4)) {
            try check(result { $0.images[0].denoiseSeconds = value })
        }
    }

    @Test func negativeTimesAreRejected() {
        #expect(throws: ResultProblem.seconds(candidate: 4)) { try check(result { $0.images[1].decodeSeconds = -1 }) }
    }
}
