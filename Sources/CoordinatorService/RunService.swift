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
        /// True if the state is shown in one line that is written again and again; else as a line every ten seconds.
        public var isInteractive: Bool

        /// Options of a run.
        public init(bind: Endpoint, localWorkers: Int, isInteractive: Bool) {
            self.bind = bind
            self.localWorkers = localWorkers
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
        // The port first: a run that cannot be served should not leave a folder behind.
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
        let wakeup = try Wakeup()
        let signals = try SignalWatcher(waking: wakeup)
        _ = try FileDescriptorLimit.raise()
        let context = try SocketContext()
        let socket = try CoordinatorSocket(listeningOn: options.bind, in: context, wakeup: wakeup)
        let calibration = try open()
        let display = ProgressDisplay(isInteractive: options.isInteractive, write: write)
        let coordinator = Coordinator(calibration: calibration, socket: socket, log: display.log)
        display.log("run \(folder): listening on \(coordinator.endpoint)")
        if options.localWorkers == 0 {
            display.log("workers join with: ecad-worker run --coordinator \(coordinator.endpoint) --models MODEL")
        }
        let workers = try LocalWorkers(
            count: options.localWorkers, endpoint: "\(coordinator.endpoint.fromThisMachine)",
            model: calibration.configuration.modelPath, folder: folder)
        defer { workers.stop() }

        func turn() throws {
            try coordinator.turn()
            try workers.check(isAlone: coordinator.workerCount == 0)
        }
        while !calibration.isFinished {
            if signals.arrivalCount > 0 {
                display.end()
                try calibration.history.close()
                return .interrupted
            }
            try turn()
            try display.show(calibration, coordinator)
        }
        try display.show(calibration, coordinator, isLast: true)
        let front = try calibration.history.front(of: calibration.runID)
        let rendering = try Rendering(front: front, calibration: calibration)
        if try !rendering.isStored(in: calibration) {
            coordinator.render(rendering)
            while coordinator.isRendering, signals.arrivalCount == 0 { try turn() }
        }
        display.end()
        try coordinator.finish("the last generation is complete")
        workers.waitForEnd(seconds: 5)
        let files = try RunPictures(calibration: calibration, members: rendering.members, front: front).write(
            to: folder)
        try calibration.history.setStatus(.finished, of: calibration.runID)
        try calibration.history.close()
        return .finished(front: front, files: files)
    }
}
