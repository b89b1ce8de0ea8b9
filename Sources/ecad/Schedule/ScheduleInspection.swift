import ArgumentParser
import Basics
import Foundation
import JSON
import ModelConfiguration
import ProgramSupport
import Schedules
import Tensors

struct ScheduleInfo: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info", abstract: "Summarize schedule files.",
        discussion: """
            PixArt-alpha is assumed for PixArt files that do not name their family. A step mask is a schedule that is the same for all \
            components of each step; ecad-diffusers mask exports it for tools that decide about whole steps.
            """)

    @Argument(help: "Schedule files.")
    var files: [String]

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let summaries = try files.flatMap { try ScheduleSummary.read($0) }
        print(
            json ? JSONValue.array(summaries.map(\.json)).indentedText : text(summaries), terminator: json ? "\n" : "")
    }

    private func text(_ summaries: [ScheduleSummary]) -> String {
        alignedTable(
            [["file", "name", "family", "steps", "genes", "recomputed", "share", "step mask", "genome SHA-256"]]
                + summaries.map { summary in
                    let schedule = summary.contents.schedule
                    let genome = schedule.genome
                    let share = 100 * Double(genome.recomputeCount) / Double(genome.geneCount)
                    return [
                        summary.file, schedule.name, summary.contents.likelyFamily.rawValue,
                        "\(schedule.shape.stepCount)", "\(genome.geneCount)", "\(genome.recomputeCount)",
                        String(format: "%.1f%%", share), schedule.isStepMask ? "yes" : "no",
                        String(genome.sha256.prefix(16)),
                    ]
                }, isNumeric: (0..<9).map { (3...6).contains($0) })
    }
}

struct ScheduleMacs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "macs", abstract: "Count the multiply-adds of schedules.",
        discussion: """
            Uses the published convention: a batch of two (PixArt: one image with guidance, FLUX: two images), excluding the matrix \
            products inside attention; the total including them is printed as well. PixArt-Sigma counts 120 text tokens with \
            --family, as published, and 300 with --model.
            """)

    @Argument(help: "Schedule files.")
    var files: [String]

    @OptionGroup var choice: ModelChoice

    @Flag(help: "Print JSON.")
    var json = false

    func run() throws {
        let model = try choice.resolved().architecture
        let summaries = try files.flatMap { path in
            try ScheduleDocument(path: path).files.map {
                try MultiplyAddsSummary(file: path, schedule: $0.schedule, model: model)
            }
        }
        print(
            json ? JSONValue.array(summaries.map(\.json)).indentedText : text(summaries), terminator: json ? "\n" : "")
    }

    private func text(_ summaries: [MultiplyAddsSummary]) -> String {
        alignedTable(
            [["file", "name", "MACs", "of uncached", "with attention"]]
                + summaries.map { summary in
                    [
                        summary.file, summary.name, "\(summary.counts.total)",
                        String(format: "%.1f%%", 100 * summary.shareOfUncached), "\(summary.counts.totalWithAttention)",
                    ]
                }, isNumeric: (0..<5).map { $0 >= 2 })
    }
}

struct ScheduleShow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Draw a schedule in the terminal or as an image.",
        discussion: "One panel per component, with steps as columns and blocks as rows. PNG images have no labels.")

    @Argument(help: "Schedule file.")
    var file: String

    @Option(name: .shortAndLong, help: "Output image (.svg or .png).")
    var output: String?

    @Option(help: "Index of the schedule in a compact file, from 0.")
    var entry: Int?

    func validate() throws {
        if let output, !output.hasSuffix(".svg"), !output.hasSuffix(".png") {
            throw ValidationError("--output \(output): expected a name ending in .svg or .png")
        }
    }

    func run() throws {
        let document = try ScheduleDocument(path: file)
        guard let output else {
            let files = try entry.map { [try document.file(entry: $0, path: file)] } ?? document.files
            Program.printText(files.map { SchedulePicture($0.schedule).text() }.joined(separator: "\n"), terminator: "")
            return
        }
        try OutputPath.checkFile("--output", output, inputs: [file])
        let picture = SchedulePicture(try document.file(entry: entry, path: file).schedule)
        if output.hasSuffix(".svg") {
            try picture.writeSVG(to: output)
        } else {
            let pixels = try picture.pixels()
            try Image(width: pixels.width, height: pixels.height, pixels: pixels.values).write(to: output)
        }
    }
}
