import Evaluations
import Evolution
import ModelConfiguration
import Schedules

/// Two sets of rules for the search compared at equal evaluations, from equal seeds.
public struct PresetBenchmark: Sendable, Encodable {
    /// Hypervolumes of both, for every seed.
    public struct Pair: Sendable, Encodable {
        /// The seed of all random choices.
        public let seed: UInt64
        /// Hypervolume of the front under the first rules.
        public let first: Double
        /// Hypervolume of the front under the second rules.
        public let second: Double
    }

    /// The pairs.
    public let pairs: [Pair]

    /// Mean of the differences, first minus second.
    public var meanDifference: Double {
        pairs.reduce(0) { $0 + $1.first - $1.second } / Double(max(1, pairs.count))
    }

    /// Half the width of the 95 % confidence interval of the mean difference, by Student's t.
    public var halfInterval: Double {
        let count = Double(pairs.count)
        guard count > 1 else { return .infinity }
        let squares = pairs.reduce(0) { sum, pair in
            let deviation = pair.first - pair.second - meanDifference
            return sum + deviation * deviation
        }
        return Self.studentQuantile(count - 1) * (squares / (count - 1) / count).squareRoot()
    }

    /// The 97.5 % quantile of Student's t, by the expansion of Cornish and Fisher; within 0.3 % from five degrees of
    /// freedom on.
    static func studentQuantile(_ degrees: Double) -> Double {
        let z = 1.959963984540054
        let (z3, z5, z7) = (z * z * z, z * z * z * z * z, z * z * z * z * z * z * z)
        return z + (z3 + z) / (4 * degrees) + (5 * z5 + 16 * z3 + 3 * z) / (96 * degrees * degrees)
            + (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * degrees * degrees * degrees)
    }

    /// Searches under both rules for each seed; cost is the share of multiply-adds, quality PSNR.
    ///
    /// - Parameters:
    ///   - evaluator: The model.
    ///   - architecture: The same model, for its multiply-adds.
    ///   - imageCount: Images for each schedule, of the first prompts.
    ///   - rules: The two sets of rules.
    ///   - seeding: Where the first populations come from.
    ///   - evaluations: Schedules evaluated in each search.
    ///   - seeds: Seeds of all random choices.
    ///   - report: Called after every pair.
    /// - Throws: `EvaluationsError`, `EvolutionError`, `SchedulesError`.
    public init(
        _ evaluator: Evaluator, architecture: ModelArchitecture, imageCount: Int,
        rules: (first: SearchSettings, second: SearchSettings), seeding: [String], evaluations: Int, seeds: [UInt64],
        report: (Pair) -> Void = { _ in }
    ) throws {
        let uncached = Double(try architecture.macs(Schedule(shape: evaluator.shape)).total)
        let search = LocalSearch(
            evaluator: evaluator,
            items: (0..<imageCount).map { EvaluationItem(prompt: $0, seed: UInt64($0)) },
            cost: { schedule in ((try? architecture.macs(schedule).total).map(Double.init) ?? .nan) / uncached })
        func hypervolume(_ settings: SearchSettings, _ seed: UInt64) throws -> Double {
            let end = try search.run(settings: settings, seeding: seeding, evaluations: evaluations, seed: seed)
            return Pareto.hypervolume(of: end.front.map(\.objectives), reference: [1.1, 0])
        }
        pairs = try seeds.map { seed in
            let pair = Pair(
                seed: seed, first: try hypervolume(rules.first, seed), second: try hypervolume(rules.second, seed))
            report(pair)
            return pair
        }
    }
}
