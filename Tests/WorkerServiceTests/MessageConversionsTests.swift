import Evaluations
import Foundation
import Messages
import Schedules
import Tensors
import TestSupport
import Testing

@testable import WorkerService

@Suite struct MessageConversionsTests {
    private let shape = ScheduleShape.pixart(blocks: 2, steps: 3)

    private func assignment(_ change: (inout Assignment) -> Void = { _ in }) -> Assignment {
        var assignment = Assignment()
        assignment.taskID = 5
        var candidate = AssignedCandidate()
        candidate.candidateID = 8
        candidate.genome = Data(Genome(repeating: true, count: shape.geneCount).bytes)
        candidate.geneCount = UInt32(shape.geneCount)
        assignment.candidates = [candidate]
        var item = PromptSeed()
        item.promptIndex = 1
        item.seed = -1
        assignment.items = [item]
        assignment.measureLatency = true
        change(&assignment)
        return assignment
    }

    @Test func assignmentIsConvertedToATask() throws {
        let task = try EvaluationTask(assignment(), shape: shape)
        #expect(task.candidates.map(\.id) == [8])
        #expect(task.candidates[0].schedule == Schedule(shape: shape, name: ""))
        #expect(
            task.items == [EvaluationItem(prompt: 1, seed: .max)], "a seed is an unsigned bit pattern")
        #expect(task.measuresLatency && !task.returnsImages)
        #expect(task.thumbnails.isEmpty && !task.returnsReferences && task.imagePixels == nil)
    }

    @Test func requestedThumbnailsTravelAsPNG() throws {
        let task = try EvaluationTask(
            assignment {
                $0.thumbnails = $0.items
                $0.returnReferences = true
                $0.imagePixels = 64
            }, shape: shape)
        #expect(task.thumbnails == Set(task.items) && task.returnsReferences && task.imagePixels == 64)
        let (image, uncached) = (
            Image(width: 2, height: 1, pixels: [1, 2, 3, 4, 5, 6]), Image(width: 1, height: 1, pixels: [9, 8, 7])
        )
        let message = try ImageMeasurement(
            ImageResult(
                candidateID: 1, item: task.items[0], scores: [:], denoiseSeconds: 1, referenceSeconds: nil,
                decodeSeconds: 1, image: image, reference: uncached))
        #expect(try Image(png: Array(message.png)) == image && Image(png: Array(message.referencePng)) == uncached)
    }

    @Test func genomeOfAnotherModelIsRejected() {
        #expect(throws: SchedulesError.self) {
            try EvaluationTask(assignment { $0.candidates[0].geneCount = 7 }, shape: shape)
        }
        #expect(throws: SchedulesError.self) {
            try EvaluationTask(
                assignment {
                    $0.candidates[0].genome = Data(Genome(repeating: true, count: 24).bytes)
                    $0.candidates[0].geneCount = 24
                }, shape: shape)
        }
    }

    @Test func welcomeNeedsConsecutivePromptsAndKnownScorers() throws {
        let folder = try TemporaryFolder()
        let folders = try ScorerFolders(given: [], nextTo: folder.file("model"))
        var welcome = Welcome()
        welcome.settings.stepCount = 4
        welcome.settings.scorers = ["psnr"]
        welcome.prompts = [UInt32(1), 0].map { index in
            var entry = PromptEntry()
            entry.index = index
            entry.text = "prompt \(index)"
            return entry
        }
        #expect(try EvaluationSettings(welcome, scorers: folders).prompts == ["prompt 0", "prompt 1"])
        welcome.prompts[0].index = 3
        #expect(throws: WorkerError.self) { try EvaluationSettings(welcome, scorers: folders) }
        welcome.prompts[0].index = 1
        welcome.settings.scorers = ["beauty"]
        #expect(throws: WorkerError.self) { try EvaluationSettings(welcome, scorers: folders) }
    }

    @Test func resultIsConvertedWithItsImage() throws {
        let image = Image(width: 1, height: 1, pixels: [1, 2, 3])
        let result = ImageResult(
            candidateID: 3, item: EvaluationItem(prompt: 2, seed: 7), scores: ["psnr": 40], denoiseSeconds: 1,
            referenceSeconds: nil, decodeSeconds: 0.5, image: image)
        let measurement = try ImageMeasurement(result)
        #expect(measurement.candidateID == 3 && measurement.promptIndex == 2 && measurement.seed == 7)
        #expect(measurement.scores == ["psnr": 40] && !measurement.hasReferenceSeconds)
        #expect(try Image(png: Array(measurement.png)) == image)
    }
}
