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
        let access = try ServingAccess(options: options, folder: folder)
        let context = try SocketContext()
        let socket = try CoordinatorSocket(
            listeningOn: options.bind, in: context, security: access.security, wakeup: wakeup)
        let endpoint = socket.endpoint
        try access.refuseStrangers(at: endpoint)
        // The strangers were this process itself.
        _ = socket.takeRefusals()
        let calibration = try open()
        let display = ProgressDisplay(isInteractive: options.isInteractive, write: write)
        let start = ContinuousClock.now
        let coordinator = try Coordinator(
            calibration: calibration,
            settings: Coordinator.Settings(engineVersion: options.engineVersion, register: access.register),
            clock: { (ContinuousClock.now - start) / .seconds(1) }, log: display.log)
        var loop = CoordinatorLoop(coordinator: coordinator, socket: socket)
        display.log("run \(folder): listening on \(endpoint), \(access.summary)")
        if options.localWorkers == 0 {
            display.log(
                "workers join with: ecad-worker run --coordinator \(endpoint) \(access.workerOption)--models MODEL")
        }
        let workers = try LocalWorkers(
            count: options.localWorkers, threads: options.localThreads, endpoint: "\(endpoint.fromThisMachine)",
            model: calibration.configuration.modelPath,
            scorers: calibration.configuration.scorerPaths.values.sorted(), folder: folder, access: access)
        defer { workers.stop() }

        while !calibration.isFinished {
            if signals.arrivalCount > 0 {
                display.end()
                try calibration.history.close()
                return .interrupted
            }
            try loop.turn()
            try workers.check(isAlone: coordinator.workerCount == 0)
            try display.show(calibration, coordinator)
        }
        try display.show(calibration, coordinator, isLast: true)
        let front = try calibration.history.front(of: calibration.runID)
        let rendering = try Rendering(front: front, calibration: calibration)
        if try !rendering.isStored(in: calibration) {
            coordinator.render(rendering)
            while coordinator.isRendering, signals.arrivalCount == 0 {
                try loop.turn()
                try workers.check(isAlone: coordinator.workerCount == 0)
            }
        }
        display.end()
        try loop.finish("the last generation is complete")
        workers.waitForEnd(seconds: 5)
        let files = try RunPictures(calibration: calibration, members: rendering.members, front: front).write(
            to: folder)
        try calibration.history.setStatus(.finished, of: calibration.runID)
        try calibration.history.close()
        return .finished(front: front, files: files)
    }
}
