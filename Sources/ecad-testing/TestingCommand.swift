import ArgumentParser
import ClusterTesting
import Foundation
import ModelConfiguration
import ProgramSupport
import Transport

@main
enum Main {
    static func main() { Program.main(TestingCommand.self) }
}

struct TestingCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ecad-testing", abstract: "Tools for testing a cluster: generate load, probe access.",
        version: Program.version, subcommands: [Load.self, Intrude.self])

    /// Fake results and intrusion attempts are only for the user's own coordinator.
    static func localEndpoint(_ text: String) throws -> Endpoint {
        let endpoint = try Endpoint(text)
        guard let local = endpoint.onLoopback() else {
            throw ValidationError("--coordinator \(endpoint): expected a coordinator on this machine")
        }
        return local
    }
}

extension TestingCommand {
    struct Load: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Connect fake workers that return invented results.")

        @Option(help: "Endpoint of the coordinator, on this machine.")
        var coordinator: String

        @Option(help: "Directory of key files, one per worker.")
        var keys: String?

        @Option(help: "Model directory of the run.")
        var models: String

        @Option(help: "Number of fake workers.")
        var count = 1_000

        @Option(help: "Duration of a task in seconds.")
        var seconds = 0.5

        func validate() throws {
            try requireOption("--count", count, in: 1...100_000)
            try requireOption("--seconds", seconds, in: 0...3600)
        }

        func run() throws {
            let endpoint = try TestingCommand.localEndpoint(coordinator)
            let files = try keys.map { folder in
                try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".key") }.sorted()
                    .map { "\(folder)/\($0)" }
            }
            if let files, files.count < count {
                throw ValidationError(
                    "--keys: found \(files.count) key files; expected one for each of \(count) workers")
            }
            let options = LoadGenerator.Options(
                coordinator: endpoint, keys: files ?? [], workerCount: count,
                modelHash: try ModelFingerprint.compute(folder: models), engineVersion: Program.version,
                secondsPerTask: seconds)
            try LoadGenerator(options: options) { Program.printError("load: \($0)") }.run()
        }
    }

    struct Intrude: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Try to join without authorization; fail if any attempt succeeds.")

        @Option(help: "Endpoint of the coordinator, on this machine.")
        var coordinator: String

        @Option(help: "Key file whose key the coordinator has revoked.")
        var revokedKey: String

        @Option(help: "Number of attempts with each method.")
        var count = 1_000

        func validate() throws { try requireOption("--count", count, in: 1...1_000_000) }

        func run() throws {
            let endpoint = try TestingCommand.localEndpoint(coordinator)
            let probe = try IntrusionProbe(coordinator: endpoint, revoked: try WorkerKeyFile(path: revokedKey))
            var accepted = 0
            for method in IntrusionProbe.Method.allCases {
                let number = try probe.attempt(method, count: count)
                accepted += number
                print("\(method.rawValue): \(number) of \(count) accepted")
            }
            if accepted > 0 { throw ExitCode(1) }
        }
    }
}
