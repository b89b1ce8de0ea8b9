import Basics
import Diffusion
import Evaluations
import Foundation
import ModelConfiguration
import Models
import Scoring
import TestSupport
import Testing

/// Non-finite latents and scores are errors of the reference or of their candidate.
@Suite struct NotFiniteTests {
    private static let weights = "transformer/diffusion_pytorch_model.safetensors"
    private let model: ModelCopy

    init() throws {
        model = try ModelCopy(of: "alpha-small")
    }

    private func evaluator() throws -> Evaluator {
        try Evaluator(
            model: ModelFolder(path: model.path),
            settings: EvaluationSettings(
                generation: GenerationSettings(height: 8, width: 8, stepCount: 3, guidanceScale: 4.5),
                prompts: ["a fox"],
                negativePrompt: ""))
    }

    private func evaluate(_ evaluator: Evaluator) throws {
        _ = try evaluator.evaluate(
            EvaluationTask(
                candidates: [(id: 42, schedule: nil)], items: [EvaluationItem(prompt: 0, seed: 1)],
                measuresLatency: false, returnsImages: false)
        ) { _, _ in true }
    }

    @Test func overflowingWeightsAreReportedForTheReference() throws {
        try model.edit(Self.weights) { $0.fill("proj_out.bias", with: .greatestFiniteMagnitude) }
        #expect(throws: EvaluationsError.referenceNotFinite) { try evaluate(evaluator()) }
        #expect("\(EvaluationsError.referenceNotFinite)".contains("uncached reference are not finite"))
    }

    @Test func nonFiniteScoreIsReportedForItsCandidate() throws {
        let reward = try ModelCopy(of: "image-reward")
        try reward.edit("model.safetensors") { $0.fill("mlp.layers.7.bias", with: .nan) }
        let evaluator = try Evaluator(
            model: ModelFolder(path: model.path),
            settings: EvaluationSettings(
                generation: GenerationSettings(height: 8, width: 8, stepCount: 3, guidanceScale: 4.5),
                prompts: ["a fox"],
                negativePrompt: "",
                scorers: ScorerSource.paired + [ScorerSource(.imageReward, folder: reward.path)]))
        let error = EvaluationsError.scoreNotFinite(candidate: 42, scorer: "image-reward")
        #expect(throws: error) { try evaluate(evaluator) }
        #expect("\(error)" == "candidate 42: the image-reward score is not finite")
    }

    @Test func nonFiniteLatentsAreReportedForTheirCandidate() throws {
        let evaluator = try evaluator()
        try evaluate(evaluator)
        // The file is memory-mapped, so overwriting it in place affects the next run. The reference stays cached.
        var content = try SafetensorsContent(path: model.file(Self.weights))
        let name = "proj_out.weight"
        let original = try #require(content.tensors[name]?.bytes)
        content.fill(name, with: .greatestFiniteMagnitude)
        let file = try Data(contentsOf: URL(filePath: model.file(Self.weights)))
        let position = try #require(file.range(of: original)?.lowerBound)
        let handle = try FileHandle(forUpdating: URL(filePath: model.file(Self.weights)))
        try handle.seek(toOffset: UInt64(position))
        try handle.write(contentsOf: try #require(content.tensors[name]?.bytes))
        try handle.close()
        #expect(throws: EvaluationsError.notFinite(candidate: 42)) { try evaluate(evaluator) }
        #expect("\(EvaluationsError.notFinite(candidate: 42))" == "candidate 42: the latents are not finite")
    }
}
