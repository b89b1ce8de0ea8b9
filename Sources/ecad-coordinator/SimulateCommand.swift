import ArgumentParser
import CoordinatorService
import Foundation
import ProgramSupport

extension CoordinatorCommand {
    struct Simulate: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Simulate a run with virtual workers to estimate time and cost.",
            discussion: """
                The real coordinator runs with simulated hosts in virtual time. Measure --seconds-per-image with \
                ecad generate. The throughput is the share of the hosts' time, weighted by their speed, that went into results \
                that were used; the rest was idle, lost or redundant.
                """)

        @Option(help: "Run configuration, a TOML file.")
        var config: String

        @Option(name: .customLong("set"), help: "Override a key of the configuration, e.g. search.generations=50.")
        var overrides: [String] = []

        @Option(help: "Number of hosts, with one worker each.")
        var hosts = 100

        @Option(help: "Duration of a task on the slowest host relative to the fastest (default: 2).")
        var speedSpread: Double?

        @Option(help: "Denoising time of an uncached image on the fastest host, in seconds.")
        var secondsPerImage = 1.0

        @Option(help: "Percentage of hosts preempted per hour.")
        var preemption = 0.0

        @Option(help: "Seconds until a preempted host is replaced, with --preemption (default: 120).")
        var replacementSeconds: Double?

        @Option(help: "Percentage of tasks that fail.")
        var failures = 0.0

        @Option(help: "Percentage of tasks that take five times as long.")
        var stragglers = 0.0

        @Option(help: "Virtual hours to simulate (default: the whole run).")
        var hours: Double?

        @Option(help: "Price of a host per hour.")
        var price: Double?

        @Option(help: "Seed of all random events.")
        var seed: UInt64 = 0

        @Flag(help: "Print JSON.")
        var json = false

        func validate() throws {
            try requireOption("--hosts", hosts, in: 1...100_000)
            for (name, value, range) in [
                ("--speed-spread", speedSpread ?? 1, 1...1000), ("--seconds-per-image", secondsPerImage, 1e-6...1e6),
                ("--preemption", preemption, 0...100), ("--failures", failures, 0...100),
                ("--replacement-seconds", replacementSeconds ?? 0, 0...1e6), ("--stragglers", stragglers, 0...100),
                ("--hours", hours ?? 1, 1e-6...1e6), ("--price", price ?? 0, 0...1e9),
            ] as [(String, Double, ClosedRange<Double>)] {
                try requireOption(name, value, in: range)
            }
            if speedSpread != nil, hosts == 1 {
                throw ValidationError("--speed-spread is only allowed with at least two --hosts")
            }
            if replacementSeconds != nil, preemption == 0 {
                throw ValidationError("--replacement-seconds is only allowed with --preemption")
            }
        }

        func run() throws {
            let configuration = try RunConfiguration(path: config, overrides: overrides)
            var options = Simulation.Options()
            options.hosts = hosts
            if let speedSpread { options.speedSpread = speedSpread }
            options.secondsPerImage = secondsPerImage
            options.preemptionsPerHour = preemption / 100
            if let replacementSeconds { options.replacementSeconds = replacementSeconds }
            options.failureRate = failures / 100
            options.stragglerRate = stragglers / 100
            options.maximumSeconds = hours.map { $0 * 3_600 } ?? .infinity
            options.pricePerHostHour = price
            options.seed = seed
            let memory = FileManager.default.isWritableFile(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory()
            let folder = "\(memory)/ecad-simulation-\(getpid())"
            defer { try? FileManager.default.removeItem(atPath: folder) }
            var simulation = try Simulation(configuration, options: options, folder: folder)
            let report = try simulation.run()
            guard json else { return print(report.text) }
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
            print(String(decoding: try encoder.encode(report), as: UTF8.self))
        }
    }
}
