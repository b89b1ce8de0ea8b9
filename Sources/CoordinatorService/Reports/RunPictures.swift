import Basics
import Foundation
import History
import Schedules

/// The pictures in a run folder: the plot of the front and the sheet of images.
struct RunPictures {
    let calibration: Calibration
    let members: [FrontRecord]
    let front: [FrontRecord]

    /// Writes `front.svg` and `sheet.svg`.
    ///
    /// - Returns: Their paths.
    func write(to folder: String) throws -> [String] {
        let plot = "\(folder)/front.svg"
        let sheet = "\(folder)/sheet.svg"
        for (path, svg) in [(plot, try frontPlot().svg()), (sheet, try imageSheet().svg())] {
            do {
                try FileContents.write(svg, to: path)
            } catch {
                throw CoordinatorError.runFolder(path: path, reason: error.problem)
            }
        }
        return [plot, sheet]
    }

    private var modelName: String { URL(fileURLWithPath: calibration.configuration.modelPath).lastPathComponent }

    private func frontPlot() throws -> FrontPlot {
        let onFront = Set(front.map(\.candidateID))
        let points = try calibration.history.candidates(of: calibration.runID).compactMap { candidate in
            candidate.evaluation.map {
                // As in the view pareto_front.
                let ratio = calibration.configuration.cost == .latency ? $0.modelledRatio : $0.latencyRatio
                return FrontPlot.Point(
                    candidate: candidate.id, speedup: 1 / (ratio ?? $0.cost), quality: $0.quality,
                    origin: candidate.origin, isOnFront: onFront.contains(candidate.id))
            }
        }
        let images = calibration.prompts.count * calibration.configuration.seedsPerPrompt
        return FrontPlot(
            title: "\(modelName): \(points.count) schedules on \(images) images each",
            qualityName: calibration.configuration.quality.title,
            points: points)
    }

    private func imageSheet() throws -> ImageSheet {
        func images(_ candidate: Int64?) throws -> [[UInt8]] {
            try calibration.history.thumbnails(of: candidate, run: calibration.runID).map(\.png)
        }
        var rows = [ImageSheet.Row(title: "uncached", subtitle: "1.00x", images: try images(nil))]
        for member in members {
            let speedup = String(format: "%.2fx", member.speedup ?? 1 / member.cost)
            let quality = calibration.configuration.quality.text(member.quality)
            rows.append(
                ImageSheet.Row(
                    title: speedup, subtitle: "candidate \(member.candidateID), \(quality)",
                    images: try images(member.candidateID)))
        }
        return ImageSheet(
            title: "\(modelName), uncached and under \(members.count) members of the front",
            prompts: Array(calibration.prompts.prefix(Rendering.promptCount)), rows: rows)
    }
}
