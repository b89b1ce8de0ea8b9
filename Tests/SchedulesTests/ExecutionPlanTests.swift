import ModelConfiguration
import Testing

@testable import Schedules

@Suite struct ExecutionPlanTests {
    /// A schedule from one line per step, blocks apart by spaces: `R` recomputes, `.` reuses attn1, attn2, ff.
    private func schedule(_ steps: String..., gateStep: Int? = nil) -> Schedule {
        let rows = steps.map { $0.filter { $0 != " " } }
        let shape = ScheduleShape.pixart(blocks: rows[0].count / 3, steps: rows.count)
        let decisions = rows.joined().map { $0 == "R" ? Decision.recompute : .reuse }
        return Schedule(shape: shape, decisions: decisions, gateStep: gateStep)
    }

    private func random(_ shape: ScheduleShape, share: Double, gateStep: Int? = nil) -> Schedule {
        var schedule = Schedule(shape: shape, gateStep: gateStep)
        for gene in 0..<shape.geneCount where Double.random(in: 0..<1) < share { schedule[gene] = .reuse }
        return schedule
    }

    @Test func recomputingEverythingNeedsNoSlot() throws {
        let plan = try ExecutionPlan(Schedule(shape: .pixart(blocks: 3, steps: 4)))
        #expect(plan.slots.count == 0)
        #expect(plan.actions == Array(repeating: Array(repeating: .compute, count: 9), count: 4))
    }

    @Test func oneReuseNeedsOneSlotFromItsComputationOn() throws {
        let plan = try ExecutionPlan(schedule("RRR RRR", "RRR RRR", "RRR R.R"))
        #expect(plan.slots.count == 1)
        #expect(plan.actions[0] == Array(repeating: .compute, count: 6))
        #expect(plan.actions[1] == [.compute, .compute, .compute, .compute, .computeAndKeep(slot: 0), .compute])
        #expect(plan.actions[2] == [.compute, .compute, .compute, .compute, .reuse(slot: 0), .compute])
    }

    @Test func livesThatDoNotOverlapShareASlot() throws {
        #expect(try ExecutionPlan(schedule("RRR", ".RR", "R.R", "RR.")).slots.count == 1)
        #expect(try ExecutionPlan(schedule("RRR", "..R")).slots.count == 2)
        #expect(try ExecutionPlan(schedule("RRR", "...", "...", "RRR", "...")).slots.count == 3)
    }

    @Test func reuseAtTheFirstStepComputes() throws {
        #expect(try ExecutionPlan(schedule("...", "R.R")) == ExecutionPlan(schedule("RRR", "R.R")))
    }

    /// Simulates a plan with the cache's content in place of numbers: who computed what a slot holds, and when.
    @Test(arguments: 0..<200)
    func everyReuseReadsTheLatestComputation(_ round: Int) throws {
        let shape = ScheduleShape.pixart(blocks: .random(in: 1...4), steps: .random(in: 1...9))
        let schedule = random(shape, share: [0.2, 0.5, 0.9][round % 3])
        let plan = try ExecutionPlan(schedule)
        var slots = [[Int]?](repeating: nil, count: plan.slots.count)
        var latest = [Int](repeating: 0, count: shape.genesPerStep)
        for step in 0..<shape.stepCount {
            for component in 0..<shape.genesPerStep {
                let isComputed = schedule.effective[step * shape.genesPerStep + component] == .recompute
                if isComputed { latest[component] = step }
                switch plan.actions[step][component] {
                case .compute: #expect(isComputed)
                case .computeAndKeep(let slot):
                    #expect(isComputed)
                    slots[slot] = [component, step]
                case .skip: Issue.record("PixArt has no work that nothing consumes")
                case .reuse(let slot):
                    #expect(!isComputed && slots[slot] == [component, latest[component]])
                }
            }
        }
        #expect(plan.slots.count == mostLiveOutputs(schedule))
    }

    /// The most outputs that are still to be read after any component of any step: no cache can hold fewer.
    private func mostLiveOutputs(_ schedule: Schedule) -> Int {
        let genes = schedule.shape.genesPerStep
        func isReadAfter(_ time: Int, component: Int) -> Bool {
            let first = time / genes + (time % genes >= component ? 1 : 0)
            return first > 0 && first < schedule.shape.stepCount
                && schedule.effective[first * genes + component] == .reuse
        }
        return (0..<schedule.shape.geneCount).map { time in
            (0..<genes).count { isReadAfter(time, component: $0) }
        }.max() ?? 0
    }

    // MARK: - FLUX

    /// The same for FLUX, where what nothing consumes is skipped and slots differ in size.
    @Test(arguments: 0..<100)
    func fluxReadsTheLatestComputationToo(_ round: Int) throws {
        let shape = ScheduleShape.flux(
            fullBlocks: .random(in: 1...2), singleBlocks: .random(in: 1...3), steps: .random(in: 1...9))
        let schedule = random(shape, share: [0.2, 0.5, 0.9][round % 3])
        let plan = try ExecutionPlan(schedule)
        var slots = [[Int]?](repeating: nil, count: plan.slots.count)
        var latest = [Int](repeating: 0, count: shape.genesPerStep)
        for step in 0..<shape.stepCount {
            let first = step * shape.genesPerStep
            for index in 0..<shape.genesPerStep {
                let cell = shape.cell(at: first + index)
                let isComputed = schedule.effective[first + index] == .recompute
                if isComputed { latest[index] = step }
                switch plan.actions[step][index] {
                case .compute: #expect(isComputed)
                case .computeAndKeep(let slot):
                    #expect(isComputed)
                    slots[slot] = [index, step]
                    #expect((plan.slots[slot] == .expandedTokens) == (cell.component == .singleProjMLP))
                    #expect((plan.slots[slot] == .imageTokens) == (cell.component == .fullFF))
                    #expect((plan.slots[slot] == .textTokens) == (cell.component == .fullFFContext))
                case .reuse(let slot): #expect(!isComputed && slots[slot] == [index, latest[index]])
                case .skip:
                    #expect(cell.component == .singleAttn || cell.component == .singleProjMLP)
                    #expect(plan.actions[step][index / 3 * 3 + 2] != .compute)
                }
            }
        }
    }

    @Test func attentionThatNoProjectionReadsIsSkipped() throws {
        let shape = ScheduleShape.flux(fullBlocks: 0, singleBlocks: 1, steps: 3)
        var schedule = Schedule(shape: shape)
        schedule[step: 1, block: 0, component: .singleProjOut] = .reuse
        schedule[step: 2, block: 0, component: .singleProjMLP] = .reuse
        let plan = try ExecutionPlan(schedule)
        #expect(plan.actions[0] == [.compute, .compute, .computeAndKeep(slot: 0)])
        #expect(plan.actions[1] == [.skip, .computeAndKeep(slot: 1), .reuse(slot: 0)])
        #expect(plan.actions[2] == [.compute, .reuse(slot: 1), .compute])
        #expect(plan.slots == [.tokens, .expandedTokens])
    }

    // MARK: - TGATE

    @Test func gateFreezesCrossAttention() throws {
        let plan = try ExecutionPlan(schedule("RRR RRR", "RRR RRR", "RRR RRR", "R.. RR.", gateStep: 2))
        let gate = try #require(plan.gate)
        #expect(gate.step == 2 && gate.slots.count == 2)
        for step in 0..<4 {
            for block in 0..<2 {
                let action = plan.actions[step][3 * block + 1]
                switch step {
                case 0: #expect(action == .compute)
                case 1: #expect(action == .computeAndKeep(slot: gate.slots[block]))
                default: #expect(action == .reuse(slot: gate.slots[block]))
                }
            }
        }
        #expect(plan.slots.count == 4)
    }

    @Test func gateBeyondTheLastStepHasNoEffect() throws {
        let plain = schedule("RRR", "R.R", "RR.")
        #expect(try ExecutionPlan(schedule("RRR", "R.R", "RR.", gateStep: 3)) == ExecutionPlan(plain))
    }

    @Test(arguments: [(0, Component.attn1), (2, .ff)])
    func reuseAcrossTheGateIsRejected(_ slot: Int, _ component: Component) {
        var crossing = schedule("RRR RRR", "RRR RRR", "RRR RRR", "RRR RRR", gateStep: 2)
        crossing[2 * 6 + 3 + slot] = .reuse
        #expect(throws: SchedulesError.reuseAcrossGate(step: 2, block: 1, component: component)) {
            try ExecutionPlan(crossing)
        }
        crossing[2 * 6 + 3 + slot] = .recompute
        crossing[3 * 6 + 3 + slot] = .reuse
        #expect(throws: Never.self) { try ExecutionPlan(crossing) }
    }

    // MARK: - Lifetimes

    @Test(arguments: ScheduleTests.shapes)
    func outputsAreKeptExactlyUntilTheirLastReader(shape: ScheduleShape) {
        for gateStep in [nil, shape.isFlux ? nil : 2] {
            for _ in 0..<40 {
                let lifetimes = OutputLifetimes(randomSchedule(shape, gateStep: gateStep))
                for index in 0..<shape.genesPerStep {
                    let genes = (0..<shape.stepCount).map { $0 * shape.genesPerStep + index }
                    #expect(lifetimes.isComputed(genes[0]))
                    for (step, gene) in genes.enumerated() {
                        let next = genes[(step + 1)...].first { lifetimes.isComputed($0) || lifetimes.isRead($0) }
                        #expect(lifetimes.isKept(gene) == next.map { lifetimes.isRead($0) } ?? false)
                        if step > 0, lifetimes.isRead(gene) { #expect(lifetimes.isKept(genes[step - 1])) }
                    }
                }
            }
        }
    }

    @Test func inputsOfAReusedProjectionAreNotRead() throws {
        let shape = ScheduleShape.flux(fullBlocks: 0, singleBlocks: 1, steps: 3)
        let lifetimes = OutputLifetimes(try Schedule(shape: shape, genome: Genome(text: "111" + "000" + "001")))
        let (attention, projection) = (0, 2)
        #expect(!lifetimes.isRead(3 + attention) && !lifetimes.isComputed(3 + attention))
        #expect(lifetimes.isKept(3 + attention) && lifetimes.isRead(6 + attention))
        #expect(lifetimes.isRead(3 + projection) && !lifetimes.isKept(3 + projection))
    }
}
