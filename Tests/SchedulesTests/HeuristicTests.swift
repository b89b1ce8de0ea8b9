import Foundation
import ModelConfiguration
import Schedules
import Testing

@Suite struct HeuristicTests {
    static let pixart = ScheduleShape.pixart(blocks: 2, steps: 4)
    static let flux = ScheduleShape.flux(fullBlocks: 1, singleBlocks: 1, steps: 3)

    @Test func uncachedRecomputesEverything() throws {
        #expect(try Heuristic.uncached.schedule(for: Self.pixart).genome == Genome(repeating: true, count: 24))
    }

    @Test func foraRecomputesAtMultiplesOfTheInterval() throws {
        #expect(
            try Heuristic.fora(interval: 3).schedule(for: Self.pixart).genome.description
                == "111111" + "000000" + "000000" + "111111")
        #expect(
            try Heuristic.fora(interval: 2).schedule(for: Self.flux).genome.description
                == "111111" + "000000" + "111111")
    }

    @Test func attentionOnlyForaLeavesTheRestAlone() throws {
        #expect(
            try Heuristic.foraAttention(interval: 2).schedule(for: Self.pixart).genome.description
                == "111111" + "001001" + "111111" + "001001")
        #expect(
            try Heuristic.foraAttention(interval: 2).schedule(for: Self.flux).genome.description
                == "111111" + "011011" + "111111")
    }

    @Test func tgateFollowsIntervalWarmupAndGate() throws {
        let rule = Heuristic.GateRule(gateStep: 3, interval: 4, intervalAfterGate: 2, warmup: 2)
        let schedule = try Heuristic.tgate(rule).schedule(for: .pixart(blocks: 1, steps: 6))
        #expect(schedule.genome.description == "111" + "111" + "011" + "001" + "101" + "001")
        #expect(schedule.gateStep == 3)
        #expect(try Heuristic.tgateNoAverage(rule).schedule(for: .pixart(blocks: 1, steps: 6)).gateStep == nil)
    }

    @Test func spreadRoundsHalvesToEven() {
        #expect(Heuristic.spread(from: 0, to: 9, count: 3) == [0, 4, 9])
        #expect(Heuristic.spread(from: 0, to: 45, count: 3) == [0, 22, 45])
        #expect(Heuristic.spread(from: 0, to: 27, count: 1) == [0])
    }

    @Test func evenlyTouchesCentredStepsAndSpreadBlocks() throws {
        let schedule = try Heuristic.evenly(.selfAttention, blocks: 3, steps: 3).schedule(for: .pixart())
        let reused = schedule.decisions.indices.filter { schedule[$0] == .reuse }.map { schedule.shape.cell(at: $0) }
        #expect(Set(reused.map(\.step)) == [5, 10, 15])
        #expect(Set(reused.map(\.block)) == [0, 14, 27])
        #expect(Set(reused.map(\.component)) == [.attn1])
        #expect(reused.count == 9)
    }

    @Test func middleTouchesTheBlocksAroundTheMiddle() throws {
        func blocks(_ count: Int) throws -> Set<Int> {
            let schedule = try Heuristic.middle(.feedForward, blocks: count, steps: 1).schedule(for: .pixart())
            return Set(
                schedule.decisions.indices.filter { schedule[$0] == .reuse }.map { schedule.shape.cell(at: $0).block })
        }
        #expect(try blocks(3) == [13, 14, 15])
        #expect(try blocks(4) == [12, 13, 14, 15])
        #expect(try blocks(28) == Set(0..<28))
    }

    @Test func fluxEvenlyCountsSingleBlocksAfterFullOnes() throws {
        let schedule = try Heuristic.evenly(.fluxFeedForward, blocks: 6, steps: 1).schedule(for: .flux())
        let reused = schedule.decisions.indices.filter { schedule[$0] == .reuse }.map { schedule.shape.cell(at: $0) }
        #expect(Set(reused.map(\.block)) == Set(Heuristic.spread(from: 0, to: 56, count: 6)))
        #expect(Set(reused.map(\.component)) == [.fullFF, .fullFFContext, .singleProjMLP, .singleProjOut])
    }

    @Test func commandLineNamesAndParametersAreUnderstood() throws {
        #expect(try Heuristic(name: "default", parameters: [:]) == .uncached)
        #expect(try Heuristic(name: "fora", parameters: ["n": "3"]).description == "fora-3")
        #expect(
            try Heuristic(name: "tgate-no-average", parameters: ["m": "10", "k": "1"])
                == .tgateNoAverage(.init(gateStep: 10, interval: 1, intervalAfterGate: 1, warmup: 2)))
        #expect(
            try Heuristic(name: "evenly", parameters: ["part": "ca", "blocks": "3", "steps": "5"])
                == .evenly(.crossAttention, blocks: 3, steps: 5))
    }

    @Test func wrongNamesAndParametersAreRejected() {
        func message(_ name: String, _ parameters: [String: String]) -> String {
            do { return "\(try Heuristic(name: name, parameters: parameters).schedule(for: Self.pixart))" } catch {
                return "\(error)"
            }
        }
        #expect(message("forra", [:]).hasPrefix("unknown heuristic 'forra'; expected one of default, fora,"))
        #expect(message("fora", [:]) == "heuristic fora: parameter n is missing; expected an integer")
        #expect(message("fora", ["n": "0"]) == "heuristic fora: parameter n is 0; expected 1 to 1000")
        #expect(message("fora", ["n": "2", "m": "1"]) == "heuristic fora: parameter m is 1; expected only n")
        #expect(
            message("evenly", ["part": "ca", "blocks": "3", "steps": "1"])
                == "heuristic evenly: parameter blocks is 3; expected 1 to 2")
        #expect(
            message("evenly", ["part": "mlp_ff", "blocks": "1", "steps": "1"])
                == "heuristic evenly-mlp_ff-1-1 does not apply to 2 PixArt blocks x 4 steps")
        #expect(
            message("tgate", ["m": "5", "k": "1"]) == "heuristic tgate: parameter m is 5; expected 1 to 4")
        #expect(throws: SchedulesError.self) {
            try Heuristic.tgate(.init(gateStep: 1, interval: 1)).schedule(for: Self.flux)
        }
    }

    @Test(arguments: ["tgate", "tgate-no-average"])
    func gateAfterTheLastStepIsAWarning(_ name: String) throws {
        func warning(_ gate: Int) throws -> String? {
            let heuristic = try Heuristic(name: name, parameters: ["m": "\(gate)", "k": "2"])
            _ = try heuristic.schedule(for: Self.pixart)
            return heuristic.warning(stepCount: Self.pixart.stepCount)
        }
        #expect(try warning(3) == nil)
        #expect(try warning(4)?.hasPrefix("heuristic \(name): parameter m is 4, after the last of 4 steps") == true)
    }

    /// The heuristic that a published name speaks of.
    private func heuristic(named name: String) -> Heuristic? {
        let numbers = name.split(separator: "_").compactMap { Int($0) }
        switch name {
        case "default": return .uncached
        case _ where name.hasPrefix("recompute_all_every"): return .fora(interval: numbers[0])
        case _ where name.hasPrefix("recompute_ca_sa_every"): return .foraAttention(interval: numbers[0])
        case _ where name.hasPrefix("tgate"):
            let rule = Heuristic.GateRule(
                gateStep: numbers[0], interval: numbers[1], intervalAfterGate: numbers[2], warmup: numbers[3])
            return name.hasPrefix("tgate_without") ? .tgateNoAverage(rule) : .tgate(rule)
        case _ where name.hasPrefix("evenly_cache"):
            return Heuristic.Part(rawValue: String(name.split(separator: "_")[2]))
                .map { .evenly($0, blocks: numbers[0], steps: numbers[1]) }
        default: return nil
        }
    }

    @Test(.enabled(if: PublishedSchedules.arePresent))
    func publishedHeuristicsAreReproducedBitForBit() throws {
        var kinds: [Heuristic.Kind: Int] = [:]
        for published in try PublishedSchedules.all.get() {
            let file = published.file
            guard let heuristic = heuristic(named: file.schedule.name) else { continue }
            let made = try heuristic.file(for: file.schedule.shape)
            #expect(made.schedule == file.schedule, "\(published.path)")
            #expect(made.attributes == file.attributes, "\(published.path)")
            kinds[heuristic.kind, default: 0] += 1
        }
        #expect(Set(kinds.keys) == [.uncached, .fora, .foraAttention, .tgate, .tgateNoAverage, .evenly])
        #expect(kinds[.evenly] == 45)
    }
}
