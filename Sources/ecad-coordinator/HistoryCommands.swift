import ArgumentParser
import CoordinatorService
import History
import ProgramSupport

extension CoordinatorCommand {
    struct Status: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show the status of a run, finished or running.")

        @Option(help: "Run directory.")
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
            abstract: "Query the run history by view name or read-only SQL.",
            discussion: "Without a view and --sql, lists the views.")

        @Option(help: "Run directory.")
        var runDir: String

        @Argument(help: "View, e.g. pareto_front.")
        var name: String?

        @Option(help: "SQL query.")
        var sql: String?

        @Option(help: "Output format: table, csv, json or markdown.")
        var format = TableFormat.table

        func validate() throws {
            if name != nil, sql != nil { throw ValidationError("a view name and --sql are mutually exclusive") }
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

    struct Pick: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Select a schedule of a run's front.")

        @Option(help: "Run directory.")
        var runDir: String

        @Option(help: "Select the best quality with at most this latency ratio (candidate / uncached).")
        var maxLatency: Double?

        @Option(help: "Select the fastest schedule with at least this quality.")
        var minQuality: Double?

        @Option(help: "Select the fastest schedule with at most this loss relative to the front's best quality.")
        var fastestWithinLoss: Double?

        @Flag(help: "Print the row of pareto_front as JSON.")
        var json = false

        private var choices: [FrontChoice] {
            [
                maxLatency.map { .maxLatency($0) }, minQuality.map { .minQuality($0) },
                fastestWithinLoss.map { .fastestWithinLoss($0) },
            ].compactMap(\.self)
        }

        func validate() throws {
            guard choices.count == 1 else {
                throw ValidationError("expected exactly one of --max-latency, --min-quality and --fastest-within-loss")
            }
            if let maxLatency, !(maxLatency > 0) {
                throw ValidationError("--max-latency is \(maxLatency); expected more than 0")
            }
            if let fastestWithinLoss, !(fastestWithinLoss >= 0) {
                throw ValidationError("--fastest-within-loss is \(fastestWithinLoss); expected 0 or more")
            }
        }

        func run() throws {
            let history = try RunHistory.openReadOnly(in: runDir)
            let front = try history.search.front(of: history.runs.snapshot().run.id)
            let picked = try choices[0].pick(from: front, folder: runDir)
            print(json ? try FrontTable.json(picked) : FrontTable.text([picked]))
        }
    }

    struct Export: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Export a run's front, or one candidate, as schedule files.",
            discussion: "With --front and ecad-json, the output is a directory with one file per schedule.")

        enum Format: String, CaseIterable, ExpressibleByArgument {
            case published = "ecad-json"
            case compact
        }

        @Option(help: "Run directory.")
        var runDir: String

        @Flag(help: "Export the whole front.")
        var front = false

        @Option(help: "Export one candidate.")
        var candidate: Int64?

        @Option(help: "ecad-json (the published format) or compact.")
        var format: Format

        @Option(name: .shortAndLong, help: "Output file, or directory for --front with ecad-json.")
        var output: String

        func validate() throws {
            if front == (candidate != nil) {
                throw ValidationError("expected exactly one of --front and --candidate")
            }
        }

        func run() throws {
            let export = try ScheduleExport(folder: runDir, candidate: candidate)
            switch format {
            case .compact: try export.writeCompact(to: output)
            case .published: try export.writePublished(to: output, asFolder: front)
            }
        }
    }
}

extension TableFormat: ExpressibleByArgument {}
