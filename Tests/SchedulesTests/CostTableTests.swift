import ModelConfiguration
import Schedules
import Testing

@Suite struct CostTableTests {
    static let shape = ScheduleShape.pixart(blocks: 2, steps: 4)
    static let table = CostTable(
        imageCount: 1,
        full: .init(
            step: 1,
            components: [
                "attn1": .init(compute: 10), "attn2": .init(compute: 20, keep: 2), "ff": .init(compute: 40, read: 3),
            ]),
        gated: .init(
            step: 0.5, components: ["attn1": .init(compute: 5), "attn2": .init(), "ff": .init(compute: 20)]))

    @Test func uncachedScheduleIsTheSumOfItsParts() {
        #expect(Self.table.uncachedSeconds(Self.shape) == 564)
        #expect(Self.table.ratio(of: Schedule(shape: Self.shape)) == 1)
    }

    @Test func keptAndReadOutputsHaveTheirOwnCosts() throws {
        var schedule = Schedule(shape: Self.shape)
        schedule[step: 2, block: 0, component: .attn2] = .reuse
        schedule[step: 2, block: 1, component: .ff] = .reuse
        schedule[step: 3, block: 1, component: .ff] = .reuse
        // A first step cannot reuse.
        schedule[step: 0, block: 0, component: .attn1] = .reuse
        let work = ScheduleWork(schedule)
        #expect(work.full.components[.attn2].map { [$0.computed, $0.kept, $0.read] } == [7, 1, 1])
        #expect(work.full.components[.ff].map { [$0.computed, $0.kept, $0.read] } == [6, 1, 2])
        #expect(work.full.components[.attn1].map { [$0.computed, $0.kept, $0.read] } == [8, 0, 0])
        let expected: Double = 4 + 80 + 140 + 2 + 240 + 6
        #expect(Self.table.seconds(of: schedule) == expected)
    }

    @Test func stepsAfterTheGateHaveTheirOwnCosts() {
        let schedule = Schedule(shape: Self.shape, gateStep: 1)
        let expected: Double = 141 + 4 + 151.5
        #expect(Self.table.seconds(of: schedule) == expected)
        let ungated = CostTable(imageCount: 1, full: Self.table.full)
        #expect(ungated.seconds(of: schedule) == nil && ungated.ratio(of: schedule) == nil)
    }

    @Test(arguments: [
        (ScheduleShape.pixart(blocks: 3, steps: 7), Int?.none), (.pixart(blocks: 3, steps: 7), 3),
        (.flux(fullBlocks: 2, singleBlocks: 3, steps: 5), nil),
    ])
    func workOfTheStepsSumsToTheTotal(_ shape: ScheduleShape, _ gateStep: Int?) throws {
        var schedule = Schedule(shape: shape, gateStep: gateStep)
        for step in 1..<shape.stepCount where step != gateStep {
            for block in 0..<shape.blockCount {
                for (slot, component) in shape.blocks[block].components.enumerated()
                where component != .attn2 && (step + block + slot) % 3 == 0 {
                    schedule[step: step, block: block, component: component] = .reuse
                }
            }
        }
        let (whole, steps) = (ScheduleWork(schedule), ScheduleWork.steps(of: schedule))
        #expect(steps.map { $0.full.stepCount + $0.gated.stepCount } == Array(repeating: 1, count: shape.stepCount))
        for phase in [\ScheduleWork.full, \.gated] {
            #expect(steps.reduce(0) { $0 + $1[keyPath: phase].stepCount } == whole[keyPath: phase].stepCount)
            for (component, counts) in whole[keyPath: phase].components {
                let parts = steps.compactMap { $0[keyPath: phase].components[component] }
                #expect(parts.reduce(0) { $0 + $1.computed } == counts.computed)
                #expect(parts.reduce(0) { $0 + $1.kept } == counts.kept)
                #expect(parts.reduce(0) { $0 + $1.read } == counts.read)
            }
        }
    }

    @Test func deadWorkOfFluxCostsNothing() {
        let shape = ScheduleShape.flux(fullBlocks: 0, singleBlocks: 1, steps: 3)
        var schedule = Schedule(shape: shape)
        schedule[step: 2, block: 0, component: .singleProjOut] = .reuse
        let work = ScheduleWork(schedule)
        #expect(work.full.components[.singleAttn].map { [$0.computed, $0.kept, $0.read] } == [2, 0, 0])
        #expect(work.full.components[.singleProjOut].map { [$0.computed, $0.kept, $0.read] } == [2, 1, 1])
    }

    @Test func jsonRoundTrips() throws {
        #expect(try CostTable(json: Self.table.json, shape: Self.shape, source: "t") == Self.table)
    }

    @Test(arguments: [
        "", "{}", "[1]", #"{"imageCount":0,"full":{"step":1,"components":{}}}"#,
        #"{"imageCount":1,"full":{"step":1,"components":{}}}"#,
        #"{"imageCount":1,"full":{"step":-1,"components":{"attn1":{"compute":1,"keep":0,"read":0},"attn2":{"compute":1,"keep":0,"read":0},"ff":{"compute":1,"keep":0,"read":0}}}}"#,
        #"{"imageCount":1,"full":{"step":0,"components":{"attn1":{"compute":0,"keep":0,"read":0},"attn2":{"compute":0,"keep":0,"read":0},"ff":{"compute":0,"keep":0,"read":0}}}}"#,
    ])
    func whatIsNoTableIsRejected(_ json: String) {
        #expect(throws: SchedulesError.self) { try CostTable(json: json, shape: Self.shape, source: "t") }
    }
}
