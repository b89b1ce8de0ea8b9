import Basics
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

    private static func evaluator(steps: Int = 4) throws -> (Evaluator, ModelArchitecture) {
        let folder = "\(Fixtures.folder)/alpha-micro/model"
        let evaluator = try Evaluator(
            model: ModelFolder(path: folder),
            settings: EvaluationSettings(
                generation: GenerationSettings(height: 16, width: 16, stepCount: steps, guidanceScale: 4.5),
                prompts: ["a", "b", "c"], negativePrompt: ""))
        return (evaluator, try ModelDescription(modelFolder: folder, height: 16, width: 16).architecture)
    }

    @Test(arguments: SearchSettings.Preset.allCases)
    func frontsAreReportedAtTheCheckpoints(_ preset: SearchSettings.Preset) throws {
        let (evaluator, architecture) = try Self.evaluator()
        let benchmark = try PresetBenchmark(
            evaluator, architecture: architecture, imageCount: 2, unseenCount: 1, probeCount: 1, seeding: ["random"])
        func run(_ seed: UInt64) throws -> [PresetBenchmark.Checkpoint] {
            var rows: [PresetBenchmark.Checkpoint] = []
            let entry = PresetBenchmark.Entry(
                label: "x", settings: SearchSettings(preset: preset, populationSize: 4))
            try benchmark.run(entry, seed: seed, checkpoints: [6, 12, 20]) { rows.append($0) }
            return rows
        }
        let rows = try run(3)
        // Reuse errors of one image at four steps: (4 + 6) / 4 images of which a schedule needs two.
        let spent = 1 + (preset == .standard ? 1.25 : 0)
        #expect(rows.map(\.evaluations) == [6, 12, 20].map { Int(($0 - spent).rounded(.down)) })
        #expect(rows.allSatisfy { $0.schedules == Double($0.evaluations) + spent && $0.frontCount > 0 })
        let whole = rows.map(\.calibration.whole)
        #expect(whole == whole.sorted() && whole[0] > 0)
        #expect(rows.allSatisfy { $0.calibration.cached < $0.calibration.whole && ($0.unseen?.whole ?? 0) > 0 })
        #expect(try run(3).map(\.calibration) == rows.map(\.calibration))
        if preset != .standard { #expect(try run(4).map(\.calibration) != rows.map(\.calibration)) }
    }

    @Test func hypervolumesBelowTheLimitIgnoreUncachedSchedules() {
        let volumes = PresetBenchmark.Hypervolumes([[0.999, -90], [0.5, -20]], quality: .psnr)
        #expect(abs(volumes.whole - (0.6 * 20 + 0.101 * 70)) < 1e-9)
        #expect(abs(volumes.cached - 0.45 * 20) < 1e-9)
        // Rewards are measured from -3.
        let rewards = PresetBenchmark.Hypervolumes([[0.5, 1]], quality: .imageRewardClipped)
        #expect(abs(rewards.whole - 0.6 * 2) < 1e-9)
    }

    @Test func pairedDifferencesHaveStudentsInterval() {
        let difference = PairedDifference([1, 2, 3, 4, 5, 6])
        #expect(difference.mean == 3.5 && abs(difference.halfInterval - 2.5706 * 0.763763) < 0.01)
        #expect(PairedDifference([2]).halfInterval == .infinity)
    }

    @Test func solverIsTimedOnEveryShape() throws {
        for shape in [ScheduleShape.pixart(blocks: 3, steps: 6), .flux(fullBlocks: 1, singleBlocks: 2, steps: 5)] {
            let result = try SolverBenchmark(shape: shape, results: 40, batch: 6, seed: 1)
            #expect(result.genes == shape.geneCount && result.results == 40 && result.batch == 6)
            #expect(result.frontCount > 1 && result.members > 1)
            #expect(result.frontSeconds > 0 && result.batchSeconds > 0)
        }
    }
}
