import Foundation
import TestSupport
import Testing

@testable import CoordinatorService

/// The coordinator in virtual time, with clusters larger than any test machine.
@Suite struct SimulationTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        _ = try folder.write((1...8).map { "prompt \($0)" }.joined(separator: "\n"), to: "prompts.txt")
    }

    private func report(
        mode: String = "steady-state", population: Int = 24, generations: Int = 1_000, more: String = "",
        _ change: (inout Simulation.Options) -> Void
    ) throws -> Simulation.Report {
        let configuration = try RunConfiguration.small(
            in: folder.file("."), mode: mode, population: population, generations: generations,
            more: "recheck_share = 0\n\(more)")
        var options = Simulation.Options()
        options.secondsPerImage = 10
        options.seed = 3
        change(&options)
        var simulation = try Simulation(configuration, options: options, folder: folder.file("run"))
        defer { try? FileManager.default.removeItem(atPath: folder.file("run")) }
        return try simulation.run()
    }

    @Test func unequalAndPreemptedHostsStayBusy() throws {
        let report = try report(population: 40) {
            $0.hosts = 40
            $0.speedSpread = 4
            $0.preemptionsPerHour = 0.25
            $0.maximumSeconds = 5_400
        }
        #expect(report.throughput > 0.9 && report.throughput <= 1, "\(report)")
        #expect((4...40).contains(report.preemptions), "\(report)")
        #expect(!report.isComplete && report.seconds <= 5_400 && report.hostHours <= 60)
    }

    @Test func barrierBetweenGenerationsCostsThroughput() throws {
        let barrier = try report(mode: "generations", generations: 4) {
            $0.hosts = 20
            $0.speedSpread = 4
        }
        let steady = try report(generations: 4) {
            $0.hosts = 20
            $0.speedSpread = 4
        }
        for report in [barrier, steady] {
            #expect(report.isComplete && report.generations == 4, "\(report)")
            // Offspring with an evaluated genome are not evaluated again.
            #expect((80...96).contains(report.evaluations), "\(report)")
            #expect(report.failures == 0 && report.preemptions == 0)
        }
        #expect(barrier.throughput < steady.throughput)
    }

    /// With a single host and little time, a task that takes less than its expected duration must not exceed the ideal
    /// (but for the rounding of the sums).
    @Test func throughputIsAShare() throws {
        for seed in UInt64(1)...8 {
            for hosts in [1, 3] {
                let report = try report {
                    $0.hosts = hosts
                    $0.seed = seed
                    $0.maximumSeconds = 600
                    $0.speedSpread = 1
                }
                #expect(report.throughput > 0.5 && report.throughput <= 1 + 1e-12, "\(report)")
            }
        }
    }

    @Test func reportDependsOnTheSeedOnly() throws {
        func simulate(_ seed: UInt64) throws -> String {
            try report(mode: "generations", generations: 3) {
                $0.hosts = 7
                $0.seed = seed
                $0.preemptionsPerHour = 2
                $0.failureRate = 0.05
                $0.stragglerRate = 0.1
                $0.pricePerHostHour = 2
            }.text
        }
        let first = try simulate(1)
        #expect(try simulate(1) == first)
        #expect(try simulate(2) != first)
    }

    @Test func silentLossesAndStragglersDoNotPreventCompletion() throws {
        let report = try report(mode: "generations", generations: 3) {
            $0.hosts = 12
            $0.preemptionsPerHour = 6
            $0.silentShare = 1
            $0.stragglerRate = 0.1
            $0.stragglerFactor = 20
        }
        #expect(report.isComplete && report.preemptions > 3, "\(report)")
        #expect(report.surplusTasks > 0, "stragglers were hedged: \(report)")
    }

    @Test func taskSizeFollowsTheIntendedDuration() throws {
        let short = try report(generations: 10, more: "seconds = 30") { $0.secondsPerImage = 0.05 }
        let long = try report(generations: 10, more: "schedules = 1") { $0.secondsPerImage = 0.05 }
        #expect(short.isComplete && long.isComplete)
        // Tasks of several schedules, except at the end of a generation.
        #expect(short.tasks < long.tasks, "\(short.tasks) and \(long.tasks)")
    }
}
