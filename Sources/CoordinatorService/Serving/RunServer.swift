import Basics
import History
import Logging
import Transport

/// Listens for workers, starts the local ones, and distributes a run to them.
struct RunServer {
    let options: RunService.Options
    let logger: Logger

    /// A run with its workers while it is being distributed.
    final class Session<Run: DistributedRun> {
        let run: Run
        let coordinator: Coordinator
        private var loop: CoordinatorLoop
        private let workers: LocalWorkers
        private let signals: SignalWatcher

        fileprivate init(
            run: Run, coordinator: Coordinator, loop: consuming CoordinatorLoop, workers: LocalWorkers,
            signals: SignalWatcher
        ) {
            self.run = run
            self.coordinator = coordinator
            self.loop = loop
            self.workers = workers
            self.signals = signals
        }

        /// Handles the messages that have arrived and assigns tasks.
        ///
        /// - Returns: False, without having done anything, if the process was asked to end.
        func runOnce() throws -> Bool {
            guard signals.arrivalCount == 0 else { return false }
            try loop.runOnce()
            try workers.check(isAlone: coordinator.workerCount == 0)
            return true
        }

        /// Tells every worker that the run is over, and waits briefly for the local ones to exit.
        func finish(_ reason: String) throws {
            try loop.finish(reason)
            workers.waitForExit(seconds: 5)
        }

        fileprivate func stop() { workers.stop() }
    }

    /// Distributes a run.
    ///
    /// - Parameters:
    ///   - folder: The run directory.
    ///   - open: Opens the run, once the port is known to be usable.
    ///   - body: Runs the session until it has what it needs.
    /// - Returns: The result of `body`.
    /// - Throws: ``CoordinatorError``, `HistoryError`, `TransportError`, and what opening the run throws.
    func serve<Run: DistributedRun, Result>(
        in folder: String, _ open: () throws -> Run, until body: (Session<Run>) throws -> Result
    ) throws -> Result {
        let wakeup = try Wakeup()
        let signals = try SignalWatcher(waking: wakeup)
        _ = try FileDescriptorLimit.raise()
        let bind = try options.bind.resolvedForListening()
        let access = try AccessControl(options: options, endpoint: bind, folder: folder)
        let context = try SocketContext()
        // The port first: a run that cannot be distributed must not leave a directory behind.
        let socket = try CoordinatorSocket(
            listeningOn: bind, in: context, security: access.security, wakeup: wakeup)
        let endpoint = socket.endpoint
        try access.verifyUnknownKeysAreRejected(at: endpoint)
        // These refusals were the verification's own.
        _ = socket.takeRefusals()
        let run = try open()
        try LocalWorkers.require(run.configuration.arithmetic.engine, forWorkers: options.localWorkers)
        for notice in run.context.notices { logger.warning("\(notice)") }
        let start = ContinuousClock.now
        let coordinator = try Coordinator(
            run: run,
            settings: Coordinator.Settings(
                engineVersion: options.engineVersion, register: access.register,
                // No address is shown under which others could join.
                expectedWorkers: isPrivate(endpoint) ? options.localWorkers : nil),
            clock: { (ContinuousClock.now - start) / .seconds(1) }, logger: logger)
        let loop = CoordinatorLoop(coordinator: coordinator, socket: socket)
        logger.notice("run \(folder): listening on \(endpoint), \(access.summary)")
        logAddresses(of: endpoint, access, engine: run.configuration.arithmetic.engine)
        if let warning = run.context.history.storageWarning { logger.warning("\(warning)") }
        let workers = try LocalWorkers(
            count: options.localWorkers, threads: options.localThreads, endpoint: "\(endpoint.fromThisMachine)",
            model: run.configuration.modelPath, scorers: run.configuration.scorerPaths.values.sorted(), folder: folder,
            access: access, logger: logger)
        let session = Session(run: run, coordinator: coordinator, loop: loop, workers: workers, signals: signals)
        defer { session.stop() }
        return try body(session)
    }

    /// Whether the run is meant for the local workers alone: there are some, and no other machine can connect.
    private func isPrivate(_ endpoint: Endpoint) -> Bool { options.localWorkers > 0 && endpoint.isLoopback }

    /// Logs how workers join, with an address that other machines can use if there is one.
    private func logAddresses(of endpoint: Endpoint, _ access: AccessControl, engine: Engine) {
        if endpoint.isLoopback, HostAddress(numeric: options.bind.host) == nil, options.bind.host != "localhost" {
            let remedy = "--bind tcp://0.0.0.0:\(endpoint.port) accepts them"
            logger.warning(
                "\(options.bind.host) is \(endpoint.host) here, so no other machine can connect; \(remedy)")
        }
        guard !isPrivate(endpoint) else { return }
        let all = endpoint.fromOtherMachines
        let first = all.first ?? endpoint.fromThisMachine
        let others = all.dropFirst().map(\.host)
        let aliases = all.isEmpty || endpoint.host == first.host ? [] : [HostAddress.nameOfThisMachine] + others
        let note = aliases.isEmpty ? "" : " (other addresses of this machine: \(aliases.joined(separator: ", ")))"
        let place = all.isEmpty ? " on this machine" : ""
        let arguments = "--coordinator \(first) \(access.workerOption(for: first))--models MODEL"
        logger.notice("workers\(place) join with: \(engine.workerCommand) \(arguments)\(note)")
    }
}
