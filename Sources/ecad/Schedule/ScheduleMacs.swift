import ArgumentParser
import Basics
import Foundation
import JSON
import Schedules

struct ScheduleMacs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "macs", abstract: "Counts the multiply-adds of schedules.",
        discussion: """
            Counted as published: a batch of two (PixArt: one image with guidance, FLUX: two images), without the products inside \
            attention; the total with them is given beside. PixArt-Sigma is counted with 120 text tokens by family, as published, \
            and with its 300 by model directory.
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
