import ModelConfiguration
import Schedules
import Testing

@Suite struct ScheduleTransferTests {
    @Test func equalShapesKeepEveryDecision() throws {
        var schedule = Schedule(shape: .pixart(), name: "a", gateStep: 7)
        for gene in stride(from: 100, to: 1680, by: 7) { schedule[gene] = .reuse }
        #expect(try schedule.transferred(to: .pixart()) == schedule)
    }

    @Test func stepsAndBlocksMapToThoseAtTheSameFraction() throws {
        // Step s of 10 is recomputed where s is even, block b of 4 where b is 1.
        let source = ScheduleShape.pixart(blocks: 4, steps: 10)
        var schedule = Schedule(shape: source)
        for step in 0..<10 {
            for block in 0..<4 where step % 2 == 1 || block != 1 {
                schedule[step: step, block: block, component: .ff] = .reuse
            }
        }
        let longer = try schedule.transferred(to: .pixart(blocks: 8, steps: 20))
        for step in 0..<20 {
            for block in 0..<8 {
                let expected = step / 2 % 2 == 0 && block / 2 == 1
                #expect((longer[step: step, block: block, component: .ff] == .recompute) == expected)
                #expect(longer[step: step, block: block, component: .attn1] == .recompute)
            }
        }
        // Halving again gives the original back.
        #expect(try longer.transferred(to: source) == schedule)
    }

    @Test func fluxBlocksStayAmongTheirKind() throws {
        var schedule = Schedule(shape: .flux(fullBlocks: 2, singleBlocks: 4, steps: 3))
        for step in 0..<3 { schedule[step: step, block: 2, component: .singleAttn] = .reuse }
        let target = try schedule.transferred(to: .flux(fullBlocks: 19, singleBlocks: 38, steps: 3))
        let reused = (0..<57).filter { block in
            target.shape.blocks[block] == .fluxSingle
                && target[step: 1, block: block, component: .singleAttn] == .reuse
        }
        #expect(reused == Array(19..<28))
    }

    @Test func gateMovesWithItsStep() throws {
        let schedule = Schedule(shape: .pixart(steps: 20), gateStep: 10)
        #expect(try schedule.transferred(to: .pixart(steps: 50)).gateStep == 25)
        #expect(try schedule.transferred(to: .pixart(steps: 1)).gateStep == 1)
    }

    @Test func otherFamiliesAreRejected() {
        #expect(throws: SchedulesError.self) { try Schedule(shape: .pixart()).transferred(to: .flux()) }
        #expect(throws: SchedulesError.self) { try Schedule(shape: .flux()).transferred(to: .pixart()) }
    }
}
