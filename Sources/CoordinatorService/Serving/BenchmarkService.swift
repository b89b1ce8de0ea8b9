import Foundation
import History
import Transport

/// Runs a benchmark to its end: what the command `benchmark` does.
public struct BenchmarkService {
    /// How serving ended.
    public enum Ending: Sendable {
        /// Everything that can be measured is.
        case finished(BenchmarkReport)
        /// The process was asked to end; the same benchmark goes on where it was.
        case interrupted
    }

    private let options: RunService.Options
    private let write: (String) -> Void

    /// A service that writes its progress with `write`, text that may begin with a carriage return.
    public init(options: RunService.Options, write: @escaping (String) -> Void) {
        self.options = options
        self.write = write
    }

    /// Measures schedules beside a run.
    ///
    /// - Parameters:
    ///   - benchmark: What to measure.
    ///   - folder: The run folder.
    /// - Returns: How serving ended.
    /// - Throws: ``CoordinatorError``, `HistoryError`, `TransportError` and others that describe themselves in one
    ///   line.
    public func run(_ benchmark: BenchmarkOptions, in folder: String) throws -> Ending {
        let display = ProgressDisplay(isInteractive: options.isInteractive, write: write)
        let serving = Serving(options: options, display: display)
        return try serving.serve(in: folder) {
            try Benchmark(in: folder, options: benchmark)
        } until: { session in
            let served = session.served
            while !served.isFinished {
                guard try session.turn() else {
                    try served.history.close()
                    return .interrupted
                }
                display.show(served, session.coordinator)
            }
            display.show(served, session.coordinator, isLast: true)
            display.end()
            try session.finish("the benchmark is complete")
            let report = try BenchmarkReport(served)
            try served.history.close()
            return .finished(report)
        }
    }
}
