import ArgumentParser
import Foundation
import Glibc
import Logging
import ProgramSupport
import Tensors
import Transport
import WorkerService

@main
enum Main {
    static func main() { Program.main(WorkerCommand.self, check: CPU.checkKernels) }
}

struct WorkerCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ecad-worker", abstract: "Evaluate caching schedules for an ecad-coordinator.",
        version: Program.version,
        subcommands: [Run.self, Diagnose.self])
}

/// The coordinator's endpoint and the keys to connect with.
struct ConnectionOptions: ParsableArguments {
    @Option(help: "Endpoint of the coordinator, such as tcp://head:5555.")
    var coordinator: String

    @Option(help: "Key file of this worker, created by: ecad-coordinator keys new NAME.")
    var key: String?

    @Flag(help: "Connect to another machine without key or encryption; only for trusted networks.")
    var insecurePlaintext = false

    func validate() throws {
        if key != nil, insecurePlaintext {
            throw ValidationError("--key and --insecure-plaintext are mutually exclusive")
        }
    }

    func endpoint() throws -> Endpoint {
        do {
            return try Endpoint(coordinator)
        } catch {
            throw ValidationError("--coordinator: \(error)")
        }
    }

    /// The endpoint to connect to, with keys and the key's name.
    ///
    /// Without encryption it is a numeric address of this machine, so that a name that later resolves to another
    /// machine does not lead there.
    func connection() throws -> (endpoint: Endpoint, security: WorkerSecurity, name: String?) {
        let endpoint = try endpoint()
        if let key {
            let file = try WorkerKeyFile(path: key)
            return (endpoint, WorkerSecurity(file), file.name)
        }
        if insecurePlaintext { return (endpoint, .plaintext, nil) }
        guard let local = endpoint.onLoopback() else {
            throw ValidationError(
                "--coordinator \(endpoint) is not known to be this machine: pass --key FILE, created by: "
                    + "ecad-coordinator keys new NAME; or --insecure-plaintext in a trusted network")
        }
        return (local, .plaintext, nil)
    }
}

extension WorkerCommand {
    struct Diagnose: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "doctor", abstract: "Diagnose the connection to a coordinator in one line.")

        @OptionGroup var connection: ConnectionOptions

        func run() throws {
            let endpoint = try connection.endpoint()
            let security = try connection.key.map { WorkerSecurity(try WorkerKeyFile(path: $0)) } ?? .plaintext
            let diagnosis = try Doctor(
                endpoint: endpoint, security: security, engineVersion: Program.version
            ).diagnose()
            Program.printText("\(diagnosis)")
            if !diagnosis.isHealthy { throw ExitCode(1) }
        }
    }

    struct Run: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Join a coordinator and evaluate tasks until the run finishes.")

        @OptionGroup var connection: ConnectionOptions

        @Option(help: "Model directory in diffusers layout; must equal the run's model.")
        var models: String

        @Option(
            name: .customLong("scorer"),
            help: "Directory of a scorer model; repeatable. Scorer models next to the model are found automatically.")
        var scorers: [String] = []

        @Option(
            help:
                "Threads for matrix products (default: the processors of the affinity mask, within the CPU quota; one less for heartbeats if there are at least 4)."
        )
        var threads: Int?

        @Option(
            help:
                "Directory of unacknowledged results (default: ~/.local/state/ecad-worker/NAME, with the name of the key if there is one)."
        )
        var spool: String?

        @Option(
            help:
                "Directory of uncached images' latents, from which a restarted worker takes them (at most 1 GiB; default: ~/.cache/ecad-worker/references)."
        )
        var references: String?

        @Option(help: "Seconds that the current task may take after SIGTERM before it is returned.")
        var grace = 20.0

        @Option(help: "Seconds until the batch system ends this worker (default: the end of the Slurm job, if any).")
        var walltime: Double?

        @Option(
            help: "Exit after this many seconds without a message from the coordinator (default: wait without limit).")
        var coordinatorTimeout: Double?

        @Option(
            help: "Name of this worker in reports (default: HOST-PID). The name of a key takes precedence.")
        var name: String?

        @Flag(help: "Exit when the parent process exits.")
        var exitWithParent = false

        @OptionGroup(title: "Logging") var log: LogOptions

        func validate() throws {
            if let threads, !(1...1024).contains(threads) {
                throw ValidationError("--threads \(threads): expected 1 to 1024")
            }
            guard grace.isFinite, (0...86_400).contains(grace) else {
                throw ValidationError("--grace \(grace): expected 0 to 86400 seconds")
            }
            if let coordinatorTimeout, !(coordinatorTimeout > 0 && coordinatorTimeout < 1e9) {
                throw ValidationError("--coordinator-timeout \(coordinatorTimeout): expected more than 0 seconds")
            }
            if let walltime, !(walltime > 0 && walltime < 1e9) {
                throw ValidationError("--walltime \(walltime): expected more than 0 and less than 1e9 seconds")
            }
        }

        func run() throws {
            let (endpoint, security, keyName) = try connection.connection()
            let (threads, reason) = chosenThreads
            let ignoredName = keyName.flatMap { $0 == self.name ? nil : self.name }
            // The name of a key first: the coordinator knows the worker by it, and its spool outlives the process.
            let name = keyName ?? self.name ?? "\(HostAddress.nameOfThisMachine)-\(getpid())"
            let environment = ProcessInfo.processInfo.environment
            let options = WorkerOptions(
                coordinator: endpoint, security: security, model: models, scorers: scorers, name: name,
                threads: threads,
                spool: spool
                    ?? "\(home("XDG_STATE_HOME", ".local/state"))/ecad-worker/\(name.replacing("/", with: "-"))",
                references: references ?? "\(home("XDG_CACHE_HOME", ".cache"))/ecad-worker/references",
                graceSeconds: grace,
                walltime: walltime.map(WalltimeLimit.init(seconds:)) ?? WalltimeLimit(environment: environment),
                coordinatorTimeout: coordinatorTimeout, exitsWithParent: exitWithParent,
                engineVersion: Program.version)
            log.bootstrap()
            let logger = Logger(label: "ecad-worker")
            if let ignoredName, let keyName {
                logger.warning("--name \(ignoredName): reports show the name of the key, \(keyName)")
            }
            if threads > CPU.availableCount {
                logger.warning("--threads \(threads) exceeds \(CPU.availability): threads will wait for each other")
            } else {
                logger.info("threads: \(threads), \(reason)")
            }
            try Worker(options: options, logger: logger).run()
        }

        /// The number of threads and its reason.
        private var chosenThreads: (count: Int, reason: String) {
            if let threads { return (threads, "as given by --threads") }
            let processors = min(CPU.availableCount, 1024)
            guard processors >= 4 else { return (processors, "one for each of \(CPU.availability)") }
            return (processors - 1, "one less for heartbeats than \(CPU.availability)")
        }

        /// A user directory of the XDG specification.
        private func home(_ variable: String, _ standard: String) -> String {
            let environment = ProcessInfo.processInfo.environment
            func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
            return value(variable) ?? "\(value("HOME") ?? NSHomeDirectory())/\(standard)"
        }
    }
}
