import ArgumentParser
import Schedules

struct ScheduleConvert: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert", abstract: "Converts between published JSON files and compact ones.",
        discussion: """
            Into a compact file go all schedules of all files. A published file holds one: where there are several, choose with \
            --entry. Compact files keep what was measured (cost, quality or total_macs), not the other metrics.
            """)

    @Argument(help: "Schedule files.")
    var files: [String]

    @Option(name: .shortAndLong, help: "The file to write, ending in .json or .ecad.")
    var output: String

    @Option(help: "The position of the wanted schedule in a compact file, from 0.")
    var entry: Int?

    @Option(help: "The model directory that measurements hold for: noted in compact files, and compared with theirs.")
    var model: String?

    @Option(help: "Where the schedules come from, noted in a compact file.")
    var provenance: String?

    @Flag(help: "Use a compact file whose measurements hold for another model, sampler, step count or image size.")
    var force = false

    private var isCompact: Bool { output.hasSuffix(ScheduleDocument.compactEnding) }

    func validate() throws {
        if !isCompact, !output.hasSuffix(".json") {
            throw ValidationError("--output \(output): expected a name ending in .json or .ecad")
        }
        if entry != nil, files.count > 1 { throw ValidationError("--entry goes with one file") }
        if !isCompact, files.count > 1 { throw ValidationError("several files go into one .ecad file only") }
        if !isCompact, provenance != nil { throw ValidationError("--provenance goes with an .ecad file") }
    }

    func run() throws {
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
