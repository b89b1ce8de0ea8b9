import Foundation

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
    }

    private var samples: [(seconds: Double, images: Int, evaluations: Int)] = []

    /// The line, at a moment in seconds of a steady clock.
    ///
    /// Speed and time left follow from the last two minutes, so that a change of workers shows soon.
    mutating func text(_ state: State, at now: Double) -> String {
        samples.append((now, state.imagesDone, state.evaluationsDone))
        samples.removeAll { now - $0.seconds > 120 }
        let first = samples[0]
        let seconds = now - first.seconds
        let imagesPerSecond = seconds > 1 ? Double(state.imagesDone - first.images) / seconds : 0
        let evaluationsPerSecond = seconds > 1 ? Double(state.evaluationsDone - first.evaluations) / seconds : 0
        let left = Double(state.evaluationsTotal - state.evaluationsDone)
        let remaining = evaluationsPerSecond > 0 ? Self.duration(left / evaluationsPerSecond) : "--"
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
            parts.append(
                String(
                    format: "%.1f dB at %.2fx to %.1f dB at %.2fx", best.quality, best.speedup, fastest.quality,
                    fastest.speedup))
        }
        return parts.joined(separator: " | ")
    }

    /// Seconds in words: 42s, 3m10s, 2h05m.
    static func duration(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds < 1e8 else { return "--" }
        let total = Int(seconds.rounded(.up))
        if total < 60 { return "\(total)s" }
        if total < 3600 { return String(format: "%dm%02ds", total / 60, total % 60) }
        return String(format: "%dh%02dm", total / 3600, total / 60 % 60)
    }
}
