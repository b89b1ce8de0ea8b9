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

    private func report(seed: UInt64, _ faults: FaultSimulation.Faults) throws -> FaultSimulation.Report {
        let folder = try TemporaryFolder()
        return try FaultSimulation(seed: seed, faults: faults, folder: folder.file(".")).run()
    }

    @Test func everySeedEndsWithTheUndisturbedPopulation() async throws {
        let undisturbed = try report(seed: 0, .none).decisions
        #expect(undisturbed.lines.count > 50)
        let reports = await withTaskGroup(of: [FaultSimulation.Report].self) { group in
            let tasks = ProcessInfo.processInfo.activeProcessorCount
            for offset in 0..<tasks {
                group.addTask {
                    Self.seeds.dropFirst(offset).enumerated().filter { $0.offset % tasks == 0 }.compactMap { _, seed in
                        check(seed: seed, against: undisturbed)
                    }
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        #expect(reports.count == Self.seeds.count)
        // The faults did happen.
        let happened = reports.contains { $0.crashes > 0 } && reports.contains { $0.quarantined > 0 }
        #expect(happened || Self.seeds.count < 100)
    }

    /// Runs a seed; nil, with an issue that names it, if the run fails.
    private func check(seed: UInt64, against undisturbed: FaultSimulation.Decisions) -> FaultSimulation.Report? {
        do {
            let report = try report(seed: seed, FaultSimulation.Faults(seed: seed))
            let differences = report.decisions.lines.difference(from: undisturbed.lines).count
            #expect(differences == 0, "seed \(seed)")
            #expect(report.lostResults == [], "seed \(seed)")
            #expect(report.duplicatedImages == 0, "seed \(seed)")
            return report
        } catch {
            Issue.record("seed \(seed): \(error)")
            return nil
        }
    }

    @Test func seedReplaysExactly() throws {
        for seed: UInt64 in 1...5 {
            let faults = FaultSimulation.Faults(seed: seed)
            let (first, second) = (try report(seed: seed, faults), try report(seed: seed, faults))
            #expect(first.trace == second.trace && first.messages == second.messages, "seed \(seed)")
        }
    }
}
