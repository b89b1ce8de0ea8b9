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
        let calm = try report(seed: 0, .none).decisions
        #expect(calm.lines.count > 50)
        let totals = try await withThrowingTaskGroup(of: FaultSimulation.Report?.self) { group in
            let parallel = UInt64(ProcessInfo.processInfo.activeProcessorCount)
            for offset in 0..<parallel {
                group.addTask {
                    var last: FaultSimulation.Report?
                    for seed in stride(
                        from: Self.seeds.lowerBound + offset, to: Self.seeds.upperBound, by: Int(parallel))
                    {
                        let report = try self.report(seed: seed, FaultSimulation.Faults(seed: seed))
                        #expect(report.decisions == calm, "seed \(seed)")
                        #expect(report.lostResults == [], "seed \(seed)")
                        #expect(report.duplicatedImages == 0, "seed \(seed)")
                        last = report
                    }
                    return last
                }
            }
            var count = 0
            for try await report in group where report != nil { count += 1 }
            return count
        }
        #expect(totals > 0)
    }

    @Test func aSeedReplaysExactly() throws {
        for seed: UInt64 in 1...5 {
            let faults = FaultSimulation.Faults(seed: seed)
            let (first, second) = (try report(seed: seed, faults), try report(seed: seed, faults))
            #expect(first.trace == second.trace && first.messages == second.messages, "seed \(seed)")
        }
    }
}
