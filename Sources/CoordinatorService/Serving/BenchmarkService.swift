import History
import Logging

/// Runs a benchmark until all its images are measured: the command `benchmark`.
public struct BenchmarkService {
    /// How a benchmark ended.
    public enum Ending: Sendable {
        /// Everything that can be measured is.
        case finished(BenchmarkReport)
        /// The process was asked to end; the same command continues.
        case interrupted
    }

    private let options: RunService.Options
    private let logger: Logger
    private let showStatus: ((String?) -> Void)?

    /// Creates a service.
    ///
    /// - Parameters:
    ///   - options: How workers are served.
    ///   - logger: The log.
    ///   - showStatus: Shows progress in a status line, or ends that line if the text is nil; nil to log progress.
    public init(options: RunService.Options, logger: Logger, showStatus: ((String?) -> Void)?) {
        self.options = options
        self.logger = logger
        self.showStatus = showStatus
    }

    /// Measures schedules on a prompt set.
    ///
    /// - Parameters:
    ///   - benchmark: What to measure.
    ///   - folder: The run directory.
    /// - Returns: How the benchmark ended.
    /// - Throws: ``CoordinatorError``, `HistoryError`, `TransportError` and others that describe themselves in one line.
    public func run(_ benchmark: BenchmarkOptions, in folder: String) throws -> Ending {
        let display = ProgressDisplay(showStatus: showStatus, logger: logger)
        let server = RunServer(options: options, logger: logger)
        return try server.serve(in: folder) {
            try Benchmark(in: folder, options: benchmark)
        } until: { session in
            let run = session.run
            while !run.isFinished {
                guard try session.runOnce() else {
                    try run.history.close()
                    return .interrupted
                }
                display.show(run, session.coordinator)
            }
            display.show(run, session.coordinator, isLast: true)
            display.end()
            try session.finish("the benchmark is complete")
            let report = try BenchmarkReport(run)
            try run.history.close()
            return .finished(report)
        }
    }
}
