import ArgumentParser
import Foundation
import Glibc
import Tensors
import Transport
import WorkerService

/// The version that worker and coordinator tell each other and people.
let engineVersion = "0.1.0"

@main
struct WorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ecad-worker", abstract: "Evaluates caching schedules for an ecad-coordinator.", version: engineVersion,
        subcommands: [Run.self])
}

extension WorkerCommand {
    struct Run: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Joins a coordinator and works until the run is over.")

        @Option(help: "Where the coordinator listens, such as tcp://head:5555.")
        var coordinator: String

        @Option(help: "The model directory (diffusers layout), a copy of the one that the run names.")
        var models: String

        @Option(help: "Threads of the matrix products (default: all processors).")
        var threads: Int?

        @Option(help: "What this worker is called in reports (default: host and process number).")
        var name: String?

        @Flag(help: "End when the process that started this worker ends.")
        var exitWithParent = false

        func validate() throws {
            if let threads, !(1...1024).contains(threads) {
                throw ValidationError("--threads \(threads): expected 1 to 1024")
            }
        }

        func run() throws {
            let endpoint: Endpoint
            do {
                endpoint = try Endpoint(coordinator)
            } catch {
                throw ValidationError("--coordinator: \(error)")
            }
            try reportingErrors {
                let options = WorkerOptions(
                    coordinator: endpoint, model: models,
                    name: name ?? "\(ProcessInfo.processInfo.hostName)-\(getpid())",
                    threads: threads ?? CPU.availableCount, exitsWithParent: exitWithParent, engineVersion: engineVersion)
                try Worker(options: options) { printError("ecad-worker: \($0)") }.run()
            }
        }
    }
}

/// Writes a line to standard error.
func printError(_ line: String) {
    FileHandle.standardError.write(Data("\(line)\n".utf8))
}

/// Turns an error into one line on standard error and exit status 1.
func reportingErrors(_ body: () throws -> Void) throws {
    do {
        try body()
    } catch {
        printError("ecad-worker: error: \(error)")
        throw ExitCode(1)
    }
}
