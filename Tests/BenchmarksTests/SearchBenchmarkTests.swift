import Diffusion
import Evaluations
import Evolution
import ModelConfiguration
import Models
import Schedules
import TestSupport
import Testing

@testable import Benchmarks

@Suite struct SearchBenchmarkTests {
    @Test func searchBenchmarkCompletesWholeGenerations() throws {
        let folder = try TemporaryFolder()
        let result = try SearchBenchmark(
            shape: .pixart(blocks: 3, steps: 5), settings: SearchSettings(populationSize: 8), evaluations: 41,
            folder: folder.file("run"), seed: 1)
        #expect(result.generations >= 6 && result.evaluations > 40 && result.evaluations <= 48)
        #expect(result.bytes > 0 && result.seconds > 0 && result.hypervolume > 0)
    }

    @Test func equalSettingsHaveEqualHypervolumes() throws {
        let folder = "\(Fixtures.folder)/alpha-micro/model"
        let evaluator = try Evaluator(
            model: ModelFolder(path: folder),
            settings: EvaluationSettings(
                generation: GenerationSettings(height: 16, width: 16, stepCount: 4, guidanceScale: 4.5), prompts: ["a"],
                negativePrompt: ""))
        let architecture = try ModelDescription(modelFolder: folder, height: 16, width: 16).architecture
        let same = SearchSettings(populationSize: 4)
        var pairs: [PresetBenchmark.Pair] = []
        let result = try PresetBenchmark(
            evaluator, architecture: architecture, imageCount: 1, settings: (same, same), seeding: ["random"],
            evaluations: 10, seeds: [3, 4]
        ) { pairs.append($0) }
        #expect(pairs.map(\.seed) == [3, 4] && result.pairs.map(\.first) == pairs.map(\.second))
        #expect(pairs[0].first > 0 && pairs[0].first != pairs[1].first)
        #expect(result.meanDifference == 0 && result.halfInterval == 0)
    }

    @Test(arguments: [(5.0, 2.5706), (9, 2.2622), (19, 2.0930), (99, 1.9842)])
    func quantilesEqualStudentsT(_ degrees: Double, _ expected: Double) {
        #expect(abs(PresetBenchmark.studentQuantile(degrees) / expected - 1) < 3e-3)
    }
}
