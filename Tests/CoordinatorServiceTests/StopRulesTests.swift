import Testing

@testable import CoordinatorService

@Suite struct StopRulesTests {
    @Test func defaultRulesNeverEndARun() {
        #expect(StopRules().reason(evaluations: 1_000_000, seconds: 1e9, hypervolumes: [1, 1, 1, 1]) == nil)
    }

    @Test func limitsEndTheRunOnceReached() {
        let rules = StopRules(evaluations: 10, seconds: 60)
        #expect(rules.reason(evaluations: 9, seconds: 59.9, hypervolumes: []) == nil)
        #expect(rules.reason(evaluations: 10, seconds: 0, hypervolumes: [])?.contains("stop.evaluations") == true)
        #expect(rules.reason(evaluations: 0, seconds: 60, hypervolumes: [])?.contains("stop.seconds") == true)
    }

    @Test func flatGainIsRelativeToTheFormerHypervolume() {
        let rules = StopRules(flatGenerations: 2, flatGain: 0.1)
        #expect(rules.reason(evaluations: 0, seconds: 0, hypervolumes: [10, 10]) == nil)
        #expect(rules.reason(evaluations: 0, seconds: 0, hypervolumes: [10, 10, 11.5]) == nil)
        #expect(rules.reason(evaluations: 0, seconds: 0, hypervolumes: [10, 10, 11]) != nil)
        #expect(rules.reason(evaluations: 0, seconds: 0, hypervolumes: [1, 10, 10.5, 11]) != nil)
    }
}
