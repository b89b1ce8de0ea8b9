import Basics
import Foundation
import History
import Logging
import Transport

/// Runs a calibration until its last generation: the commands `run`, `resume`, `extend` and `fork`.
public struct RunService {
    /// How a run is distributed.
    public struct Options: Sendable {
        /// The address to listen on.
        public var bind: Endpoint
        /// The number of workers to start on this machine.
        public var localWorkers: Int
        /// Threads of each; nil to divide the processors.
        public var localThreads: Int?
        /// The directory of keys; nil for `keys` in the run directory, if it exists.
        public var keyFolder: String?
        /// Whether to accept any worker, without keys or encryption.
        public var isPlaintext: Bool
        /// The release of this program, which workers must match.
        public var engineVersion: String
        /// Creates options.
        public init(
            bind: Endpoint, localWorkers: Int, localThreads: Int?, keyFolder: String?, isPlaintext: Bool,
            engineVersion: String
        ) {
            self.bind = bind
            self.localWorkers = localWorkers
            self.localThreads = localThreads
            self.keyFolder = keyFolder
            self.isPlaintext = isPlaintext
            self.engineVersion = engineVersion
        }
    }

    /// How a run ended.
    public enum Ending: Sendable {
        /// The run is complete; the files show its front.
        case finished(front: [FrontRecord], files: [String])
        /// The process was asked to end; the run can be resumed.
        case interrupted
    }

    private let options: Options
    private let logger: Logger
    private let showStatus: ((String?) -> Void)?

    /// Creates a service.
    ///
    /// - Parameters:
    ///   - options: How a run is distributed.
    ///   - logger: The log.
    ///   - showStatus: Shows progress in a status line, or ends that line if the text is nil; nil to log progress.
    public init(options: Options, logger: Logger, showStatus: ((String?) -> Void)?) {
        self.options = options
        self.logger = logger
        self.showStatus = showStatus
    }

    /// Starts a run.
    ///
    /// - Throws: ``CoordinatorError``, `HistoryError`, `TransportError` and others that describe themselves in one line.
    public func run(_ configuration: RunConfiguration, in folder: String) throws -> Ending {
        // Before the run directory is created.
        try LocalWorkers.require(configuration.arithmetic.engine, forWorkers: options.localWorkers)
        return try serve(in: folder) { try Calibration.create(configuration, in: folder) }
    }

    /// Resumes an interrupted run, some of whose files may have moved.
    ///
    /// - Throws: As ``run(_:in:)``.
    public func resume(in folder: String, moved: MovedFiles = MovedFiles()) throws -> Ending {
        try serve(in: folder) { try Calibration.resume(in: folder, moved: moved) }
    }

    /// Extends a run, whether it finished or was interrupted.
    ///
    /// - Throws: As ``run(_:in:)``.
    public func extend(in folder: String, by extent: RunExtension, moved: MovedFiles = MovedFiles()) throws -> Ending {
        try serve(in: folder) { try Calibration.extend(in: folder, by: extent, moved: moved) }
    }

    /// Copies a run up to a generation into a new directory and continues there.
    ///
    /// - Parameters:
    ///   - folder: The original's run directory; its coordinator may be running.
    ///   - generation: The last generation in common.
    ///   - target: The new run directory.
    ///   - overrides: Assignments such as `search.population=48`.
    ///   - moved: Files of the run that are elsewhere now.
    /// - Returns: How the fork ended.
    /// - Throws: As ``run(_:in:)``.
    public func fork(
        _ folder: String, from generation: Int, into target: String, overrides: [String],
        moved: MovedFiles = MovedFiles()
    ) throws -> Ending {
        try serve(in: target) {
            try Calibration.fork(folder, from: generation, into: target, overrides: overrides, moved: moved)
        }
    }

    private func serve(in folder: String, _ open: () throws -> Calibration) throws -> Ending {
        let display = ProgressDisplay(showStatus: showStatus, logger: logger)
        return try RunServer(options: options, logger: logger).serve(in: folder, open) { session in
            let calibration = session.run
            while !calibration.isFinished {
                guard try session.runOnce() else {
                    display.end()
                    try calibration.history.close()
                    return .interrupted
                }
                try display.show(calibration, session.coordinator)
            }
            try display.show(calibration, session.coordinator, isLast: true)
            let front = try calibration.history.search.front(of: calibration.runID)
            let sheet = try ContactSheet(front: front, context: calibration.context)
            if try !sheet.isStored(in: calibration.context) {
                try session.coordinator.make(sheet)
                while session.coordinator.isMakingContactSheet, try session.runOnce() {}
            }
            display.end()
            let reason = calibration.endReason ?? "the run is complete"
            logger.notice("run \(folder): \(reason)")
            let outlook = try RunOutlook(calibration.context)
            for line in outlook.lines { logger.notice("\(line)") }
            if let warning = outlook.warning { logger.warning("\(warning)") }
            try session.finish(reason)
            let files = try RunPictures(context: calibration.context, front: front).write(
                to: folder, sheet: sheet.members)
            try calibration.history.runs.setStatus(.finished, of: calibration.runID)
            try calibration.history.close()
            return .finished(front: front, files: files)
        }
    }
}

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
    ///   - options: How the run is distributed.
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
        // Before anything is inserted into the history.
        if let engine = benchmark.engine { try LocalWorkers.require(engine, forWorkers: options.localWorkers) }
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
