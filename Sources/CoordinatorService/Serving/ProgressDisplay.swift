import Foundation
import Glibc
import History

/// Shows a run's state as it changes: one line that is written over, or a line now and then where nobody watches.
final class ProgressDisplay {
    private static let quietSeconds = 10.0

    private let isInteractive: Bool
    private let write: (String) -> Void
    private var line = ProgressLine()
    private var shownAt = -Double.infinity
    private var shown = ""
    private var front: [(speedup: Double, quality: Double)] = []
    private var frontGeneration = -1

    init(isInteractive: Bool, write: @escaping (String) -> Void) {
        self.isInteractive = isInteractive
        self.write = write
    }

    /// Writes a line of its own, above the state.
    func log(_ text: String) {
        if isInteractive, !shown.isEmpty {
            write("\r\u{1B}[K\(text)\n\(shown)")
        } else {
            write("\(text)\n")
        }
    }

    /// Shows the state if it is time to, or if it is the last.
    func show(_ calibration: Calibration, _ coordinator: Coordinator, isLast: Bool = false) throws {
        let now = coordinator.now
        guard isDue(at: now, isLast: isLast) else { return }
        if isLast || frontGeneration != calibration.generation {
            frontGeneration = calibration.generation
            front = try calibration.history.search.front(of: calibration.runID).map {
                ($0.speedup ?? 1 / $0.cost, $0.quality)
            }
        }
        let text = line.text(
            ProgressLine.State(
                generation: calibration.generation, generations: calibration.configuration.generations,
                evaluationsDone: calibration.candidateCount - coordinator.openCandidateCount,
                evaluationsTotal: calibration.expectedCount,
                imagesDone: coordinator.imageCount, workers: coordinator.workerCount, front: front,
                quality: calibration.configuration.quality), at: now)
        present(text)
    }

    /// Shows the state of a benchmark if it is time to, or if it is the last.
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
        guard isLast || now - shownAt >= (isInteractive ? 0.5 : Self.quietSeconds) else { return false }
        shownAt = now
        return true
    }

    private func present(_ text: String) {
        // A line that wraps could not be written over.
        shown = isInteractive ? String(text.prefix(Self.terminalColumns - 1)) : text
        write(isInteractive ? "\r\u{1B}[K\(shown)" : "\(shown)\n")
    }

    private static var terminalColumns: Int {
        var size = winsize()
        let isKnown = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
        return isKnown ? Int(size.ws_col) : 80
    }

    /// Leaves the last state standing.
    func end() {
        if isInteractive, !shown.isEmpty { write("\n") }
        shown = ""
    }
}
