import ArgumentParser
import ProgramSupport
import Schedules

struct ScheduleConvert: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert", abstract: "Convert between JSON and compact schedule files.",
        discussion: """
            A compact file contains the schedules of all input files. A JSON file contains one schedule: use --entry to select one \
            from a compact file. Compact files keep the metrics cost, quality and total_macs only.
            """)

    @Argument(help: "Schedule files.")
    var files: [String]

    @Option(name: .shortAndLong, help: "Output file (.json or .ecad).")
    var output: String

    @Option(help: "Index of the schedule in a compact file, from 0.")
    var entry: Int?

    @Option(
        help:
            "Model directory of the measurements; recorded in compact output files and compared with compact input files."
    )
    var model: String?

    @Option(help: "Provenance recorded in a compact file.")
    var provenance: String?

    @Flag(help: "Accept measurements made with another model, sampler, number of steps or image size.")
    var force = false

    private var isCompact: Bool { output.hasSuffix(ScheduleDocument.compactEnding) }

    func validate() throws {
        if !isCompact, !output.hasSuffix(".json") {
            throw ValidationError("--output \(output): expected a name ending in .json or .ecad")
        }
        if force, model == nil { throw ValidationError("--force is only allowed with --model") }
        if entry != nil, files.count > 1 { throw ValidationError("--entry is only allowed with one input file") }
        if !isCompact, files.count > 1 { throw ValidationError("several input files need one .ecad file as output") }
        if !isCompact, provenance != nil {
            throw ValidationError("--provenance is only allowed with an .ecad output file")
        }
    }

    func run() throws {
        try OutputPath.checkFile("--output", output, inputs: files)
        let documents = try files.map { try ScheduleDocument(path: $0) }
        var settings: MeasurementSettings?
        if let model {
            for (path, document) in zip(files, documents) {
                let own = try document.settings(modelFolder: model, path: path)
                if !force { try document.check(own, path: path) }
                settings = settings ?? own
            }
        }
        guard isCompact else {
            try documents[0].file(entry: entry, path: files[0]).write(to: output)
            return
        }
        var chosen = documents
        if let entry { chosen = [.published(try documents[0].file(entry: entry, path: files[0]))] }
        let compact = try CompactScheduleFile(merging: chosen, provenance: provenance, settings: settings)
        try ScheduleDocument.compact(compact).write(to: output)
    }
}
