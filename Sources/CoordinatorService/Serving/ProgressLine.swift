import Basics
import Foundation
import Schedules

/// The state of a run in one line: where it is, how fast, how good, how long still.
struct ProgressLine {
    /// What the line tells.
    struct State {
        var generation = 0
        var generations = 0
        var evaluationsDone = 0
        var evaluationsTotal = 0
        var imagesDone = 0
        var workers = 0
        /// The best front point of each kind: the fastest at some quality, and the best quality.
        var front: [(speedup: Double, quality: Double)] = []
        /// What the quality is.
        var quality = ScorerKind.psnr
    }

    private var samples: [(seconds: Double, images: Int, evaluations: Int)] = []

    /// The line, at a moment in seconds of a steady clock.
    ///
    /// Speed and time left follow from the last two minutes, so that a change of workers shows soon.
    mutating func text(_ state: State, at now: Double) -> String {
        let (imagesPerSecond, evaluationsPerSecond) = rates(state.imagesDone, state.evaluationsDone, at: now)
        let left = Double(state.evaluationsTotal - state.evaluationsDone)
        let remaining = evaluationsPerSecond > 0 ? durationText(seconds: left / evaluationsPerSecond) : "--"
        // What matters most comes first: a narrow terminal cuts the end off.
        var parts = [
            "generation \(state.generation + 1)/\(state.generations)",
            "\(state.evaluationsDone)/\(state.evaluationsTotal) evaluated",
            "\(remaining) left",
            String(format: "%.1f images/s", imagesPerSecond),
            state.workers == 1 ? "1 worker" : "\(state.workers) workers",
        ]
        let best = state.front.max { $0.quality < $1.quality }
        let fastest = state.front.max { $0.speedup < $1.speedup }
        if let best, let fastest {
            func point(_ point: (speedup: Double, quality: Double)) -> String {
                state.quality.text(point.quality) + String(format: " at %.2fx", point.speedup)
            }
            parts.append("\(point(best)) to \(point(fastest))")
        }
        return parts.joined(separator: " | ")
    }

    /// The line of a benchmark, of which some images may have been there before.
    mutating func text(
        imagesBefore: Int, imagesDone: Int, imagesTotal: Int, of promptSet: String, workers: Int, at now: Double
    ) -> String {
        let rate = rates(imagesDone, 0, at: now).images
        let left = Double(imagesTotal - imagesBefore - imagesDone)
        return [
            "\(promptSet): \(imagesBefore + imagesDone)/\(imagesTotal) images",
            "\(rate > 0 ? durationText(seconds: left / rate) : "--") left", String(format: "%.1f images/s", rate),
            workers == 1 ? "1 worker" : "\(workers) workers",
        ].joined(separator: " | ")
    }

    /// Images and evaluations for each second of the last two minutes.
    private mutating func rates(
        _ images: Int, _ evaluations: Int, at now: Double
    ) -> (images: Double, evaluations: Double) {
        samples.append((now, images, evaluations))
        samples.removeAll { now - $0.seconds > 120 }
        let first = samples[0]
        let seconds = now - first.seconds
        guard seconds > 1 else { return (0, 0) }
        return (Double(images - first.images) / seconds, Double(evaluations - first.evaluations) / seconds)
    }
}
