import Basics
import Diffusion
import Foundation
import ModelConfiguration
import Models
import Scoring
import TestSupport
import Testing

@testable import Evaluations

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
        let line = complaint { try evaluate(evaluator()) }
        #expect(
            line.isOneLine(naming: model.path, "the transformer at step 1 of 3", "although all weights are"), "\(line)")
    }

    @Test func nonFiniteScoreIsReportedForItsCandidate() throws {
        let reward = try ModelCopy(of: "image-reward")
        // Finite, but the reward overflows.
        try reward.edit("model.safetensors") {
            for name in ["mlp.layers.6.bias", "mlp.layers.7.weight"] {
                let shape = $0.tensors[name]?.shape ?? []
                $0.tensors[name] = .init(type: "F32", shape: shape, bytes: Data(count: 4 * shape.reduce(1, *)))
                $0.fill(name, with: 1e30)
            }
        }
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
        // No other uncached run is due for hours.
        evaluator.uncachedTimings[1]?.add(1000, at: .now)
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
        let stage = "the transformer at step 1 of 3"
        #expect(throws: EvaluationsError.notFinite(candidate: 42, stage: stage)) { try evaluate(evaluator) }
    }

    /// A damaged weight is reported with its file and name, when the model is opened, and no candidate is at fault.
    @Test(arguments: [Float.nan, .infinity])
    func damagedWeightOfTheTransformerIsNamed(_ value: Float) throws {
        try model.edit(Self.weights) { $0.fill("proj_out.weight", with: value) }
        for line in [
            complaint { try evaluate(evaluator()) }, complaint { try evaluator().canary() },
        ] {
            #expect(
                line.isOneLine(naming: model.file(Self.weights), "\"proj_out.weight\"", "at step 1 of 3"), "\(line)")
            #expect(!line.description.contains("candidate"))
        }
    }

    @Test func damagedWeightsOfDecoderAndScorersAreFoundWhenOpened() throws {
        #expect(complaint { try evaluatorWithReward(nil).checkImage() }.description.isEmpty)
        let reward = try ModelCopy(of: "image-reward")
        try reward.edit("model.safetensors") { $0.fill("mlp.layers.7.weight", with: .nan) }
        let scorer = try evaluatorWithReward(reward)
        _ = try scorer.canary()
        for line in [complaint { try scorer.checkImage() }, complaint { try evaluate(scorer) }] {
            #expect(line.isOneLine(naming: reward.path, "mlp.layers.7.weight", "scorer image-reward"), "\(line)")
        }
        let name = "vae/diffusion_pytorch_model.safetensors"
        try model.edit(name) { $0.fill("decoder.conv_in.weight", with: .nan) }
        let line = complaint {
            let evaluator = try evaluator()
            _ = try evaluator.canary()
            try evaluator.checkImage()
        }
        #expect(line.isOneLine(naming: model.file(name), "decoder.conv_in.weight"), "\(line)")
    }

    private func evaluatorWithReward(_ reward: ModelCopy?) throws -> Evaluator {
        try Evaluator(
            model: ModelFolder(path: model.path),
            settings: EvaluationSettings(
                generation: GenerationSettings(height: 8, width: 8, stepCount: 3, guidanceScale: 4.5),
                prompts: ["a fox"],
                negativePrompt: "",
                scorers: ScorerSource.paired + (reward.map { [ScorerSource(.imageReward, folder: $0.path)] } ?? [])))
    }
}
