import Evaluations
import Evolution
import ModelConfiguration
import Schedules

/// Compares two settings of the search with equal numbers of evaluations and equal seeds.
public struct PresetBenchmark: Sendable, Encodable {
    /// Hypervolumes of both settings for one seed.
    public struct Pair: Sendable, Encodable {
        /// Random seed of both searches.
        public let seed: UInt64
        /// Hypervolume of the front with the first settings.
        public let first: Double
        /// Hypervolume of the front with the second settings.
        public let second: Double
    }

    /// One pair for each seed.
    public let pairs: [Pair]

    /// Mean difference, first minus second.
    public var meanDifference: Double {
        pairs.reduce(0) { $0 + $1.first - $1.second } / Double(max(1, pairs.count))
    }

    /// Half width of the 95 % confidence interval of the mean difference (Student's t).
    public var halfInterval: Double {
        let count = Double(pairs.count)
        guard count > 1 else { return .infinity }
        let squares = pairs.reduce(0) { sum, pair in
            let deviation = pair.first - pair.second - meanDifference
            return sum + deviation * deviation
        }
        return Self.studentQuantile(count - 1) * (squares / (count - 1) / count).squareRoot()
    }

    /// The 97.5 % quantile of Student's t by the Cornish-Fisher expansion; within 0.3 % for five degrees of freedom or more.
    static func studentQuantile(_ degrees: Double) -> Double {
        let z = 1.959963984540054
        let (z3, z5, z7) = (z * z * z, z * z * z * z * z, z * z * z * z * z * z * z)
        return z + (z3 + z) / (4 * degrees) + (5 * z5 + 16 * z3 + 3 * z) / (96 * degrees * degrees)
            + (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * degrees * degrees * degrees)
    }

    /// Searches with both settings for each seed; cost is the share of multiply-adds, quality is PSNR.
    ///
    /// - Parameters:
    ///   - evaluator: The model.
    ///   - architecture: The model's architecture, for counting multiply-adds.
    ///   - imageCount: Number of images for each schedule, one for each of the first prompts.
    ///   - settings: The two settings.
    ///   - seeding: Methods of creating the initial populations.
    ///   - evaluations: Number of schedules evaluated in each search.
    ///   - seeds: Random seeds, one for each pair.
    ///   - report: Called after every pair.
    /// - Throws: `EvaluationsError`, `EvolutionError`, `SchedulesError`.
    public init(
        _ evaluator: Evaluator, architecture: ModelArchitecture, imageCount: Int,
        settings: (first: SearchSettings, second: SearchSettings), seeding: [String], evaluations: Int, seeds: [UInt64],
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
                seed: seed, first: try hypervolume(settings.first, seed), second: try hypervolume(settings.second, seed)
            )
            report(pair)
            return pair
        }
    }
}
