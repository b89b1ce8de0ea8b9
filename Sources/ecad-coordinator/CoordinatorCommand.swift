import ArgumentParser
import CoordinatorService
import Foundation
import History
import ProgramSupport
import Transport

@main
enum Main {
    static func main() { Program.main(CoordinatorCommand.self) }
}

struct CoordinatorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ecad-coordinator",
        abstract: "Searches caching schedules for diffusion transformers with a cluster of workers.",
        version: Program.version,
        subcommands: [
            Run.self, Resume.self, Extend.self, Fork.self, Status.self, Pick.self, Export.self, Query.self,
            Benchmark.self, Keys.self, Simulate.self,
        ])
}

/// What the commands that serve workers have in common.
struct ServingOptions: ParsableArguments {
    @Option(help: "Where to listen; port 0 for any free one.")
    var bind = "tcp://127.0.0.1:5555"

    @Option(help: "Workers to start on this machine.")
    var workers = 0

    @Option(help: "Threads of each of them (default: the processors divided among them).")
    var workerThreads: Int?

    @Option(help: "The folder of the keys (default: keys in the run folder); see: ecad-coordinator keys.")
    var keys: String?

    @Flag(help: "Serve without keys or encryption to whoever reaches the port; for networks that you trust.")
    var insecurePlaintext = false

    @Flag(help: "Print the result as JSON instead of a table.")
    var json = false

    func validate() throws {
        if keys != nil, insecurePlaintext { throw ValidationError("give --keys or --insecure-plaintext, not both") }
        if !(0...1024).contains(workers) { throw ValidationError("--workers \(workers): expected 0 to 1024") }
        if let workerThreads, !(1...1024).contains(workerThreads) {
            throw ValidationError("--worker-threads \(workerThreads): expected 1 to 1024")
        }
        do {
            _ = try Endpoint(bind)
        } catch {
            throw ValidationError("--bind: \(error)")
        }
    }

    /// The options as the services take them.
    func options() throws -> RunService.Options {
        RunService.Options(
            bind: try Endpoint(bind), localWorkers: workers, localThreads: workerThreads, keyFolder: keys,
            isPlaintext: insecurePlaintext, engineVersion: Program.version,
            isInteractive: isatty(FileHandle.standardError.fileDescriptor) == 1)
    }

    /// Serves a run to its end and prints the front.
    func serve(_ start: (RunService) throws -> RunService.Ending, runFolder: String) throws {
        let service = RunService(
            options: try options(), write: { FileHandle.standardError.write(Data($0.utf8)) })
        switch try start(service) {
        case .finished(let front, let files):
            print(json ? try FrontTable.json(front) : FrontTable.text(front))
            for file in files { Program.printError(file) }
        case .interrupted:
            Program.printError("stopped; go on with: ecad-coordinator resume --run-dir \(runFolder)")
            throw ExitCode(1)
        }
    }
}

extension CoordinatorCommand {
    struct Run: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Begins a run and serves it to its end.")

        @Option(help: "The run configuration, a TOML file.")
        var config: String

        @Option(help: "The folder of the run; created, and empty of other runs.")
        var runDir: String

        @Option(name: .customLong("set"), help: "Override a key of the configuration, such as search.generations=50.")
        var overrides: [String] = []

        @OptionGroup var serving: ServingOptions

        func run() throws {
            let configuration = try RunConfiguration(path: config, overrides: overrides)
            try serving.serve({ try $0.run(configuration, in: runDir) }, runFolder: runDir)
        }
    }

    struct Resume: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Goes on with a run that was stopped or killed.")

        @Option(help: "The folder of the run.")
        var runDir: String

        @OptionGroup var serving: ServingOptions

        func run() throws {
            try serving.serve({ try $0.resume(in: runDir) }, runFolder: runDir)
        }
    }

    struct Status: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Says where a run stands; the coordinator may be at work.")

        @Option(help: "The folder of the run.")
        var runDir: String

        @Flag(help: "Print JSON.")
        var json = false

        func run() throws {
            let status = try RunStatusReport(folder: runDir)
            print(json ? try status.json() : status.text)
        }
    }

    struct Query: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Asks a run's history: a view by its name, or any SQL that reads.")

        @Option(help: "The folder of the run.")
        var runDir: String

        @Argument(help: "A view, such as pareto_front; without one and without --sql, the views are listed.")
        var name: String?

        @Option(help: "An SQL query.")
        var sql: String?

        @Option(help: "table, csv, json or markdown.")
        var format = TableFormat.table

        func validate() throws {
            if name != nil, sql != nil { throw ValidationError("give a view's name or --sql, not both") }
        }

        func run() throws {
            let history = try RunHistory.openReadOnly(in: runDir)
            let result: QueryResult
            if let sql {
                result = try history.query(sql)
            } else if let name {
                result = try history.query(named: name)
            } else {
                result = QueryResult(
                    columns: ["view", "shows"],
                    rows: RunHistory.namedQueries.map { [.text($0.name), .text($0.summary)] })
            }
            print(format.print(result), terminator: "")
        }
    }
}

extension TableFormat: ExpressibleByArgument {}
