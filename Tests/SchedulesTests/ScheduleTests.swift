import ModelConfiguration
import Schedules
import Testing

/// For every step, the step at which each tensor that reaches the images was computed: equal traces, equal images.
///
/// Runs a schedule as the original does, with every last output kept.
func trace(_ schedule: Schedule) -> [[Int]] {
    let shape = schedule.shape
    var computedAt = [Int?](repeating: nil, count: shape.genesPerStep)
    // What a cached single-stream projection was made of: the steps of its attention and MLP.
    var madeOf: [Int: [Int]] = [:]
    return (0..<shape.stepCount).map { step in
        var seen: [Int] = []
        for block in 0..<shape.blockCount {
            for component in shape.blocks[block].components {
                let place = block * BlockKind.componentCount + component.slot
                var recomputes = schedule[step: step, block: block, component: component] == .recompute
                if component == .attn2, let gate = schedule.gateStep, step >= gate { recomputes = false }
                if recomputes || computedAt[place] == nil {
                    computedAt[place] = step
                    if component == .singleProjOut {
                        madeOf[place] = [computedAt[place - 2] ?? -1, computedAt[place - 1] ?? -1]
                    }
                }
                if component == .singleAttn || component == .singleProjMLP { continue }
                seen += [computedAt[place] ?? -1] + madeOf[place, default: []]
            }
        }
        return seen
    }
}

func randomSchedule(_ shape: ScheduleShape, gateStep: Int? = nil) -> Schedule {
    Schedule(
        shape: shape, decisions: (0..<shape.geneCount).map { _ in Bool.random() ? .recompute : .reuse },
        gateStep: gateStep)
}

@Suite struct ScheduleTests {
    static let shapes: [ScheduleShape] = [
        .pixart(blocks: 2, steps: 6), .flux(fullBlocks: 1, singleBlocks: 2, steps: 7),
        .flux(fullBlocks: 0, singleBlocks: 1, steps: 12), .pixart(blocks: 1, steps: 1),
    ]

    /// Step 0 computes everything whatever a file says of it, and a gate at the end has no effect.
    @Test func stepMasksAreTheSameForAllComponentsOfEachStep() throws {
        let shape = ScheduleShape.pixart(blocks: 2, steps: 4)
        var schedule = try Heuristic.fora(interval: 2).schedule(for: shape)
        #expect(schedule.isStepMask && Schedule(shape: shape).isStepMask)
        schedule[step: 0, block: 0, component: .attn1] = .reuse
        schedule.gateStep = 4
        #expect(schedule.isStepMask)
        schedule.gateStep = 3
        #expect(!schedule.isStepMask)
        schedule.gateStep = nil
        schedule[step: 3, block: 1, component: .ff] = .recompute
        #expect(!schedule.isStepMask)
    }

    @Test func firstUseIsAlwaysComputed() {
        let shape = ScheduleShape.pixart(blocks: 2, steps: 3)
        let none = Schedule(shape: shape, decisions: Array(repeating: .reuse, count: shape.geneCount))
        let effective = none.effective
        #expect(effective.genome.description == "111111" + "000000" + "000000")
        #expect(none.genome.recomputeCount == 0)
    }

    @Test func crossAttentionIsFrozenFromTheGateOn() {
        let schedule = Schedule(shape: .pixart(blocks: 1, steps: 4), gateStep: 2)
        #expect(schedule.effective.genome.description == "111" + "111" + "101" + "101")
    }

    @Test func genomesAndSchedulesConvertIntoEachOther() throws {
        for shape in Self.shapes {
            let schedule = randomSchedule(shape)
            #expect(try Schedule(shape: shape, genome: schedule.genome) == schedule)
        }
        #expect(throws: SchedulesError.geneCount(expected: 6, found: 5)) {
            try Schedule(shape: .pixart(blocks: 1, steps: 2), genome: Genome(repeating: true, count: 5))
        }
    }

    @Test func attentionThatNoProjectionConsumesIsDeadWork() throws {
        let shape = ScheduleShape.flux(fullBlocks: 0, singleBlocks: 1, steps: 4)
        // attention, MLP, projection; the attention of step 1 is replaced at step 2 before the projection of step 3
        // reads it, the MLP of step 1 is what that projection reads.
        let genome = try Genome(text: "111" + "110" + "100" + "001")
        #expect(genome.canonical(for: shape).description == "111" + "010" + "100" + "001")
        #expect(try Genome(text: "000" + "110" + "110" + "110").canonical(for: shape).description == "111000000000")
    }

    @Test(arguments: shapes)
    func canonicalSchedulesGiveTheSameImagesWithTheFewestComputations(shape: ScheduleShape) {
        for gateStep in [nil, shape.isFlux ? nil : 2] {
            for _ in 0..<40 {
                let schedule = randomSchedule(shape, gateStep: gateStep)
                let canonical = schedule.canonical
                #expect(trace(canonical) == trace(schedule))
                #expect(canonical.canonical == canonical)
                #expect(canonical.genome.recomputeCount <= schedule.effective.genome.recomputeCount)
                for gene in shape.genesPerStep..<max(shape.genesPerStep, shape.geneCount)
                where canonical[gene] == .recompute {
                    var without = canonical
                    without[gene] = .reuse
                    #expect(trace(without) != trace(canonical), "gene \(gene) does nothing")
                }
            }
        }
    }

    @Test(arguments: shapes)
    func canonicalGenomesAreThoseOfCanonicalSchedules(shape: ScheduleShape) {
        for _ in 0..<20 {
            let schedule = randomSchedule(shape)
            #expect(schedule.genome.canonical(for: shape) == schedule.canonical.genome)
        }
    }
}
