import Basics
import Foundation
import History
import Logging

/// Formats the state of a run as one line: progress, remaining time, throughput, quality.
struct ProgressLine {
    struct State {
        var generation = 0
        /// Nil if a budget ends the run.
        var generations: Int?
        /// Images spent, and those that may be; nil without a budget.
        var budget: (spent: Double, limit: Int)?
        var evaluationsDone = 0
        var evaluationsTotal = 0
        var imagesDone = 0
        var workers = 0
        /// Members of the front.
        var front: [(speedup: Double, quality: Double)] = []
        var quality = ScorerKind.psnr
        /// Images in which reuse has been measured, and all of them; nil once the search has begun.
        var measured: (done: Int, total: Int)?
    }

    private var samples: [(seconds: Double, images: Int, evaluations: Int)] = []

    /// The line for a run.
    ///
    /// Throughput and remaining time follow from the last two minutes, so that they reflect changes of the workers.
    ///
    /// - Parameters:
    ///   - state: The run.
    ///   - now: Seconds of a monotonic clock.
    /// - Returns: The line, the most important parts first, because a narrow terminal truncates it.
    mutating func text(_ state: State, at now: Double) -> String {
        let (imagesPerSecond, evaluationsPerSecond) = rates(state.imagesDone, state.evaluationsDone, at: now)
        let left = Double(state.evaluationsTotal - state.evaluationsDone)
        let remaining = evaluationsPerSecond > 0 ? durationText(seconds: left / evaluationsPerSecond) : "--"
        let workers = state.workers.counted("worker")
        if let measured = state.measured {
            return "measuring what reuse changes: \(measured.done)/\(measured.total) images | \(workers)"
        }
        let generation = "generation \(state.generation + 1)" + (state.generations.map { "/\($0)" } ?? "")
        let budget = state.budget.map { ImageBudget.text($0.spent) + " of " + ImageBudget.text($0.limit) + " images" }
        var parts = [
            [generation, budget].compactMap(\.self).joined(separator: ", "),
            "\(state.evaluationsDone)/\(state.evaluationsTotal) evaluated",
            "\(remaining) left",
            String(format: "%.1f images/s", imagesPerSecond),
            workers,
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

    /// The line for a benchmark, of which `imagesBefore` images had been measured when it began.
    mutating func text(
        imagesBefore: Int, imagesDone: Int, imagesTotal: Int, of promptSet: String, workers: Int, at now: Double
    ) -> String {
        let rate = rates(imagesDone, 0, at: now).images
        let left = Double(imagesTotal - imagesBefore - imagesDone)
        return [
            "\(promptSet): \(imagesBefore + imagesDone)/\(imagesTotal) images",
            "\(rate > 0 ? durationText(seconds: left / rate) : "--") left", String(format: "%.1f images/s", rate),
            workers.counted("worker"),
        ].joined(separator: " | ")
    }

    /// Images and evaluations per second, averaged over the last two minutes.
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

/// Shows the progress of a run: as a status line where one can be overwritten, as a log record every 10 s elsewhere.
final class ProgressDisplay {
    private let showStatus: ((String?) -> Void)?
    private let logger: Logger
    private var line = ProgressLine()
    private var shownAt = -Double.infinity
    private var front: [(speedup: Double, quality: Double)] = []
    private var frontGeneration = -1

    /// - Parameters:
    ///   - showStatus: Replaces the status line, or ends it if the text is nil; nil where there is none.
    ///   - logger: Receives progress where there is no status line.
    init(showStatus: ((String?) -> Void)?, logger: Logger) {
        self.showStatus = showStatus
        self.logger = logger
    }

    /// Shows the progress of a calibration, unless the line was updated recently; `isLast` forces an update.
    func show(_ calibration: Calibration, _ coordinator: Coordinator, isLast: Bool = false) throws {
        let now = coordinator.now
        guard isDue(at: now, isLast: isLast) else { return }
        if isLast || frontGeneration != calibration.generation {
            frontGeneration = calibration.generation
            front = try calibration.history.search.front(of: calibration.runID).map {
                ($0.speedup ?? 1 / $0.cost, $0.quality)
            }
        }
        let openCount = calibration.openCount(of: coordinator.openCandidates)
        let text = line.text(
            ProgressLine.State(
                generation: calibration.generation, generations: calibration.configuration.generationLimit,
                budget: calibration.budget.limit.map { (calibration.budget.spent(withOpen: openCount), $0) },
                evaluationsDone: calibration.candidateCount - openCount,
                evaluationsTotal: calibration.expectedCount,
                imagesDone: coordinator.imageCount, workers: coordinator.workerCount, front: front,
                quality: calibration.configuration.quality,
                measured: calibration.isMeasuring ? try measured(calibration) : nil), at: now)
        present(text)
    }

    private func measured(_ calibration: Calibration) throws -> (done: Int, total: Int) {
        let total = calibration.context.reuseMeasurements.count
        return (total - (try calibration.openMeasurements().count), total)
    }

    /// Shows the progress of a benchmark, unless the line was updated recently; `isLast` forces an update.
    func show(_ benchmark: Benchmark, _ coordinator: Coordinator, isLast: Bool = false) {
        let now = coordinator.now
        guard isDue(at: now, isLast: isLast) else { return }
        present(
            line.text(
                imagesBefore: benchmark.imagesBefore, imagesDone: coordinator.imageCount,
                imagesTotal: benchmark.imageTotal,
                of: benchmark.context.evaluationSet, workers: coordinator.workerCount, at: now))
    }

    private func isDue(at now: Double, isLast: Bool) -> Bool {
        guard isLast || now - shownAt >= (showStatus == nil ? 10 : 0.5) else { return false }
        shownAt = now
        return true
    }

    private func present(_ text: String) {
        if let showStatus { showStatus(text) } else { logger.info("\(text)") }
    }

    /// Ends the status line, so that later output starts on a new line.
    func end() { showStatus?(nil) }
}
