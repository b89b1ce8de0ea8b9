import Testing

@testable import Evolution

@Suite struct HeldOutFrontTests {
    private static let reference = [1.0, 0.0]

    /// Losses of schedules around true means, with independent noise for each prompt.
    private func losses(
        _ means: [Double], prompts: Int, noise: Double, common: Double = 0, _ generator: inout RandomGenerator
    ) -> [[Double]] {
        let shifts = (0..<prompts).map { _ in common * generator.normal() }
        return means.map { mean in shifts.map { mean + $0 + noise * generator.normal() } }
    }

    @Test(arguments: [(5.0, 2.5706), (9, 2.2622), (19, 2.0930), (99, 1.9842)])
    func quantilesEqualStudentsT(_ degrees: Double, _ expected: Double) {
        #expect(abs(studentQuantile(degrees) / expected - 1) < 3e-3)
    }

    @Test func equalPromptsLeaveNothingToLuck() throws {
        let costs = [0.2, 0.5, 0.5, 0.8, 1.2]
        let means = [-1.0, -3, -2, -4, -9]
        let front = try #require(
            HeldOutFront(
                costs: costs, losses: means.map { Array(repeating: $0, count: 6) }, reference: Self.reference))
        let exact = Pareto.hypervolume(of: zip(costs, means).map { [$0, $1] }, reference: Self.reference)
        #expect(abs(front.shown - exact) < 1e-12 && abs(front.hypervolume - exact) < 1e-12)
        #expect(front.optimism < 1e-12 && front.interval.upperBound - front.interval.lowerBound < 1e-12)
        #expect(front.promptCount == 6)
    }

    @Test func shownHypervolumeIsThatOfTheMeans() throws {
        var generator = RandomGenerator(seed: 5)
        for _ in 0..<20 {
            let costs = (0..<40).map { _ in Double(generator.integer(below: 12)) / 10 }
            let losses = losses(costs.map { -10 * $0 }, prompts: 5, noise: 3, &generator)
            let points = zip(costs, losses).map { [$0, $1.reduce(0, +) / 5] }
            let exact = Pareto.hypervolume(of: points, reference: Self.reference)
            let front = try #require(HeldOutFront(costs: costs, losses: losses, reference: Self.reference))
            #expect(abs(front.shown - exact) < 1e-9)
        }
    }

    /// 50 schedules of equal cost and equal true loss: the best mean is better by the expected maximum of 50 standard
    /// normal numbers, 2.2491, times noise / √prompts, and all of that is luck.
    @Test(arguments: [6, 16]) func pureLuckIsFound(prompts: Int) throws {
        var generator = RandomGenerator(seed: 1)
        let rounds = 400
        let fronts = try (0..<rounds).map { _ in
            try #require(
                HeldOutFront(
                    costs: Array(repeating: 0.5, count: 50),
                    losses: losses(Array(repeating: -10, count: 50), prompts: prompts, noise: 1, &generator),
                    reference: Self.reference))
        }
        let shown = fronts.reduce(0) { $0 + $1.shown } / Double(rounds)
        let heldOut = fronts.reduce(0) { $0 + $1.hypervolume } / Double(rounds)
        let luck = 0.5 * 2.2491 / Double(prompts).squareRoot()
        #expect(abs(heldOut - 5) < 0.03, "\(heldOut)")
        #expect(abs(shown - heldOut - luck) < 0.04 * luck + 0.03, "\(shown - heldOut), expected \(luck)")
    }

    /// Schedules that differ by far more than the noise are chosen rightly.
    @Test func clearDifferencesAreNotLuck() throws {
        var generator = RandomGenerator(seed: 2)
        let costs = (1..<10).map { Double($0) / 10 }
        let losses = losses(costs.map { -100 * $0 }, prompts: 8, noise: 0.5, common: 5, &generator)
        let front = try #require(HeldOutFront(costs: costs, losses: losses, reference: Self.reference))
        #expect(abs(front.optimism) < 1e-9)
        #expect(front.interval.contains(front.hypervolume))
    }

    /// Of 95 % intervals for the hypervolume of schedules on all prompts, about 95 % contain it, also with few prompts.
    @Test(arguments: [5, 8, 30]) func intervalsCoverTheTruth(prompts: Int) throws {
        var generator = RandomGenerator(seed: 3)
        let costs = [0.2, 0.4, 0.6, 0.8]
        let means = [-2.0, -4, -6, -8]
        let truth = Pareto.hypervolume(of: zip(costs, means).map { [$0, $1] }, reference: Self.reference)
        let rounds = 500
        let covered = try (0..<rounds).count { _ in
            let losses = losses(means, prompts: prompts, noise: 0.2, common: 1, &generator)
            let front = try #require(HeldOutFront(costs: costs, losses: losses, reference: Self.reference))
            return front.interval.contains(truth)
        }
        #expect((0.9...0.99).contains(Double(covered) / Double(rounds)), "\(covered) of \(rounds)")
    }

    @Test func resultIsReproducible() throws {
        var generator = RandomGenerator(seed: 4)
        let losses = losses(Array(repeating: -1, count: 5), prompts: 9, noise: 1, &generator)
        let costs = [0.1, 0.2, 0.3, 0.4, 0.5]
        let first = HeldOutFront(costs: costs, losses: losses, reference: Self.reference)
        #expect(first != nil && HeldOutFront(costs: costs, losses: losses, reference: Self.reference) == first)
    }

    @Test func tooLittleGivesNothing() {
        let four = HeldOutFront(costs: [0.5], losses: [[-1, -2, -3, -4]], reference: Self.reference)
        let none = HeldOutFront(costs: [], losses: [], reference: Self.reference)
        let outside = HeldOutFront(costs: [1.5], losses: [[-1, -2, -3, -4, -5]], reference: Self.reference)
        let worse = HeldOutFront(costs: [0.5], losses: [[1, 2, 3, 4, 5]], reference: Self.reference)
        #expect(four == nil && none == nil && outside == nil && worse == nil)
    }
}
