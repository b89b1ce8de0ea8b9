import Foundation
import History
import Schedules

/// The pictures in a run directory: the plot of the front and the contact sheet.
struct RunPictures {
    let calibration: Calibration
    /// The members on the contact sheet.
    let members: [FrontRecord]
    let front: [FrontRecord]

    /// Writes `front.svg` and `sheet.svg` and returns their paths.
    func write(to folder: String) throws -> [String] {
        let plot = "\(folder)/front.svg"
        let sheet = "\(folder)/sheet.svg"
        for (path, svg) in [(plot, try frontPlot().svg()), (sheet, try contactSheet().svg())] {
            do {
                try svg.write(toFile: path, atomically: true, encoding: .utf8)
            } catch {
                throw CoordinatorError.runFolder(path: path, reason: "cannot write: \(error.localizedDescription)")
            }
        }
        return [plot, sheet]
    }

    private var modelName: String { URL(fileURLWithPath: calibration.configuration.modelPath).lastPathComponent }

    private func frontPlot() throws -> FrontPlot {
        let onFront = Set(front.map(\.candidateID))
        let points = try calibration.history.candidates(of: calibration.runID).compactMap { candidate in
            candidate.evaluation.map {
                // The same ratio as in the view pareto_front.
                let ratio = calibration.configuration.cost == .latency ? $0.modelledRatio : $0.latencyRatio
                return FrontPlot.Point(
                    candidate: candidate.id, speedup: 1 / (ratio ?? $0.cost), quality: $0.quality,
                    origin: candidate.origin, isOnFront: onFront.contains(candidate.id))
            }
        }
        let images = calibration.prompts.count * calibration.configuration.seedsPerPrompt
        return FrontPlot(
            title: "\(modelName): \(points.count) candidates, \(images) images each",
            qualityName: calibration.configuration.quality.title,
            points: points)
    }

    private func contactSheet() throws -> ContactSheet {
        func images(_ candidate: Int64?) throws -> [[UInt8]] {
            try calibration.history.thumbnails(of: candidate, run: calibration.runID).map(\.png)
        }
        var rows = [ContactSheet.Row(title: "uncached", subtitle: "1.00x", images: try images(nil))]
        for member in members {
            let speedup = String(format: "%.2fx", member.speedup ?? 1 / member.cost)
            let quality = calibration.configuration.quality.text(member.quality)
            rows.append(
                ContactSheet.Row(
                    title: speedup, subtitle: "candidate \(member.candidateID), \(quality)",
                    images: try images(member.candidateID)))
        }
        return ContactSheet(
            title: "\(modelName), uncached and with \(members.count) schedules of the front",
            prompts: Array(calibration.prompts.prefix(ContactSheetTask.promptCount)), rows: rows)
    }
}
