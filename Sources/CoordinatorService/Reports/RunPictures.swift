import Basics
import Foundation
import History

/// The pictures in a run directory: the plot of the front and the contact sheet.
struct RunPictures {
    let context: RunContext
    /// The members on the contact sheet.
    let members: [FrontRecord]
    let front: [FrontRecord]

    /// Writes `front.svg` and `sheet.svg` and returns their paths.
    func write(to folder: String) throws -> [String] {
        let plot = "\(folder)/front.svg"
        let sheet = "\(folder)/sheet.svg"
        for (path, svg) in [(plot, try frontPlot().svg()), (sheet, try contactSheet().svg())] {
            do {
                try FileContents.write(svg, to: path)
            } catch {
                throw CoordinatorError.runDirectory(path: path, reason: error.problem)
            }
        }
        return [plot, sheet]
    }

    private var modelName: String { URL(fileURLWithPath: context.configuration.modelPath).lastPathComponent }

    private func frontPlot() throws -> FrontPlot {
        let onFront = Set(front.map(\.candidateID))
        let points = try context.history.search.candidates(of: context.runID).compactMap { candidate in
            candidate.evaluation.map {
                // The same ratio as in the view pareto_front.
                let ratio = context.configuration.cost == .latency ? $0.modelledRatio : $0.latencyRatio
                return FrontPlot.Point(
                    candidate: candidate.id, speedup: 1 / (ratio ?? $0.cost), quality: $0.quality,
                    origin: candidate.origin, isOnFront: onFront.contains(candidate.id))
            }
        }
        let images = context.prompts.count * context.configuration.seedsPerPrompt
        return FrontPlot(
            title: "\(modelName): \(points.count) candidates, \(images) images each",
            qualityName: context.configuration.quality.title,
            points: points)
    }

    private func contactSheet() throws -> ContactSheetDrawing {
        func images(_ candidate: Int64?) throws -> [[UInt8]] {
            try context.history.results.thumbnails(of: candidate, run: context.runID).map(\.png)
        }
        var rows = [ContactSheetDrawing.Row(title: "uncached", subtitle: "1.00x", images: try images(nil))]
        for member in members {
            let speedup = String(format: "%.2fx", member.speedup ?? 1 / member.cost)
            let quality = context.configuration.quality.text(member.quality)
            rows.append(
                ContactSheetDrawing.Row(
                    title: speedup, subtitle: "candidate \(member.candidateID), \(quality)",
                    images: try images(member.candidateID)))
        }
        return ContactSheetDrawing(
            title: "\(modelName), uncached and with \(members.count) schedules of the front",
            prompts: Array(context.prompts.prefix(ContactSheet.promptCount)), rows: rows)
    }
}
