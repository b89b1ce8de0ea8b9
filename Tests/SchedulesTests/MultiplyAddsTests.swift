import Foundation
import JSON
import ModelConfiguration
import Schedules
import Testing

@Suite struct MultiplyAddsTests {
    @Test func pixartPartsAreThePublishedOnes() throws {
        let small = try ModelArchitecture(family: .pixartAlpha).costs()
        #expect(small.always == 1_498_447_872)
        #expect(
            small.components == [.attn1: 2_717_908_992, .attn2: 1_995_964_416, .ff: 5_435_817_984])
        #expect(small.attentionProducts == [.attn1: 301_989_888, .attn2: 141_557_760])
        let large = try ModelArchitecture(family: .pixartAlpha, size: 1024).costs()
        #expect(large.always == 1_924_595_712)
        #expect(
            large.components == [.attn1: 43_486_543_872, .attn2: 22_380_281_856, .ff: 86_973_087_744])
        #expect(large.attentionProducts[.attn1] == 77_309_411_328)
    }

    @Test func fluxPartsAreThePublishedOnes() throws {
        let small = try ModelArchitecture(family: .flux).costs()
        #expect(small.always == 19_643_498_496)
        #expect(
            small.components == [
                .fullAttn: 57_982_058_496, .fullFF: 38_654_705_664, .fullFFContext: 77_309_411_328,
                .singleAttn: 43_486_543_872, .singleProjMLP: 57_982_058_496, .singleProjOut: 72_477_573_120,
            ])
        #expect(small.attentionProducts == [.fullAttn: 7_247_757_312, .singleAttn: 7_247_757_312])
        let large = try ModelArchitecture(family: .flux, size: 1024).costs()
        #expect(large.always == 22_663_397_376)
        #expect(
            large.components == [
                .fullAttn: 347_892_350_976, .fullFF: 618_475_290_624, .fullFFContext: 77_309_411_328,
                .singleAttn: 260_919_263_232, .singleProjMLP: 347_892_350_976, .singleProjOut: 434_865_438_720,
            ])
        #expect(large.attentionProducts[.fullAttn] == 260_919_263_232)
    }

    static let totals: [(ModelFamily, Int, Heuristic, Int)] = [
        (.pixartAlpha, 256, .uncached, 5_713_796_136_960), (.pixartAlpha, 256, .fora(interval: 2), 2_871_882_547_200),
        (.pixartSigma, 256, .fora(interval: 3), 2_019_308_470_272),
        (.pixartAlpha, 1024, .uncached, 85_628_843_458_560),
        (.pixartAlpha, 256, .tgate(.init(gateStep: 10, interval: 3)), 3_625_404_825_600),
        (.flux, 256, .uncached, 198_691_510_026_240), (.flux, 256, .fora(interval: 3), 69_797_393_989_632),
    ]

    @Test(arguments: totals)
    func totalsOfBaselinesAreThePublishedOnes(family: ModelFamily, size: Int, heuristic: Heuristic, total: Int) throws {
        let model = try ModelArchitecture(family: family, size: size)
        let macs = try model.macs(heuristic.schedule(for: model.shape(stepCount: 20)))
        #expect(macs.total == total)
        #expect(macs.byStep.count == 20)
        #expect(macs.totalWithAttention > macs.total)
    }

    @Test func tgateHalvesTheBatchFromItsGateOn() throws {
        let model = try ModelArchitecture(family: .pixartAlpha)
        let schedule = try Heuristic.tgate(.init(gateStep: 10, interval: 3)).schedule(for: .pixart())
        let byStep = try model.macs(schedule).byStep
        #expect(byStep[0] == 285_689_806_848)
        #expect(byStep[2] == 209_588_355_072)
        #expect(byStep[10] == 114_901_401_600)
    }

    @Test func forcedComputationsAreCounted() throws {
        let model = try ModelArchitecture(family: .pixartAlpha)
        var schedule = Schedule(shape: .pixart())
        let full = try model.macs(schedule)
        schedule[step: 0, block: 17, component: .attn1] = .reuse
        #expect(try model.macs(schedule) == full)
    }

    @Test func attentionProductsAreCountedOnlyWhereAttentionRuns() throws {
        let model = try ModelArchitecture(family: .pixartAlpha)
        let macs = try model.macs(Heuristic.foraAttention(interval: 20).schedule(for: .pixart()))
        #expect(macs.attentionByStep[0] == 28 * (301_989_888 + 141_557_760))
        #expect(macs.attentionByStep[1...].allSatisfy { $0 == 0 })
    }

    @Test func schedulesOfOtherModelsAreRejected() throws {
        #expect(
            throws: SchedulesError.shapeMismatch(
                schedule: "27 PixArt blocks x 20 steps", model: "28 PixArt blocks x 20 steps")
        ) { try ModelArchitecture(family: .pixartAlpha).macs(Schedule(shape: .pixart(blocks: 27))) }
        #expect(throws: SchedulesError.self) {
            try ModelArchitecture(family: .flux).macs(Schedule(shape: .pixart()))
        }
    }

    @Test func stepCountsOutOfRangeAreRejected() throws {
        let model = try ModelArchitecture(family: .flux)
        #expect(try model.shape(stepCount: 4) == .flux(steps: 4))
        #expect(throws: SchedulesError.outOfRange(name: "steps", expected: "1 to 1000", found: "0")) {
            try model.shape(stepCount: 0)
        }
    }

    @Test(.enabled(if: PublishedSchedules.arePresent))
    func publishedMetricsAreReproducedStepByStep() throws {
        var compared = 0
        for published in try PublishedSchedules.all.get() {
            let (path, file) = (published.path, published.file)
            guard let total = file.metrics["total_macs"]?.int else { continue }
            // The seeds of PixArt-alpha at 256 pixels carry the configuration of the model for 1024.
            let size = path.contains("alpha_256") ? 256 : file.configuration["height"]?.int ?? 256
            let macs = try ModelArchitecture(family: file.likelyFamily, size: size).macs(file.schedule)
            let steps = try #require(file.metrics["by_inference_step"]?.object)
            #expect(macs.total == total, "\(path)")
            #expect(macs.byStep == steps.members.map { $0.value.object?["macs"]?.int }, "\(path)")
            compared += 1
        }
        #expect(compared == 82)
    }
}
