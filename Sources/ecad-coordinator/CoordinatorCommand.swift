import ArgumentParser
import CoordinatorService
import Dashboard
import Foundation
import Logging
import ProgramSupport
import Synchronization
import Transport

@main
enum Main {
    static func main() { Program.main(CoordinatorCommand.self) }
}

struct CoordinatorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ecad-coordinator",
        abstract: "Search caching schedules for diffusion transformers on a cluster of workers.",
        version: Program.version,
        subcommands: [
            Run.self, Resume.self, Extend.self, Fork.self, Status.self, Pick.self, Export.self, Query.self,
            Benchmark.self, Dashboard.self, Report.self, Plot.self, Keys.self, Simulate.self, ConfigKeys.self,
            HistorySchema.self,
        ])
}

/// Options of all commands that accept workers.
struct ServerOptions: ParsableArguments {
    @Option(help: "Address to listen on; port 0 selects a free port.")
    var bind = "tcp://127.0.0.1:5555"

    @Option(help: "Workers to start on this machine.")
    var workers = 0

    @Option(help: "Threads of each local worker (default: the processors divided by the number of workers).")
    var workerThreads: Int?

    @Option(help: "Key directory (default: keys in the run directory); see ecad-coordinator keys.")
    var keys: String?

    @Flag(help: "Disable authentication and encryption; for trusted networks only.")
    var insecurePlaintext = false

    @Flag(help: "Print the result as JSON instead of a table.")
    var json = false

    @Option(help: "Loopback address that serves metrics in the Prometheus text format, e.g. 127.0.0.1:9400.")
    var metrics: String?

    @OptionGroup(title: "Logging") var log: LogOptions

    func validate() throws {
        if keys != nil, insecurePlaintext {
            throw ValidationError("--keys and --insecure-plaintext are mutually exclusive")
        }
        try requireOption("--workers", workers, in: 0...1024)
        if workerThreads != nil, workers == 0 {
            throw ValidationError("--worker-threads is only allowed with --workers")
        }
        if let workerThreads { try requireOption("--worker-threads", workerThreads, in: 1...1024) }
        do {
            _ = try Endpoint(bind)
        } catch {
            throw ValidationError("--bind: \(error)")
        }
    }

    func options() throws -> RunService.Options {
        RunService.Options(
            bind: try Endpoint(bind), localWorkers: workers, localThreads: workerThreads, keyFolder: keys,
            isPlaintext: insecurePlaintext, engineVersion: Program.version)
    }

    /// Sets up logging, and the status line where standard error is a terminal.
    func output() -> (logger: Logger, showStatus: ((String?) -> Void)?) {
        log.bootstrap()
        let terminal = StatusLine.standardError
        let showStatus: (String?) -> Void = { text in text.map(terminal.show) ?? terminal.end() }
        return (Logger(label: "ecad-coordinator"), terminal.isInteractive ? showStatus : nil)
    }

    /// Runs to the end and prints the front; exit status 1 if interrupted.
    func serve(_ start: (RunService) throws -> RunService.Ending, runDirectory: String) throws {
        let (logger, showStatus) = output()
        let service = RunService(options: try options(), logger: logger, showStatus: showStatus)
        try serveMetrics(of: runDirectory, logger)
        switch try start(service) {
        case .finished(let front, let files):
            print(json ? try FrontTable.json(front) : FrontTable.text(front))
            for file in files { Program.printError(file) }
            writeReport(of: runDirectory, logger)
        case .interrupted:
            Program.printError("interrupted; resume with: ecad-coordinator resume --run-dir \(shellWord(runDirectory))")
            throw ExitCode(1)
        }
    }
}

/// A word of a command line that can be pasted into a shell.
func shellWord(_ text: String) -> String {
    let isPlain = text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) || "/._-+:@%,=".contains($0) }
    return isPlain ? text : "'\(text.replacing("'", with: "'\\''"))'"
}

/// Writes the report beside the history; the run is complete without it.
private func writeReport(of runDirectory: String, _ logger: Logger) {
    let path = "\(runDirectory)/run.html"
    do {
        let report = try RunReport(folder: runDirectory)
        try waitFor { try await report.write(to: path) }
        Program.printError(path)
    } catch {
        let command = "ecad-coordinator report --run-dir \(shellWord(runDirectory)) -o FILE"
        logger.warning("the report was not written: \(error); the run is complete, repeat with: \(command)")
    }
}

/// New places of the models that a run was started with; they are recorded.
struct MovedModelOptions: ParsableArguments {
    @Option(help: "New place of the run's model directory; the fingerprint must be the same.")
    var model: String?

    @Option(
        name: .customLong("scorer"),
        help: "New place of a scorer model of the run; repeatable. The fingerprint must be the same.")
    var scorers: [String] = []
}

/// New places of all files that a run was started with; they are recorded.
struct MovedOptions: ParsableArguments {
    @OptionGroup var models: MovedModelOptions

    @Option(help: "New place of the run's prompt embeddings; the content must be the same.")
    var embeddings: String?

    var files: MovedFiles { MovedFiles(model: models.model, embeddings: embeddings, scorers: models.scorers) }
}

extension ServerOptions {
    /// Serves metrics until the process exits; the run goes on without them if they fail later.
    ///
    /// - Throws: `DashboardError` for an address that cannot be listened on.
    func serveMetrics(of runDirectory: String, _ logger: Logger) throws {
        guard let metrics else { return }
        let server = try MetricsServer(address: ListenAddress(metrics), folder: runDirectory)
        let started = DispatchSemaphore(value: 0)
        let isReady = Mutex(false)
        let failure = Mutex<(any Error)?>(nil)
        Task {
            do {
                try await server.run { url in
                    logger.notice("metrics: \(url)")
                    isReady.withLock { $0 = true }
                    started.signal()
                }
            } catch {
                if isReady.withLock({ $0 }) { return logger.error("metrics: \(error)") }
                failure.withLock { $0 = error }
                started.signal()
            }
        }
        started.wait()
        if let error = failure.withLock({ $0 }) { throw error }
    }
}

extension CoordinatorCommand {
    struct Run: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Start a run.")

        @Option(help: "Run configuration, a TOML file; its keys: ecad-coordinator config-keys.")
        var config: String

        @Option(help: "Run directory; created if missing, must not contain another run.")
        var runDir: String

        @Option(name: .customLong("set"), help: "Override a key of the configuration, e.g. search.generations=50.")
        var overrides: [String] = []

        @OptionGroup var server: ServerOptions

        func run() throws {
            let configuration = try RunConfiguration(path: config, overrides: overrides)
            try server.serve({ try $0.run(configuration, in: runDir) }, runDirectory: runDir)
        }
    }

    struct Resume: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Resume an interrupted run.")

        @Option(help: "Run directory.")
        var runDir: String

        @OptionGroup(title: "Files that have moved") var moved: MovedOptions

        @OptionGroup var server: ServerOptions

        func run() throws {
            try server.serve({ try $0.resume(in: runDir, moved: moved.files) }, runDirectory: runDir)
        }
    }

    struct Extend: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Extend a run by more generations or images, whether it finished or was interrupted.",
            discussion: """
                What ended the run no longer applies: search.generations or search.budget_images, and the keys of the section stop.
                """)

        @Option(help: "Run directory.")
        var runDir: String

        @Option(help: "Generations to add to the completed ones.")
        var generations: Int?

        @Option(help: "Images to spend besides those already spent, as counted by search.budget_images.")
        var images: Int?

        @OptionGroup(title: "Files that have moved") var moved: MovedOptions

        @OptionGroup var server: ServerOptions

        private var extents: [RunExtension] {
            [generations.map { .generations($0) }, images.map { .images($0) }].compactMap(\.self)
        }

        func validate() throws {
            guard extents.count == 1 else {
                throw ValidationError("expected exactly one of --generations and --images")
            }
            if let generations { try requireOption("--generations", generations, in: 1...100_000) }
            if let images { try requireOption("--images", images, in: 1...1_000_000_000) }
        }

        func run() throws {
            try server.serve({ try $0.extend(in: runDir, by: extents[0], moved: moved.files) }, runDirectory: runDir)
        }
    }

    struct Fork: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Copy a run up to a generation and continue the copy with other settings.",
            discussion: """
                Keys of the sections search, stop, tasks and thumbnails may change, except tasks.images. Evaluations of the original run are reused, those of \
                later generations included.
                """)

        @Option(help: "Run directory of the original, which may be running.")
        var runDir: String

        @Option(help: "Last generation to copy; 0 is the seed population.")
        var from: Int

        @Option(help: "New run directory; created if missing, must not contain another run.")
        var into: String

        @Option(name: .customLong("set"), help: "Override a key of the configuration, e.g. search.population=48.")
        var overrides: [String] = []

        @OptionGroup(title: "Files that have moved") var moved: MovedOptions

        @OptionGroup var server: ServerOptions

        func validate() throws {
            if from < 0 { throw ValidationError("--from is \(from); expected 0 or more") }
        }

        func run() throws {
            try server.serve(
                { try $0.fork(runDir, from: from, into: into, overrides: overrides, moved: moved.files) },
                runDirectory: into)
        }
    }

    struct ConfigKeys: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the keys of the run configuration as a Markdown table.")

        func run() { print(RunConfiguration.keyTable, terminator: "") }
    }
}
