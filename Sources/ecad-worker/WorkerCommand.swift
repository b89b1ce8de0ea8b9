import ArgumentParser
import Foundation
import Glibc
import ProgramSupport
import Tensors
import Transport
import WorkerService

@main
enum Main {
    static func main() { Program.main(WorkerCommand.self) }
}

struct WorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ecad-worker", abstract: "Evaluates caching schedules for an ecad-coordinator.",
        version: Program.version,
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
            let options = WorkerOptions(
                coordinator: endpoint, model: models, name: name ?? "\(ProcessInfo.processInfo.hostName)-\(getpid())",
                threads: threads ?? CPU.availableCount, exitsWithParent: exitWithParent, engineVersion: Program.version)
            try Worker(options: options) { Program.printError("ecad-worker: \($0)") }.run()
        }
    }
}
