import Foundation

/// How much of a front's hypervolume is luck: the front measured on prompts that did not choose it.
///
/// A quality is a mean over few prompts, and a front picks the largest of many such means, so the hypervolume on the
/// prompts that chose it is too large on average. For each prompt, the front is chosen by the means over the others, and
/// its members are measured on that prompt alone. Each cost keeps the schedule that was chosen for it, so the area is
/// linear in the measured qualities and there is no second choice on the prompt left out.
///
/// Only the choice among the given schedules is held out. A search that proposed them from results on the same prompts
/// may have fitted its proposals to them as well, so the rest of the luck remains hidden.
public struct HeldOutFront: Hashable, Sendable {
    /// The smallest number of prompts from which an interval is worth anything: with four, one in eight samples of means
    /// lies on one side of the truth.
    public static let leastPromptCount = 5

    /// Number of prompts.
    public let promptCount: Int
    /// The hypervolume on all prompts, which chose the front.
    public let shown: Double
    /// The mean over the prompts of the hypervolume of the front chosen without the prompt.
    public let hypervolume: Double
    /// 95 % bootstrap interval of the hypervolume on prompts of this kind.
    public let interval: ClosedRange<Double>

    /// The share of the shown hypervolume that prompts which did not choose the front do not confirm; negative if they
    /// are better by chance.
    public var optimism: Double { shown > 0 ? (shown - hypervolume) / shown : 0 }

    /// Measures the front on held-out prompts; nil with fewer prompts than ``leastPromptCount``, or without a schedule
    /// below the reference.
    ///
    /// - Parameters:
    ///   - costs: The first objective of every schedule, minimised; known without error.
    ///   - losses: `[schedules][prompts]`: the second objective, minimised.
    ///   - reference: The reference point of the hypervolume.
    /// - Complexity: O(prompts · schedules), after sorting the schedules.
    public init?(costs: [Double], losses: [[Double]], reference: [Double]) {
        guard let promptCount = losses.first?.count, promptCount >= Self.leastPromptCount else { return nil }
        precondition(costs.count == losses.count && losses.allSatisfy { $0.count == promptCount })
        let order = costs.indices.filter { costs[$0] < reference[0] }.sorted { (costs[$0], $0) < (costs[$1], $1) }
        let sums = losses.map { $0.reduce(0, +) }
        /// The area under the front chosen by some losses, measured by others.
        func area(choosing: (Int) -> Double, measuring: (Int) -> Double) -> Double {
            var area = 0.0
            var member: Int?
            var ceiling = reference[1]
            func strip(to cost: Double) -> Double {
                member.map { (cost - costs[$0]) * (reference[1] - measuring($0)) } ?? 0
            }
            for index in order where choosing(index) < ceiling {
                area += strip(to: costs[index])
                (member, ceiling) = (index, choosing(index))
            }
            return area + strip(to: reference[0])
        }
        let count = Double(promptCount)
        let shown = area(choosing: { sums[$0] / count }, measuring: { sums[$0] / count })
        guard shown > 0 else { return nil }
        let areas = (0..<promptCount).map { prompt in
            area(choosing: { (sums[$0] - losses[$0][prompt]) / (count - 1) }, measuring: { losses[$0][prompt] })
        }
        self.promptCount = promptCount
        self.shown = shown
        hypervolume = areas.reduce(0, +) / count
        interval = Self.bootstrap(areas)
    }

    private static let resamples = 4000

    /// The 95 % interval of a mean by the percentile bootstrap.
    ///
    /// The percentiles are those of Student's t, and the spread is that of a sample of n, not of a population of n
    /// (Hesterberg, "What Teachers Should Know About the Bootstrap", 2015): the plain interval is too narrow for few
    /// prompts. Deterministic.
    private static func bootstrap(_ values: [Double]) -> ClosedRange<Double> {
        var generator = RandomGenerator(seed: UInt64(values.count))
        let means = (0..<resamples).map { _ in
            values.indices.reduce(0.0) { sum, _ in sum + values[generator.integer(below: values.count)] }
                / Double(values.count)
        }.sorted()
        let count = Double(values.count)
        let deviations = (count / (count - 1)).squareRoot() * studentQuantile(count - 1)
        let tail = erfc(deviations / 2.0.squareRoot()) / 2
        let index = Int(tail * Double(resamples))
        return means[index]...means[resamples - 1 - index]
    }
}

/// The 97.5 % quantile of Student's t by the Cornish-Fisher expansion; within 0.3 % for five degrees of freedom or more.
package func studentQuantile(_ degrees: Double) -> Double {
    let z = 1.959963984540054
    let (z3, z5, z7) = (z * z * z, z * z * z * z * z, z * z * z * z * z * z * z)
    return z + (z3 + z) / (4 * degrees) + (5 * z5 + 16 * z3 + 3 * z) / (96 * degrees * degrees)
        + (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * degrees * degrees * degrees)
}
