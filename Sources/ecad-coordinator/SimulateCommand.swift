import ArgumentParser
import CoordinatorService
import Foundation
import ProgramSupport

extension CoordinatorCommand {
    struct Simulate: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Plans a run: plays it through with imagined workers, in seconds instead of days.",
            discussion: """
                The coordinator's own logic serves imagined hosts in virtual time. --seconds-per-image is what one \
                uncached image takes the fastest host; measure it with ecad generate.
                """)

        @Option(help: "The run configuration, a TOML file.")
        var config: String

        @Option(name: .customLong("set"), help: "Override a key of the configuration.")
        var overrides: [String] = []

        @Option(help: "Hosts, one worker each.")
        var hosts = 100

        @Option(help: "Times by which the slowest host is slower than the fastest.")
        var speedSpread = 2.0

        @Option(help: "Seconds for an uncached image on the fastest host.")
        var secondsPerImage = 1.0

        @Option(help: "Per cent of the hosts that are taken away per hour.")
        var preemption = 0.0

        @Option(help: "Seconds until a host that was taken away is replaced.")
        var replacementSeconds = 120.0

        @Option(help: "Per cent of the tasks that fail.")
        var failures = 0.0

        @Option(help: "Per cent of the tasks that take five times as long.")
        var stragglers = 0.0

        @Option(help: "Hours after which to stop; without it the whole run is played.")
        var hours: Double?

        @Option(help: "Price of a host for an hour.")
        var price: Double?

        @Option(help: "Seed of all chances.")
        var seed: UInt64 = 0

        @Flag(help: "Print JSON.")
        var json = false

        func validate() throws {
            try requireOption("--hosts", hosts, in: 1...100_000)
            for (name, value, range) in [
                ("--speed-spread", speedSpread, 1...1000), ("--seconds-per-image", secondsPerImage, 1e-6...1e6),
                ("--preemption", preemption, 0...100), ("--failures", failures, 0...100),
                ("--replacement-seconds", replacementSeconds, 0...1e6), ("--stragglers", stragglers, 0...100),
                ("--hours", hours ?? 1, 1e-6...1e6), ("--price", price ?? 0, 0...1e9),
            ] as [(String, Double, ClosedRange<Double>)] {
                try requireOption(name, value, in: range)
            }
        }

        func run() throws {
            let configuration = try RunConfiguration(path: config, overrides: overrides)
            var options = Simulation.Options()
            options.hosts = hosts
            options.speedSpread = speedSpread
            options.secondsPerImage = secondsPerImage
            options.preemptionsPerHour = preemption / 100
            options.replacementSeconds = replacementSeconds
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
