import ArgumentParser
import CoordinatorService
import History
import ProgramSupport

extension CoordinatorCommand {
    struct Pick: ParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Chooses a member of a run's front.")

        @Option(help: "The folder of the run.")
        var runDir: String

        @Option(help: "The best quality at a latency ratio (candidate / uncached) of at most this.")
        var maxLatency: Double?

        @Option(help: "The fastest with a quality of at least this.")
        var minQuality: Double?

        @Option(help: "The fastest whose quality is at most this below the front's best.")
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
                throw ValidationError("give one of --max-latency, --min-quality and --fastest-within-loss")
            }
            if let maxLatency, !(maxLatency > 0) {
                throw ValidationError("--max-latency \(maxLatency): expected more than 0")
            }
            if let fastestWithinLoss, !(fastestWithinLoss >= 0) {
                throw ValidationError("--fastest-within-loss \(fastestWithinLoss): expected 0 or more")
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
            abstract: "Writes a run's front, or one schedule, into files for other programs.",
            discussion: "The front in ecad-json becomes a folder with a file for each schedule.")

        enum Format: String, CaseIterable, ExpressibleByArgument {
            case published = "ecad-json"
            case compact
        }

        @Option(help: "The folder of the run.")
        var runDir: String

        @Flag(help: "Export the whole front.")
        var front = false

        @Option(help: "Export one candidate.")
        var candidate: Int64?

        @Option(help: "ecad-json (the published format) or compact.")
        var format: Format

        @Option(name: .shortAndLong, help: "The file, or for the front in ecad-json the folder, to write.")
        var output: String

        func validate() throws {
            if front == (candidate != nil) { throw ValidationError("give either --front or --candidate") }
        }

        func run() throws {
            let export = try ScheduleExport(folder: runDir, candidate: candidate)
            switch format {
            case .compact: try export.writeCompact(to: output)
            case .published: _ = try export.writePublished(to: output, asFolder: front)
            }
        }
    }
}
