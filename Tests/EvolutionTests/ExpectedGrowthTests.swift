import Testing

@testable import Evolution

@Suite struct ExpectedGrowthTests {
    private static let reference = [1.1, 0.0]

    @Test func certainSchedulesGrowTheHypervolumeExactly() {
        let front = [[0.3, -3.0], [0.6, -6], [0.7, -5]]
        let added = [
            ExpectedGrowth.Forecast(cost: 0.5, loss: -5.5, deviation: 0),
            ExpectedGrowth.Forecast(cost: 0.2, loss: -1, deviation: 0),
            ExpectedGrowth.Forecast(cost: 0.9, loss: -5, deviation: 0),
        ]
        let all = front + added.map { [$0.cost, $0.loss] }
        let exact =
            Pareto.hypervolume(of: all, reference: Self.reference)
            - Pareto.hypervolume(of: front, reference: Self.reference)
        #expect(abs(ExpectedGrowth.mean(of: front, by: added, reference: Self.reference) - exact) < 1e-9)
        #expect(ExpectedGrowth.mean(of: front, by: [], reference: Self.reference) == 0)
    }

    @Test func oneUncertainScheduleHasItsExpectedGain() {
        let front = [[0.3, -3.0], [0.6, -6]]
        let reference = FrontPlanner.Point(cost: 1.1, loss: 0)
        let staircase = Staircase(front.map { FrontPlanner.Point(cost: $0[0], loss: $0[1]) }, reference)
        for (cost, loss, deviation) in [(0.4, -3.5, 1.0), (0.2, -1, 3), (0.9, -4, 2)] {
            let exact = staircase.expectedGain(FrontPlanner.Point(cost: cost, loss: loss), deviation: deviation)
            let drawn = ExpectedGrowth.mean(
                of: front, by: [ExpectedGrowth.Forecast(cost: cost, loss: loss, deviation: deviation)],
                reference: Self.reference)
            #expect(abs(drawn - exact) < 0.1 * exact + 0.01, "\(drawn), expected \(exact)")
        }
    }

    /// Over several searches, what was expected of each generation is of the order of what it brought.
    @Test func expectationsAreOfTheRightOrder() throws {
        var (expected, measured) = (0.0, 0.0)
        for seed: UInt64 in 1...4 {
            var (search, basis) = try SearchGuideTests.search(seed: seed)
            #expect(search.expectedGrowth(offspring: 12) == nil, "nothing is evaluated")
            try search.tell(search.ask().map { SearchGuideTests.evaluate($0, basis) })
            for _ in 0..<4 {
                let before = Pareto.hypervolume(of: search.front.map(\.objectives), reference: basis.reference)
                let state = search.encoded()
                expected += try #require(search.expectedGrowth(offspring: 12))
                #expect(search.encoded() == state, "the search does not change")
                let offspring = search.ask()
                #expect(search.expectedGrowth(offspring: 12) == nil, "offspring wait for results")
                try search.tell(offspring.map { SearchGuideTests.evaluate($0, basis) })
                let after = Pareto.hypervolume(of: search.front.map(\.objectives), reference: basis.reference)
                measured += after - before
            }
        }
        #expect(expected > measured / 3 && expected < measured * 3, "\(expected) expected, \(measured) measured")
    }

    @Test func searchesWithoutAModelExpectNothing() throws {
        let (_, basis) = try SearchGuideTests.search()
        var search = try Search(
            settings: SearchSettings(preset: .nsga2, populationSize: 12), shape: SearchGuideTests.shape,
            seeds: basis.seeds(12), seed: 1)
        try search.tell(search.ask().map { SearchGuideTests.evaluate($0, basis) })
        #expect(search.expectedGrowth(offspring: 12) == nil && search.predictions.isEmpty)
    }
}
