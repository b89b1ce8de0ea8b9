import ArgumentParser
import Foundation
import ProgramSupport
import Transport
import WorkerService

extension WorkerCommand {
    struct Load: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Plays many workers with made-up results: for load tests of a coordinator.", shouldDisplay: false)

        @Option(help: "Where the coordinator listens.")
        var coordinator: String

        @Option(help: "A folder of key files, one for each worker.")
        var keys: String?

        @Option(help: "The model directory that the run names.")
        var models: String

        @Option(help: "How many workers to play.")
        var count = 1_000

        @Option(help: "Seconds for every task.")
        var seconds = 0.5

        func run() throws {
            let endpoint = try Endpoint(coordinator)
            guard endpoint.isLoopback else {
                throw ValidationError(
                    "--coordinator \(endpoint): made-up results are for a coordinator on this machine")
            }
            let files = try keys.map { folder in
                try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".key") }.sorted()
                    .map { "\(folder)/\($0)" }
            }
            if let files, files.count < count {
                throw ValidationError("--keys: \(files.count) key files for \(count) workers")
            }
            try LoadGenerator(
                options: LoadGenerator.Options(
                    coordinator: endpoint, keys: files ?? [], workers: count, model: models,
                    engineVersion: Program.version, secondsPerTask: seconds)
            ) { Program.printError("load: \($0)") }.run()
        }
    }
}

extension WorkerCommand {
    struct Intrude: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Tries to join a coordinator without its leave, in every way: exit status 0 if none worked.",
            shouldDisplay: false)

        @Option(help: "Where the coordinator listens.")
        var coordinator: String

        @Option(help: "A key file of that coordinator, whose key was revoked.")
        var revokedKey: String

        @Option(help: "How often to try in each way.")
        var count = 1_000

        func run() throws {
            let endpoint = try Endpoint(coordinator)
            guard endpoint.isLoopback else {
                throw ValidationError("--coordinator \(endpoint): this is for a coordinator on this machine")
            }
            let strangers = try Strangers(coordinator: endpoint, revoked: try WorkerKeyFile(path: revokedKey))
            var admitted = 0
            for kind in Strangers.Kind.allCases {
                let number = try strangers.tryToEnter(kind, count: count)
                admitted += number
                print("\(kind.rawValue): \(number) of \(count) let in")
            }
            if admitted > 0 { throw ExitCode(1) }
        }
    }
}
