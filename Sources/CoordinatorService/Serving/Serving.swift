import Foundation
import Transport

/// Listens for workers, starts the local ones, and serves a run to them for as long as its caller wants.
struct Serving {
    let options: RunService.Options
    let display: ProgressDisplay

    /// A run with its workers, while it is being served.
    final class Session<Run: ServedRun> {
        let served: Run
        let coordinator: Coordinator
        private var loop: CoordinatorLoop
        private let workers: LocalWorkers
        private let signals: SignalWatcher

        fileprivate init(
            served: Run, coordinator: Coordinator, loop: consuming CoordinatorLoop, workers: LocalWorkers,
            signals: SignalWatcher
        ) {
            self.served = served
            self.coordinator = coordinator
            self.loop = loop
            self.workers = workers
            self.signals = signals
        }

        /// Takes what has arrived and gives out what is due.
        ///
        /// - Returns: False, having done nothing, if the process was asked to end.
        func turn() throws -> Bool {
            guard signals.arrivalCount == 0 else { return false }
            try loop.turn()
            try workers.check(isAlone: coordinator.workerCount == 0)
            return true
        }

        /// Tells every worker that the run is over, and waits a little for the local ones.
        func finish(_ reason: String) throws {
            try loop.finish(reason)
            workers.waitForEnd(seconds: 5)
        }

        fileprivate func stop() { workers.stop() }
    }

    /// Serves a run.
    ///
    /// - Parameters:
    ///   - folder: The run folder.
    ///   - open: Opens the run, once it is known that it can be served.
    ///   - body: Takes turns until it has what it wants.
    /// - Returns: What `body` returns.
    /// - Throws: ``CoordinatorError``, `HistoryError`, `TransportError`, and whatever opening the run throws.
    func serve<Run: ServedRun, Result>(
        in folder: String, _ open: () throws -> Run, until body: (Session<Run>) throws -> Result
    ) throws -> Result {
        let wakeup = try Wakeup()
        let signals = try SignalWatcher(waking: wakeup)
        _ = try FileDescriptorLimit.raise()
        let access = try ServingAccess(options: options, folder: folder)
        let context = try SocketContext()
        // The port first: a run that cannot be served should not leave a folder behind.
        let socket = try CoordinatorSocket(
            listeningOn: options.bind, in: context, security: access.security, wakeup: wakeup)
        let endpoint = socket.endpoint
        try access.refuseStrangers(at: endpoint)
        // The strangers were this process itself.
        _ = socket.takeRefusals()
        let run = try open()
        let start = ContinuousClock.now
        let coordinator = try Coordinator(
            served: run,
            settings: Coordinator.Settings(engineVersion: options.engineVersion, register: access.register),
            clock: { (ContinuousClock.now - start) / .seconds(1) }, log: display.log)
        let loop = CoordinatorLoop(coordinator: coordinator, socket: socket)
        display.log("run \(folder): listening on \(endpoint), \(access.summary)")
        if options.localWorkers == 0 {
            display.log(
                "workers join with: ecad-worker run --coordinator \(endpoint) \(access.workerOption)--models MODEL")
        }
        let workers = try LocalWorkers(
            count: options.localWorkers, threads: options.localThreads, endpoint: "\(endpoint.fromThisMachine)",
            model: run.configuration.modelPath, scorers: run.configuration.scorerPaths.values.sorted(), folder: folder,
            access: access)
        let session = Session(served: run, coordinator: coordinator, loop: loop, workers: workers, signals: signals)
        defer { session.stop() }
        return try body(session)
    }
}
