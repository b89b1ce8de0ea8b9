import Foundation
import History
import Transport

/// Runs a calibration from its beginning or from where it stood until its last generation: what `run` and `resume` do.
public struct RunService {
    /// How a run is served.
    public struct Options: Sendable {
        /// Where to listen.
        public var bind: Endpoint
        /// Workers to start on this machine.
        public var localWorkers: Int
        /// Threads of each of them; nil to divide the processors.
        public var localThreads: Int?
        /// The folder of the keys; nil for the one in the run folder, if it exists.
        public var keyFolder: String?
        /// True to serve whoever reaches the port, without keys or encryption.
        public var isPlaintext: Bool
        /// The release of the program, which workers must have too.
        public var engineVersion: String
        /// True if the state is shown in one line that is written again and again; else as a line every ten seconds.
        public var isInteractive: Bool

        /// Options of a run.
        public init(
            bind: Endpoint, localWorkers: Int, localThreads: Int?, keyFolder: String?, isPlaintext: Bool,
            engineVersion: String, isInteractive: Bool
        ) {
            self.bind = bind
            self.localWorkers = localWorkers
            self.localThreads = localThreads
            self.keyFolder = keyFolder
            self.isPlaintext = isPlaintext
            self.engineVersion = engineVersion
            self.isInteractive = isInteractive
        }
    }

    /// How serving ended.
    public enum Ending: Sendable {
        /// The last generation is complete; these files show the result.
        case finished(front: [FrontRecord], files: [String])
        /// The process was asked to end; the run can be resumed.
        case interrupted
    }

    private let options: Options
    private let write: (String) -> Void

    /// A service that writes its progress with `write`, text that may begin with a carriage return.
    public init(options: Options, write: @escaping (String) -> Void) {
        self.options = options
        self.write = write
    }

    /// Begins a run.
    ///
    /// - Throws: ``CoordinatorError``, `HistoryError`, `TransportError` and others that describe themselves in one
    ///   line.
    public func run(_ configuration: RunConfiguration, in folder: String) throws -> Ending {
        try serve(in: folder) { try Calibration.begin(configuration, in: folder) }
    }

    /// Goes on with the run of a folder.
    ///
    /// - Throws: As ``run(_:in:)``.
    public func resume(in folder: String) throws -> Ending {
        try serve(in: folder) { try Calibration.resume(in: folder) }
    }

    /// Goes on with the run of a folder for more generations than it was meant to have, whatever stopped it.
    ///
    /// - Throws: As ``run(_:in:)``.
    public func extend(in folder: String, by generations: Int) throws -> Ending {
        try serve(in: folder) { try Calibration.extend(in: folder, by: generations) }
    }

    /// Copies a run up to a generation into a new folder and goes on there.
    ///
    /// - Parameters:
    ///   - folder: The original's run folder; its coordinator may be at work.
    ///   - generation: The last generation that both have in common.
    ///   - target: The new run folder.
    ///   - overrides: Texts such as `search.population=48`.
    /// - Returns: How serving ended.
    /// - Throws: As ``run(_:in:)``.
    public func fork(
        _ folder: String, from generation: Int, into target: String, overrides: [String]
    ) throws -> Ending {
        try serve(in: target) {
            try Calibration.fork(folder, from: generation, into: target, overrides: overrides)
        }
    }

    private func serve(in folder: String, _ open: () throws -> Calibration) throws -> Ending {
        let display = ProgressDisplay(isInteractive: options.isInteractive, write: write)
        return try Serving(options: options, display: display).serve(in: folder, open) { session in
            let calibration = session.served
            while !calibration.isFinished {
                guard try session.turn() else {
                    display.end()
                    try calibration.history.close()
                    return .interrupted
                }
                try display.show(calibration, session.coordinator)
            }
            try display.show(calibration, session.coordinator, isLast: true)
            let front = try calibration.history.front(of: calibration.runID)
            let rendering = try ContactSheetTask(front: front, calibration: calibration)
            if try !rendering.isStored(in: calibration) {
                session.coordinator.render(rendering)
                while session.coordinator.isRendering, try session.turn() {}
            }
            display.end()
            try session.finish("the last generation is complete")
            let files = try RunPictures(calibration: calibration, members: rendering.members, front: front).write(
                to: folder)
            try calibration.history.setStatus(.finished, of: calibration.runID)
            try calibration.history.close()
            return .finished(front: front, files: files)
        }
    }
}
