import Benchmarks
import Diffusion
import Evaluations
import ModelConfiguration
import Models
import Schedules
import TestSupport
import Testing

@Suite struct LatencyModelBenchmarkTests {
    @Test func randomAndEvolvedSchedulesAreModelledAndMeasured() throws {
        let evaluator = try Evaluator(
            model: ModelFolder(path: "\(Fixtures.folder)/alpha-micro/model"),
            settings: EvaluationSettings(
                generation: GenerationSettings(height: 16, width: 16, stepCount: 4, guidanceScale: 4.5), prompts: ["a"],
                negativePrompt: ""))
        let result = try LatencyModelBenchmark(evaluator, imageCount: 1, scheduleCount: 8, seconds: 0, seed: 3)
        #expect(
            result.rows.map(\.origin) == Array(repeating: "random", count: 4) + Array(repeating: "evolved", count: 4))
        #expect(result.rows.allSatisfy { $0.modelled > 0 && $0.modelled <= 1 && $0.measured > 0 })
        #expect(result.costs.uncachedSeconds > 0 && result.costs.table.imageCount == 1)
        #expect(result.error(quantile: 0) <= result.error(quantile: 1))
    }
}
