import Foundation
import TestSupport
import Testing

@testable import CoordinatorService

/// Every run under faults ends with the population of an undisturbed one.
///
/// `FAULT_SEEDS=20000` runs more seeds, `FAULT_FIRST_SEED=N` begins at another one: `scripts/simulate-faults.sh`.
@Suite struct FaultSimulationTests {
    private static let seeds: Range<UInt64> = {
        let environment = ProcessInfo.processInfo.environment
        let first = environment["FAULT_FIRST_SEED"].flatMap(UInt64.init) ?? 0
        return first..<first + (environment["FAULT_SEEDS"].flatMap(UInt64.init) ?? 200)
    }()

    /// The search of a simulation.
    enum Variant: String, CaseIterable {
        /// Genetic operators, for a number of generations.
        case bred
        /// An error model, within a budget whose last generation is smaller: two reuse measurements of 3 images each, and
        /// 13 candidates on 3 images each.
        case guided
        /// As `guided`, with a scorer that does not compare with the uncached image, for which that is scored as well.
        case scored

        var preset: String { self == .bred ? "nsga2" : "default" }
        var overrides: [String] {
            switch self {
            case .bred: []
            case .guided: ["search.budget_images=47"]
            case .scored:
                ["search.budget_images=47", "scorers.image-reward=\(Fixtures.folder)/image-reward/model"]
            }
        }
        /// Seeds of a short test: a guided run takes longer.
        var share: Int { self == .bred ? 1 : 8 }
    }

    private func report(
        seed: UInt64, _ faults: FaultSimulation.Faults, _ variant: Variant
    ) throws -> FaultSimulation.Report {
        let folder = try TemporaryFolder()
        return try FaultSimulation(
            seed: seed, faults: faults, preset: variant.preset, overrides: variant.overrides, folder: folder.file(".")
        ).run()
    }

    @Test(arguments: Variant.allCases)
    func everySeedEndsWithTheUndisturbedPopulation(_ variant: Variant) async throws {
        let undisturbed = try report(seed: 0, .none, variant).decisions
        #expect(undisturbed.lines.count > 50)
        let seeds = Self.seeds.prefix(max(1, Self.seeds.count / variant.share))
        let reports = await withTaskGroup(of: [FaultSimulation.Report].self) { group in
            let tasks = ProcessInfo.processInfo.activeProcessorCount
            for offset in 0..<tasks {
                group.addTask {
                    seeds.dropFirst(offset).enumerated().filter { $0.offset % tasks == 0 }.compactMap { _, seed in
                        check(seed: seed, variant, against: undisturbed)
                    }
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        #expect(reports.count == seeds.count)
        // The faults did happen.
        let happened = reports.contains { $0.crashes > 0 } && reports.contains { $0.quarantined > 0 }
        #expect(happened || seeds.count < 100)
    }

    /// Runs a seed; nil, with an issue that names it, if the run fails.
    private func check(
        seed: UInt64, _ variant: Variant, against undisturbed: FaultSimulation.Decisions
    ) -> FaultSimulation.Report? {
        do {
            let report = try report(seed: seed, FaultSimulation.Faults(seed: seed), variant)
            let differences = report.decisions.lines.difference(from: undisturbed.lines).count
            #expect(differences == 0, "seed \(seed)")
            #expect(report.lostResults == [], "seed \(seed)")
            #expect(report.duplicatedImages == 0, "seed \(seed)")
            #expect(report.references == (variant == .scored ? 1 : 0), "seed \(seed)")
            return report
        } catch {
            Issue.record("seed \(seed): \(error)")
            return nil
        }
    }

    @Test func seedReplaysExactly() throws {
        for seed: UInt64 in 1...5 {
            let faults = FaultSimulation.Faults(seed: seed)
            let (first, second) = (try report(seed: seed, faults, .bred), try report(seed: seed, faults, .bred))
            #expect(first.trace == second.trace && first.messages == second.messages, "seed \(seed)")
        }
    }
}
