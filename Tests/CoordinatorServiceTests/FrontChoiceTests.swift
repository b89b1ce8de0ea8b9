import CoordinatorService
import TestSupport
import Testing

@testable import History

@Suite struct FrontChoiceTests {
    private func member(_ id: Int64, latency: Double?, cost: Double? = nil, quality: Double) -> FrontRecord {
        FrontRecord(
            candidateID: id, generation: 1, speedup: latency.map { 1 / $0 }, latencyRatio: latency,
            measuredRatio: latency, macs: nil, cost: cost ?? latency ?? 1, quality: quality, images: 8)
    }

    private var front: [FrontRecord] {
        [
            member(1, latency: 0.9, quality: 40), member(2, latency: 0.5, quality: 30),
            member(3, latency: nil, cost: 0.25, quality: 20),
        ]
    }

    private func pick(_ choice: FrontChoice) throws -> Int64 { try choice.pick(from: front, folder: "r").candidateID }

    @Test func maxLatencySelectsTheBestQuality() throws {
        #expect(try pick(.maxLatency(1)) == 1)
        #expect(try pick(.maxLatency(0.5)) == 2)
        #expect(try pick(.maxLatency(0.3)) == 3)
    }

    @Test func minQualitySelectsTheFastest() throws {
        #expect(try pick(.minQuality(40)) == 1)
        #expect(try pick(.minQuality(29)) == 2)
        #expect(try pick(.minQuality(-1)) == 3)
    }

    @Test func lossIsRelativeToTheBestQuality() throws {
        #expect(try pick(.fastestWithinLoss(0)) == 1)
        #expect(try pick(.fastestWithinLoss(10)) == 2)
        #expect(try pick(.fastestWithinLoss(25)) == 3)
    }

    @Test func limitsInMessagesAreShortAndCanBeSatisfied() {
        let member = member(1, latency: 0.123456789, quality: 33.987654321)
        let latency = complaint { try FrontChoice.maxLatency(0.1).pick(from: [member], folder: "r") }
        #expect(latency.isOneLine(naming: "the smallest is 0.1235"))
        let quality = complaint { try FrontChoice.minQuality(50).pick(from: [member], folder: "r") }
        #expect(quality.isOneLine(naming: "the best is 33.98") && !quality.isOneLine(naming: "33.98765"))
    }

    @Test func unsatisfiableCriteriaAreReportedWithTheBestValue() {
        #expect(complaint { try pick(.maxLatency(0.1)) }.isOneLine(naming: "r: no member", "0.1", "0.25"))
        #expect(complaint { try pick(.minQuality(41)) }.isOneLine(naming: "r: no member", "41", "40"))
        #expect(
            complaint { try FrontChoice.minQuality(1).pick(from: [], folder: "r") }
                .isOneLine(naming: "r: the front is empty"))
    }
}
