import ArgumentParser
import Basics
import CoordinatorService
import Foundation
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
            if status.isInterrupted, !json {
                print("resume with: ecad-coordinator resume --run-dir \(shellWord(runDir))")
            }
        }
    }

    struct Query: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Query the run history by view name or read-only SQL.",
            discussion: """
                Without a view and --sql, lists the views. On a terminal, cells of a table are cut to its width, unless --exact is \
                given. cluster/history.md describes all tables and views and has recipes.
                """)

        @Option(help: "Run directory.")
        var runDir: String

        @Argument(help: "View, e.g. pareto_front.")
        var name: String?

        @Option(help: "SQL query, @FILE to read it from a file, or - to read it from standard input.")
        var sql: String?

        @Option(help: "Output format: table, csv, json or markdown.")
        var format = TableFormat.table

        @Flag(help: "Show all digits in tables, as csv and json do (default: four significant digits).")
        var exact = false

        func validate() throws {
            if exact, !format.isForReading {
                throw ValidationError("--exact is only allowed with --format table or markdown")
            }
            if name != nil, sql != nil { throw ValidationError("a view name and --sql are mutually exclusive") }
        }

        func run() throws {
            let history = try RunHistory.openReadOnly(in: runDir)
            let result: QueryResult
            if let sql {
                result = try history.query(try Self.text(of: sql))
            } else if let name {
                result = try history.query(named: name)
            } else {
                result = QueryResult(
                    columns: ["view", "shows"],
                    rows: RunHistory.namedQueries.map { [.text($0.name), .text($0.summary)] })
            }
            let width = exact ? nil : terminalColumns(STDOUT_FILENO)
            print(format.print(result, isExact: exact, width: width), terminator: "")
        }

        /// The statement that `--sql` gives or refers to; no statement begins with @ or is a dash.
        private static func text(of option: String) throws -> String {
            let bytes: [UInt8]
            switch option {
            case "-": bytes = Array(FileHandle.standardInput.readDataToEndOfFile())
            case _ where option.hasPrefix("@"): bytes = try FileContents.read(String(option.dropFirst()))
            default: return option
            }
            guard let text = String(validating: bytes, as: UTF8.self) else {
                throw ValidationError("--sql \(option): invalid UTF-8; expected SQL")
            }
            return text
        }
    }

    struct HistorySchema: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Print the tables and views of the run history as Markdown.")

        func run() throws { print(try SchemaGuide.markdown(), terminator: "") }
    }

    struct Plot: ParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Draw a run, finished or running, as SVG or PNG.",
            discussion: """
                front: quality against speed-up. hypervolume: against evaluated candidates. genes: what the front recomputes. workers: \
                leases over time. sheet: images, uncached and under schedules of the front. PNG needs rsvg-convert (Debian: librsvg2-bin).
                """)

        @Argument(help: "front, hypervolume, genes, workers or sheet.")
        var kind: RunPlot.Kind

        @Option(help: "Run directory.")
        var runDir: String

        @Option(name: .shortAndLong, help: "Output file (.svg or .png).")
        var output: String

        func run() throws {
            try OutputPath.checkFile("--output", output, endings: RunPlot.endings)
            try RunPlot(folder: runDir).write(kind, to: output)
        }
    }

    struct Pick: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Select a schedule of a run's front.")

        @Option(help: "Run directory.")
        var runDir: String

        // Unconditional: some qualities are negative, and "-0.5" looks like an option.
        @Option(
            parsing: .unconditional,
            help:
                "Select the best quality with at most this latency ratio, e.g. 0.4 for 40 % of the uncached time."
        )
        var maxLatency: Double?

        @Option(
            parsing: .unconditional,
            help: "Select the fastest schedule with at least this quality, in the unit of the run's quality objective.")
        var minQuality: Double?

        @Option(
            parsing: .unconditional,
            help: "Select the fastest schedule whose quality is at most this much below the front's best.")
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
            // Every schedule is faster than twice the uncached time: 40 would select as if there were no limit.
            if let maxLatency, !(maxLatency > 0 && maxLatency <= 2) {
                throw ValidationError(
                    "--max-latency is \(maxLatency); expected a ratio above 0 and at most 2, such as 0.4 for 40 % of the time"
                )
            }
            if let minQuality, !minQuality.isFinite {
                throw ValidationError("--min-quality is \(minQuality); expected a number")
            }
            if let fastestWithinLoss, !(fastestWithinLoss >= 0 && fastestWithinLoss.isFinite) {
                throw ValidationError("--fastest-within-loss is \(fastestWithinLoss); expected a number, 0 or more")
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

        @Option(
            help: """
                ecad-json (the published format, .json) or compact (.ecad); by default compact if the output ends in .ecad.
                """)
        var format: Format?

        @Option(name: .shortAndLong, help: "Output file (.json or .ecad), or directory for --front with ecad-json.")
        var output: String

        func validate() throws {
            if front == (candidate != nil) {
                throw ValidationError("expected exactly one of --front and --candidate")
            }
        }

        func run() throws {
            let format = format ?? (output.lowercased().hasSuffix(".ecad") ? .compact : .published)
            switch format {
            case .compact: try OutputPath.checkFile("--output", output, endings: [".ecad"])
            case .published where front:
                try OutputPath.checkDirectory("--output", output, fileEndings: [".json", ".ecad"])
            case .published: try OutputPath.checkFile("--output", output, endings: [".json"])
            }
            let export = try ScheduleExport(folder: runDir, candidate: candidate)
            switch format {
            case .compact: try export.writeCompact(to: output)
            case .published:
                let others = try export.writePublished(to: output, asFolder: front)
                guard let first = others.first else { return }
                Program.printError(
                    "ecad-coordinator: warning: \(output) also holds \(others.count) other JSON files, such as \(first)"
                )
            }
        }
    }
}

extension TableFormat: ExpressibleByArgument {}
extension RunPlot.Kind: ExpressibleByArgument {}
