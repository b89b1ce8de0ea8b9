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
        subcommands: [Run.self, Diagnose.self, Load.self, Intrude.self])
}

/// How to reach the coordinator.
struct ConnectionOptions: ParsableArguments {
    @Option(help: "Where the coordinator listens, such as tcp://head:5555.")
    var coordinator: String

    @Option(help: "This worker's key file, made by: ecad-coordinator keys new NAME.")
    var key: String?

    @Flag(help: "Connect to another machine without key or encryption; for networks that you trust.")
    var insecurePlaintext = false

    func validate() throws {
        if key != nil, insecurePlaintext { throw ValidationError("give --key or --insecure-plaintext, not both") }
    }

    func endpoint() throws -> Endpoint {
        do {
            return try Endpoint(coordinator)
        } catch {
            throw ValidationError("--coordinator: \(error)")
        }
    }

    func security(to endpoint: Endpoint) throws -> (WorkerSecurity, name: String?) {
        if let key {
            let file = try WorkerKeyFile(path: key)
            return (WorkerSecurity(file), file.name)
        }
        guard insecurePlaintext || endpoint.isLoopback else {
            throw ValidationError(
                "\(endpoint) is another machine: give --key FILE (made by: ecad-coordinator keys new NAME), "
                    + "or --insecure-plaintext in a network that you trust")
        }
        return (.plaintext, nil)
    }
}

extension WorkerCommand {
    struct Diagnose: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "doctor", abstract: "Says in one line whether a worker can join, or why not.")

        @OptionGroup var connection: ConnectionOptions

        func run() throws {
            let endpoint = try connection.endpoint()
            let plain = connection.key == nil
            let security = plain ? .plaintext : try connection.security(to: endpoint).0
            let diagnosis = try Doctor(
                endpoint: endpoint, security: security, engineVersion: Program.version
            ).examine()
            print(diagnosis)
            if !diagnosis.isHealthy { throw ExitCode(1) }
        }
    }

    struct Run: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Joins a coordinator and works until the run is over.")

        @OptionGroup var connection: ConnectionOptions

        @Option(help: "The model directory (diffusers layout), a copy of the one that the run names.")
        var models: String

        @Option(
            name: .customLong("scorer"),
            help: "The folder of a scorer's model; may be given several times. Those beside the model are found.")
        var scorers: [String] = []

        @Option(
            help: "Threads of the matrix products (default: all processors, less one for heartbeats where there are 4)."
        )
        var threads: Int?

        @Option(help: "The folder of results not acknowledged yet (default: in ~/.local/state/ecad-worker, by name).")
        var spool: String?

        @Option(help: "Seconds that a task may still take after SIGTERM before it is handed back.")
        var grace = 20.0

        @Option(help: "Seconds until this worker is ended (default: what Slurm says, if it runs it).")
        var walltime: Double?

        @Option(
            help: "What this worker is called in reports (default: host and process number). A key has its own name.")
        var name: String?

        @Flag(help: "Tell of every result and what became of it.")
        var verbose = false

        @Flag(help: "End when the process that started this worker ends.")
        var exitWithParent = false

        func validate() throws {
            if let threads, !(1...1024).contains(threads) {
                throw ValidationError("--threads \(threads): expected 1 to 1024")
            }
            guard grace.isFinite, (0...86_400).contains(grace) else {
                throw ValidationError("--grace \(grace): expected 0 to 86400 seconds")
            }
            if let walltime, !(walltime > 0 && walltime < 1e9) {
                throw ValidationError("--walltime \(walltime): expected seconds, more than 0")
            }
        }

        func run() throws {
            let endpoint = try connection.endpoint()
            let (security, keyName) = try connection.security(to: endpoint)
            let processors = CPU.availableCount
            let name = name ?? keyName ?? "\(ProcessInfo.processInfo.hostName)-\(getpid())"
            let environment = ProcessInfo.processInfo.environment
            let options = WorkerOptions(
                coordinator: endpoint, security: security, model: models, scorers: scorers, name: name,
                threads: threads ?? (processors < 4 ? processors : processors - 1),
                spool: spool ?? defaultSpool(name, environment), graceSeconds: grace,
                walltime: walltime.map(WalltimeLimit.init(seconds:)) ?? WalltimeLimit(environment: environment),
                exitsWithParent: exitWithParent, isVerbose: verbose, engineVersion: Program.version)
            try Worker(options: options) { Program.printError("ecad-worker: \($0)") }.run()
        }

        private func defaultSpool(_ name: String, _ environment: [String: String]) -> String {
            let state = environment["XDG_STATE_HOME"] ?? "\(NSHomeDirectory())/.local/state"
            return "\(state)/ecad-worker/\(name.replacing("/", with: "-"))"
        }
    }
}
