import Basics
import Diffusion
import ModelConfiguration
import Models
import Schedules
import TestSupport
import Testing

@testable import Evaluations

@Suite struct CostTests {
    /// A table with a distinct cost for every term.
    static func table(_ shape: ScheduleShape, hasGate: Bool) -> CostTable {
        func phase(_ scale: Double, _ names: [Component]) -> CostTable.Phase {
            var components: [String: CostTable.Costs] = [:]
            for (index, name) in names.enumerated() {
                let isRead = name == .singleAttn || name == .singleProjMLP
                components[name.rawValue] = .init(
                    compute: scale * Double(3 + 2 * index), keep: scale * 0.1 * Double(index + 1),
                    read: isRead ? scale * 0.3 : 0)
            }
            return .init(step: scale * 2, components: components)
        }
        let names = Component.allCases.filter { name in shape.blocks.contains { $0 == name.blockKind } }
        var gated = hasGate ? phase(0.6, names) : nil
        if hasGate { gated?.components["attn2"] = .init() }
        return CostTable(imageCount: 2, full: phase(1, names), gated: gated)
    }

    /// The steps of the designed schedules and the uncached one, with the times of a table; `start` is added to every run.
    static func samples(
        _ shape: ScheduleShape, hasGate: Bool, _ truth: CostTable, start: Double = 0
    ) throws
        -> [CostFit.Sample]
    {
        let designs = CostDesign.schedules(for: shape, hasGate: hasGate) + [Schedule(shape: shape)]
        return try designs.flatMap { schedule in
            // The engine must be able to run the measured schedules.
            _ = try ExecutionPlan(schedule)
            return ScheduleWork.steps(of: schedule).enumerated().map { step, work in
                CostFit.Sample(
                    work: work, isFirst: step == 0, seconds: truth.seconds(of: work) + (step == 0 ? start : 0))
            }
        }
    }

    @Test(arguments: [
        (ScheduleShape.pixart(blocks: 3, steps: 12), true), (.pixart(blocks: 28, steps: 20), false),
        (.flux(fullBlocks: 2, singleBlocks: 4, steps: 12), false),
    ])
    func fitRecoversCostsFromExactTimes(_ shape: ScheduleShape, _ hasGate: Bool) throws {
        let truth = Self.table(shape, hasGate: hasGate)
        let samples = try Self.samples(shape, hasGate: hasGate, truth)
        let fitted = CostFit(shape: shape, hasGate: hasGate).table(from: samples, imageCount: 2)
        for sample in samples { #expect(abs(fitted.seconds(of: sample.work) / sample.seconds - 1) < 1e-6) }
        #expect(abs(fitted.full.step / truth.full.step - 1) < 1e-2)
        for (name, costs) in truth.full.components {
            #expect(abs((fitted.full.components[name]?.compute ?? 0) / costs.compute - 1) < 1e-3, "\(name)")
        }
    }

    @Test func fitSeparatesCostsAfterTheGate() throws {
        let shape = ScheduleShape.pixart(blocks: 8, steps: 20)
        let truth = Self.table(shape, hasGate: true)
        let samples = try Self.samples(shape, hasGate: true, truth)
        let fitted = CostFit(shape: shape, hasGate: true).table(from: samples, imageCount: 2)
        for name in ["attn1", "ff"] {
            let (found, expected) = (fitted.gated?.components[name], truth.gated?.components[name])
            #expect(abs((found?.compute ?? 0) / (expected?.compute ?? 1) - 1) < 1e-2, "\(name)")
        }
    }

    @Test func outlierStepsDoNotAffectTheFit() throws {
        let shape = ScheduleShape.pixart(blocks: 8, steps: 20)
        let truth = Self.table(shape, hasGate: true)
        var samples = try Self.samples(shape, hasGate: true, truth)
        var generator = SplitMix64(seed: 1)
        for index in samples.indices where generator.unit() < 0.15 {
            samples[index] = .init(
                work: samples[index].work, isFirst: samples[index].isFirst,
                seconds: samples[index].seconds * (1.1 + 2 * generator.unit()))
        }
        let fitted = CostFit(shape: shape, hasGate: true).table(from: samples, imageCount: 2)
        for schedule in CostDesign.schedules(for: shape, hasGate: true) {
            let (found, expected) = (fitted.seconds(of: schedule) ?? 0, truth.seconds(of: schedule) ?? 1)
            #expect(abs(found / expected - 1) < 0.01)
        }
    }

    @Test func oneOffWorkIsSpreadOverTheSteps() throws {
        let shape = ScheduleShape.flux(fullBlocks: 2, singleBlocks: 4, steps: 12)
        let truth = Self.table(shape, hasGate: false)
        let start = 20.0
        let samples = try Self.samples(shape, hasGate: false, truth, start: start)
        let fitted = CostFit(shape: shape, hasGate: false).table(from: samples, imageCount: 2)
        for schedule in CostDesign.schedules(for: shape, hasGate: false) {
            let (found, expected) = (fitted.seconds(of: schedule) ?? 0, (truth.seconds(of: schedule) ?? 1) + start)
            #expect(abs(found / expected - 1) < 1e-6)
        }
    }

    @Test func fitHandlesFewSteps() {
        for steps in 1...4 {
            let shape = ScheduleShape.pixart(blocks: 1, steps: steps)
            let designs = CostDesign.schedules(for: shape, hasGate: true)
            let samples = designs.flatMap(ScheduleWork.steps).map {
                CostFit.Sample(work: $0, isFirst: true, seconds: 1)
            }
            let table = CostFit(shape: shape, hasGate: true).table(from: samples, imageCount: 1)
            #expect(table.full.step >= 0)
        }
    }

    @Test func measuredTableCoversAllComponents() throws {
        for (fixture, size) in [("alpha-micro", 16), ("flux-small", 32)] {
            let description = try ModelDescription(modelFolder: "\(Fixtures.folder)/\(fixture)/model")
            let evaluator = try Evaluator(
                model: ModelFolder(path: "\(Fixtures.folder)/\(fixture)/model"),
                settings: EvaluationSettings(
                    generation: GenerationSettings(
                        height: fixture == "alpha-micro" ? size : description.height,
                        width: fixture == "alpha-micro" ? size : description.width, stepCount: 4,
                        guidanceScale: 4.5),
                    prompts: ["a", "b"], negativePrompt: ""))
            var calls = 0
            let costs = try #require(
                try evaluator.measureCosts(imageCount: 1, seconds: 0) { done, total in
                    calls += 1
                    return done < total
                })
            #expect(calls >= 15, "a dozen schedules and the references between them")
            // The table must survive serialisation and validation.
            let table = try CostTable(json: costs.table.json, shape: evaluator.shape, source: "t")
            #expect(table == costs.table && costs.uncachedSeconds > 0 && costs.fitError >= 0)
            #expect(try evaluator.measureCosts(imageCount: 1) { done, _ in done < 3 } == nil)
        }
    }

    @Test func driftIsDetectedFromTheMedianOfManyCandidates() {
        let shape = ScheduleShape.pixart(blocks: 1, steps: 2)
        let table = Self.table(shape, hasGate: false)
        func results(_ factor: Double) -> ([ImageResult], EvaluationTask) {
            let schedule = Schedule(shape: shape)
            let item = EvaluationItem(prompt: 0, seed: 0)
            let result = ImageResult(
                candidateID: 1, item: item, scores: [:], denoiseSeconds: factor, referenceSeconds: 1, decodeSeconds: 1,
                image: nil)
            return (
                [result],
                EvaluationTask(
                    candidates: [(1, schedule)], items: [item], measuresLatency: true, returnsImages: false)
            )
        }
        var drift = CostDrift(table)
        for index in 0..<40 {
            let (found, task) = results(index % 3 == 0 ? 3 : 1.01)
            drift.record(found, of: task)
            #expect(!drift.hasDrifted)
        }
        for _ in 0..<16 {
            let (found, task) = results(1.1)
            drift.record(found, of: task)
        }
        #expect(drift.hasDrifted)
    }
}
