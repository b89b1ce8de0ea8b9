import Basics
import Foundation
import Glibc
import ProgramSupport

/// A progress bar on a terminal; otherwise a line on standard error every 30 seconds.
struct ScoreProgress {
    private static let barWidth = 24
    private let total: Int
    private let isTerminal = isatty(2) == 1
    private let clock = ContinuousClock()
    private let start: ContinuousClock.Instant
    private var shownAt: ContinuousClock.Instant
    private var done = 0
    private var isBarShown = false
    /// Progress of the last minute, for the current rate.
    private var samples: [(at: ContinuousClock.Instant, done: Int)]

    init(total: Int) {
        self.total = total
        start = clock.now
        shownAt = start
        samples = [(start, 0)]
    }

    /// Updates the number of completed steps; redraws at most five times a second.
    mutating func show(_ done: Int) {
        self.done = done
        let now = clock.now
        guard now - shownAt > (isTerminal ? .milliseconds(200) : .seconds(30)) else { return }
        shownAt = now
        samples.append((now, done))
        while samples.count > 2, now - samples[1].at > .seconds(60) { samples.removeFirst() }
        draw(now)
    }

    /// Prints a line above the bar.
    mutating func interrupt(_ line: String) {
        clear()
        Program.printError(line)
    }

    /// Clears the bar.
    mutating func end() { clear() }

    private mutating func clear() {
        if isBarShown { FileHandle.standardError.write(Data("\r\u{1B}[K".utf8)) }
        isBarShown = false
    }

    private mutating func draw(_ now: ContinuousClock.Instant) {
        let first = samples[0]
        let seconds = (now - first.at) / .seconds(1)
        let speed = seconds > 0 ? Double(done - first.done) / seconds : 0
        let left = speed > 0 ? durationText(seconds: Double(total - done) / speed) : "--"
        let numbers = "\(done)/\(total) images, \(String(format: "%.1f", speed))/s, \(left) left"
        guard isTerminal else { return Program.printError(numbers) }
        let filled = Self.barWidth * done / max(total, 1)
        let bar = String(repeating: "=", count: filled).rightPadded(to: Self.barWidth)
        FileHandle.standardError.write(Data("\r[\(bar)] \(numbers)\u{1B}[K".utf8))
        isBarShown = true
    }
}
