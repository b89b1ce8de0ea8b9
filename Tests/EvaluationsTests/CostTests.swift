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

    /// Made-up rounds of a dozen schedules; `noise` is the standard deviation of a run's relative duration.
    static func rounds(_ count: Int, noise: Double, seed: UInt64 = 1) -> [TimedRound] {
        var generator = SplitMix64(seed: seed)
        // The sum of twelve uniform numbers has a variance of 1.
        func normal() -> Double { (0..<12).reduce(-6) { sum, _ in sum + generator.unit() } }
        return (0..<count).map { _ in
            TimedRound(
                steps: (1...12).map { schedule in
                    let factor = Double(schedule) / 12 * (1 + noise * normal())
                    return [0.6 * factor, 0.4 * factor]
                }, references: [1])
        }
    }

    /// The number of rounds after which a measurement ends, of rounds that take a second each.
    static func roundCount(_ rounds: [TimedRound], seconds: Double = 60) -> Int {
        let plan = MeasurementPlan(seconds: seconds) { $0.splitHalfError(of: \.ratios) }
        return (1...rounds.count).first {
            plan.roundCount(after: Array(rounds.prefix($0)), seconds: Double($0)) == $0
        } ?? .max
    }

    @Test(arguments: [0, 0.003])
    func steadyRoundsEndAtTheMinimum(_ noise: Double) {
        for seed in 1...20 as ClosedRange<UInt64> {
            #expect(Self.roundCount(Self.rounds(15, noise: noise, seed: seed)) == MeasurementPlan.minRoundCount)
        }
    }

    @Test func noisyRoundsGoOnToTheLimit() {
        for seed in 1...20 as ClosedRange<UInt64> {
            let rounds = Self.rounds(15, noise: 0.1, seed: seed)
            #expect(Self.roundCount(rounds) == MeasurementPlan.maxRoundCount)
            // A round that would exceed the budget is not begun.
            #expect(Self.roundCount(rounds, seconds: 9.5) == 9)
            // One round completes whatever it takes.
            #expect(Self.roundCount(rounds, seconds: 0.5) == 1)
            #expect(Self.roundCount(rounds, seconds: 0) == 1)
        }
    }

    @Test func moreNoiseTakesMoreRounds() {
        let counts = [0.003, 0.013, 0.017, 0.1].map { noise in
            (1...20).reduce(0) { $0 + Self.roundCount(Self.rounds(15, noise: noise, seed: UInt64($1))) }
        }
        #expect(counts == counts.sorted() && Set(counts).count == counts.count, "\(counts)")
    }

    @Test func anOutlierDoesNotProlongTheMeasurement() {
        for round in 0..<MeasurementPlan.minRoundCount {
            var rounds = Self.rounds(15, noise: 0.003)
            for step in 0..<2 { rounds[round].steps[3][step] *= 5 }
            #expect(Self.roundCount(rounds) == MeasurementPlan.minRoundCount)
            #expect(abs(MeasuredRatios(rounds).ratios[3] / (4.0 / 12) - 1) < 0.01)
        }
    }

    @Test func unknownErrorUsesAllOfTheBudget() {
        let rounds = Self.rounds(8, noise: 0)
        for error in [Double.nan, .infinity] {
            #expect(MeasurementPlan(seconds: 10, error: { _ in error }).roundCount(after: rounds, seconds: 8) == 10)
        }
        #expect(MeasurementPlan(seconds: 10).roundCount(after: rounds, seconds: 8) == 10)
    }

    /// Over many measurements, the estimate is that of the medians' deviations from the truth.
    @Test(arguments: [4, 5, 6, 9, 14])
    func splitHalfErrorIsThatOfTheWhole(_ count: Int) {
        var (squares, estimates) = (0.0, 0.0)
        for seed in 1...200 as ClosedRange<UInt64> {
            let rounds = Self.rounds(count, noise: 0.02, seed: seed)
            for (schedule, ratio) in MeasuredRatios(rounds).ratios.enumerated() {
                let error = ratio / (Double(schedule + 1) / 12) - 1
                squares += error * error / 12
            }
            let estimate = rounds.splitHalfError(of: \.ratios)
            estimates += estimate * estimate
        }
        let factor = (estimates / squares).squareRoot()
        #expect(factor > 0.8 && factor < 1.3, "\(factor)")
    }

    @Test func progressIsBoundedAndEndsComplete() throws {
        let evaluator = try Evaluator(
            model: ModelFolder(path: "\(Fixtures.folder)/alpha-micro/model"),
            settings: EvaluationSettings(
                generation: GenerationSettings(height: 16, width: 16, stepCount: 4, guidanceScale: 4.5),
                prompts: ["a"], negativePrompt: ""))
        var shares: [Double] = []
        let costs = try evaluator.measureCosts(imageCount: 1, seconds: 1) { done, total in
            shares.append(Double(done) / Double(total))
            return true
        }
        #expect(costs != nil)
        #expect(shares.first == 0 && shares.last == 1 && shares.dropLast().allSatisfy { $0 < 1 })
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
