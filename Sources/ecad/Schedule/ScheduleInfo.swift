import ArgumentParser
import Basics
import Foundation
import JSON
import ModelConfiguration
import Schedules

struct ScheduleInfo: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "info", abstract: "Says what schedule files hold.",
        discussion: "A PixArt file seldom says which of its families it is for; PixArt-alpha is then assumed.")

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
            [["file", "name", "family", "steps", "genes", "recomputed", "share", "genome SHA-256"]]
                + summaries.map { summary in
                    let schedule = summary.contents.schedule
                    let genome = schedule.genome
                    let share = 100 * Double(genome.recomputeCount) / Double(genome.geneCount)
                    return [
                        summary.file, schedule.name, summary.contents.likelyFamily.rawValue,
                        "\(schedule.shape.stepCount)", "\(genome.geneCount)", "\(genome.recomputeCount)",
                        String(format: "%.1f%%", share), String(genome.sha256.prefix(16)),
                    ]
                }, isNumeric: (0..<8).map { (3...6).contains($0) })
    }
}
