import Basics
import Evaluations
import Foundation
import Logging
import Messages
import ModelConfiguration
import Models
import Tensors
import Transport

/// Joins a coordinator, evaluates its tasks and reports the results.
///
/// The calling thread only communicates; `EvaluationThread` computes, so heartbeats are sent during evaluations. A
/// result stays on disk until the coordinator has acknowledged it, and is sent again after every reconnection.
public final class Worker {
    private enum Stage {
        case joining
        case fetchingEmbeddings
        case openingModel
        case idle
        case evaluating
    }

    private struct CurrentTask {
        let id: Int64
        let epoch: Int64
        let startedAt: ContinuousClock.Instant
    }

    private static let shortestRegistrationPause = Duration.milliseconds(250)
    private static let longestRegistrationPause = Duration.seconds(32)
    /// Unanswered requests are repeated, since a restarted coordinator has lost them.
    private static let requestPause = Duration.seconds(5)

    private let options: WorkerOptions
    private let logger: Logger
    private let sessionID = PeerID.random()
    private let parent = getppid()
    private let wakeup: Wakeup
    private let signals: SignalWatcher
    private let engine: EvaluationThread

    private let folder: ModelFolder
    private let modelHash, imageModelHash: String
    private let scorers: ScorerFolders
    private let spool: Spool
    private let marker: CrashMarker
    private let crash: CrashMarker.Crash?

    private var stage = Stage.joining
    private var welcome: Welcome?
    private var download: BlobDownload?
    private var canary: Canary?
    private var costReport: CostReport?
    private var task: CurrentTask?
    private var unacknowledged: [Spool.Key: [UInt8]] = [:]
    private var drain: Drain?
    private var connectionLog: ConnectionLog

    private var connectionCount = 0
    private var registrationPause = Worker.shortestRegistrationPause
    private var nextRegistration = ContinuousClock.now
    private var nextRequest: ContinuousClock.Instant?
    private var nextHeartbeat = ContinuousClock.now

    /// Opens the model directory and computes its fingerprints.
    ///
    /// - Parameters:
    ///   - options: The configuration of the worker.
    ///   - logger: Receives all log records; the worker's name is added to their metadata.
    /// - Throws: `ModelsError`, `TransportError`, ``WorkerError``.
    public init(options: WorkerOptions, logger: Logger) throws {
        self.options = options
        var logger = logger
        logger[metadataKey: "worker"] = "\(options.name)"
        self.logger = logger
        connectionLog = ConnectionLog(options.coordinator, logger: logger)
        BLAS.setThreadCount(options.threads)
        folder = try ModelFolder(path: options.model)
        imageModelHash = try ModelFingerprint.compute(folder: options.model, part: .image)
        do {
            modelHash = try ModelFingerprint.compute(folder: options.model)
        } catch {
            // A run with prompt embeddings does not need them.
            modelHash = ""
            logger.warning("text encoders not offered: \(error)")
        }
        scorers = try ScorerFolders(given: options.scorers, nextTo: options.model)
        for problem in scorers.problems { logger.warning("\(problem)") }
        spool = try Spool(folder: options.spool)
        marker = CrashMarker(folder: options.spool)
        crash = marker.takeCrash()
        if let crash {
            let charge = crash.isCausedByTask ? "" : "; this is not counted as a failure of its candidates"
            logger.warning("the previous process was ended during task \(crash.task) \(crash.description)\(charge)")
        }
        marker.installSignalHandlers()
        wakeup = try Wakeup()
        signals = try SignalWatcher([SIGTERM, SIGINT, SIGUSR1], waking: wakeup)
        engine = EvaluationThread(waking: wakeup, marker: marker)
    }

    /// Works until the run finishes or a signal ends the process.
    ///
    /// - Throws: ``WorkerError`` if the coordinator refuses the worker or the worker cannot continue, `TransportError`
    ///   if the socket fails.
    public func run() throws {
        // What ends here was not ended by its task.
        defer { marker.clear() }
        let context = try SocketContext()
        var socket = try connect(in: context)
        while true {
            if let bytes = try socket.receive(timeout: .milliseconds(200)) {
                let body: CoordinatorMessage.Body
                do {
                    body = try CoordinatorMessage.decode(bytes)
                } catch {
                    throw WorkerError.protocolError("\(error)")
                }
                if case .finish(let finish) = body {
                    logger.notice("finished: \(finish.reason)")
                    return spool.removeIfEmpty()
                }
                try handle(body, &socket)
            }
            socket.processEvents()
            connectionLog.record(socket.connectionState)
            try connectionLog.requireContact(within: options.coordinatorTimeout)
            if socket.needsReplacement, ContinuousClock.now >= nextRegistration {
                // After a failed handshake, the keys may have been corrected.
                socket = try connect(in: context)
                stage = .joining
                nextRegistration = ContinuousClock.now + registrationPause
                registrationPause = min(registrationPause * 2, Self.longestRegistrationPause)
            }
            if options.exitsWithParent, getppid() != parent { throw WorkerError.parentExited }
            for outcome in engine.takeOutcomes() { try report(outcome, &socket) }
            handleSignals()
            if let reason = reasonToLeave() {
                logger.notice("\(reason)")
                engine.cancel()
                var goodbye = Goodbye()
                goodbye.reason = reason
                try send(.goodbye(goodbye), &socket)
                return
            }
            try sendDueMessages(&socket)
        }
    }

    // MARK: - Connection

    private func connect(in context: SocketContext) throws(TransportError) -> WorkerSocket {
        defer { connectionCount += 1 }
        return try WorkerSocket(
            connectingTo: options.coordinator, as: sessionID, in: context, security: options.security,
            attempt: connectionCount, wakeup: wakeup)
    }

    private func send(_ body: WorkerMessage.Body, _ socket: inout WorkerSocket) throws {
        _ = try socket.send(try WorkerMessage.encode(body))
    }

    private func handle(_ body: CoordinatorMessage.Body, _ socket: inout WorkerSocket) throws {
        connectionLog.recordMessage()
        switch body {
        case .welcome(let welcome): try join(welcome, &socket)
        case .refusal(let refusal):
            guard refusal.retry else { throw WorkerError.refused(refusal.reason) }
            connectionLog.record(refusal: refusal.reason, wasJoined: stage != .joining)
            stage = .joining
            nextRegistration = ContinuousClock.now + registrationPause
        case .blobChunk(let chunk): try receive(chunk, &socket)
        case .assignment(let assignment): start(assignment)
        case .wait(let wait):
            if stage == .idle { nextRequest = ContinuousClock.now + .seconds(min(max(wait.retrySeconds, 0.05), 60)) }
        case .cancel(let cancel):
            if let task, task.id == cancel.taskID, task.epoch == cancel.leaseEpoch { engine.cancel() }
        case .acknowledgement(let acknowledgement):
            let key = Spool.Key(task: acknowledgement.taskID, epoch: acknowledgement.leaseEpoch)
            logResult(key, acknowledgement.accepted ? "acknowledged" : "discarded by the coordinator")
            if unacknowledged.removeValue(forKey: key) != nil, let welcome { spool.remove(key, run: welcome.runID) }
        case .finish, .probeReply: break
        }
    }

    /// Sends the registration, requests and heartbeats that are due.
    private func sendDueMessages(_ socket: inout WorkerSocket) throws {
        let now = ContinuousClock.now
        if stage == .joining {
            if now >= nextRegistration { try register(&socket) }
            return
        }
        if let due = nextRequest, now >= due {
            if stage == .idle { try requestTask(&socket) }
            if stage == .fetchingEmbeddings { try requestChunk(&socket) }
        }
        guard now >= nextHeartbeat else { return }
        var heartbeat = Heartbeat()
        if let task {
            heartbeat.taskID = task.id
            let progress = engine.progress
            heartbeat.imagesDone = UInt32(progress.done)
            heartbeat.imagesTotal = UInt32(progress.total)
        }
        var load = [0.0]
        if getloadavg(&load, 1) == 1 { heartbeat.load = load[0] }
        try send(.heartbeat(heartbeat), &socket)
        nextHeartbeat = now + .seconds(min(max(welcome?.heartbeatSeconds ?? 2, 0.1), 60))
    }

    // MARK: - Joining

    private func register(_ socket: inout WorkerSocket) throws {
        var registration = Registration()
        registration.sessionID = Data(sessionID.bytes)
        registration.engineVersion = options.engineVersion
        registration.workerName = options.name
        registration.host = HostAddress.nameOfThisMachine
        registration.cpu = CPU.modelName
        registration.blas = "\(BLAS.version) \(BLAS.coreName)"
        registration.threads = UInt32(options.threads)
        registration.modelHash = modelHash
        registration.imageModelHash = imageModelHash
        registration.scorerHashes = scorers.fingerprints
        registration.engine = Engine.native.rawValue
        registration.precisions = Precision.supported
        if let walltime = options.walltime { registration.walltimeLeftSeconds = walltime.secondsLeft }
        try send(.registration(registration), &socket)
        // Repeated until answered. The jitter spreads the registrations of many workers.
        nextRegistration = ContinuousClock.now + registrationPause * Double.random(in: 0.75...1.25)
        registrationPause = min(registrationPause * 2, Self.longestRegistrationPause)
    }

    private func join(_ welcome: Welcome, _ socket: inout WorkerSocket) throws {
        let own = welcome.hasEmbeddings ? imageModelHash : modelHash
        guard welcome.settings.modelHash == own else {
            throw WorkerError.model(
                "\(options.model): fingerprint is \(own.prefix(12)); expected the run's model with "
                    + "\(welcome.settings.modelHash.prefix(12))")
        }
        connectionLog.recordWelcome()
        registrationPause = Self.shortestRegistrationPause
        nextHeartbeat = ContinuousClock.now
        let isSameRun = self.welcome == welcome
        if !isSameRun {
            (canary, costReport) = (nil, nil)
            unacknowledged = spool.results(of: welcome.runID)
            try reportCrash(in: welcome.runID, &socket)
        }
        // The cost report precedes the results, because the coordinator models their costs with it.
        if let costReport { try send(.costReport(costReport), &socket) }
        self.welcome = welcome
        for bytes in unacknowledged.values { _ = try socket.send(bytes) }
        guard !isSameRun else { return try rejoin(welcome, &socket) }
        logger.info("joined run \(welcome.runID): opening \(options.model)")
        try openModel(welcome, embeddings: nil, &socket)
    }

    /// Continues where the worker was before it lost the coordinator.
    private func rejoin(_ welcome: Welcome, _ socket: inout WorkerSocket) throws {
        if download != nil {
            stage = .fetchingEmbeddings
            return try requestChunk(&socket)
        }
        guard let canary, costReport != nil || !welcome.hasCostImageCount else {
            // The model is still being opened or measured.
            if let canary { try send(.canary(canary), &socket) }
            return stage = .openingModel
        }
        try send(.canary(canary), &socket)
        if task != nil { stage = .evaluating } else { try requestTask(&socket) }
    }

    private func reportCrash(in run: String, _ socket: inout WorkerSocket) throws {
        guard let crash, crash.run == run, crash.isCausedByTask else { return }
        var failure = TaskFailure(
            task: crash.task, epoch: crash.epoch, reason: "the worker was killed \(crash.description) during this task")
        failure.crashed = true
        try send(.taskFailure(failure), &socket)
    }

    /// Opens the model on the evaluation thread, after fetching the prompt embeddings if the run provides them.
    private func openModel(_ welcome: Welcome, embeddings: String?, _ socket: inout WorkerSocket) throws {
        download?.discard()
        download = nil
        if welcome.hasEmbeddings, embeddings == nil {
            download = try BlobDownload(welcome.embeddings)
            stage = .fetchingEmbeddings
            return try requestChunk(&socket)
        }
        stage = .openingModel
        let settings = try EvaluationSettings(welcome, scorers: scorers)
        engine.submit(.open(folder, settings, embeddings: embeddings, referenceStore(welcome)))
    }

    private func referenceStore(_ welcome: Welcome) -> ReferenceStore? {
        guard let folder = options.references else { return nil }
        let embeddings = welcome.hasEmbeddings ? welcome.embeddings.sha256 : Data()
        do {
            return try ReferenceStore(
                folder: folder,
                identity: [options.engineVersion, welcome.settings.modelHash, [UInt8](embeddings).hexadecimal])
        } catch {
            logger.warning("uncached images are not kept for the next start: \(error)")
            return nil
        }
    }

    private func requestChunk(_ socket: inout WorkerSocket) throws {
        guard let download else { return }
        nextRequest = ContinuousClock.now + Self.requestPause
        try send(.blobRequest(download.request), &socket)
    }

    private func receive(_ chunk: BlobChunk, _ socket: inout WorkerSocket) throws {
        guard stage == .fetchingEmbeddings, let welcome, let progress = try download?.receive(chunk) else { return }
        switch progress {
        case .ignored: break
        case .incomplete: try requestChunk(&socket)
        case .finished(let path):
            download = nil
            try openModel(welcome, embeddings: path, &socket)
        }
    }

    // MARK: - Tasks

    private func requestTask(_ socket: inout WorkerSocket) throws {
        stage = .idle
        guard drain == nil else { return nextRequest = nil }
        nextRequest = ContinuousClock.now + Self.requestPause
        var request = TaskRequest()
        if let walltime = options.walltime { request.walltimeLeftSeconds = walltime.secondsLeft }
        try send(.taskRequest(request), &socket)
    }

    /// While registering again, the next task is requested after the welcome.
    private func requestTaskIfJoined(_ socket: inout WorkerSocket) throws {
        if stage != .joining { try requestTask(&socket) }
    }

    private func start(_ assignment: Assignment) {
        // A repeated request can be answered twice; the engine evaluates one task at a time.
        guard task == nil, drain == nil, let run = welcome?.runID else { return }
        task = CurrentTask(id: assignment.taskID, epoch: assignment.leaseEpoch, startedAt: .now)
        stage = .evaluating
        let (id, epoch) = (assignment.taskID, assignment.leaseEpoch)
        engine.submit(.evaluate(run: run, id: id, epoch: epoch) { try .init(assignment, shape: $0) })
    }

    private func report(_ outcome: EvaluationThread.Outcome, _ socket: inout WorkerSocket) throws {
        switch outcome {
        case .opened(let values, let seconds, let warnings):
            for warning in warnings { logger.warning("\(warning)") }
            var canary = Canary()
            canary.values = values
            canary.seconds = seconds
            self.canary = canary
            if stage != .joining { try send(.canary(canary), &socket) }
            guard let welcome, welcome.hasCostImageCount else { return try requestTaskIfJoined(&socket) }
            logger.info("measuring the costs of the model's components")
            engine.submit(.measureCosts(imageCount: Int(min(max(welcome.costImageCount, 1), 1024))))
        case .warning(let text): logger.warning("\(text)")
        case .modelFailed(let reason):
            // Returns the current task, and tells the coordinator why.
            var goodbye = Goodbye()
            goodbye.reason = reason
            try send(.goodbye(goodbye), &socket)
            throw WorkerError.model(reason)
        case .costsMeasured(let costs):
            let report = CostReport(costs)
            costReport = report
            guard stage != .joining else { return }
            try send(.costReport(report), &socket)
            if stage == .openingModel { try requestTask(&socket) }
        case .costMeasurementFailed(let reason):
            throw WorkerError.costMeasurement(reason)
        case .evaluated(let id, let epoch, let output, let seconds):
            task = nil
            let result = try TaskResult(task: id, epoch: epoch, output, seconds: seconds)
            let bytes = try WorkerMessage.encode(.taskResult(result))
            let key = Spool.Key(task: id, epoch: epoch)
            if let welcome { try spool.store(bytes, key, run: welcome.runID) }
            unacknowledged[key] = bytes
            logResult(key, "stored")
            _ = try socket.send(bytes)
            try requestTaskIfJoined(&socket)
        case .cancelled:
            task = nil
            try requestTaskIfJoined(&socket)
        case .evaluationFailed(let id, let epoch, let candidate, let reason):
            task = nil
            logger.warning("task \(id) failed: \(reason)")
            var failure = TaskFailure(task: id, epoch: epoch, reason: reason)
            if let candidate { failure.candidateID = candidate }
            try send(.taskFailure(failure), &socket)
            try requestTaskIfJoined(&socket)
        }
    }

    private func logResult(_ key: Spool.Key, _ event: String) {
        logger.debug("result \(event)", metadata: ["task": "\(key.task)", "lease": "\(key.epoch)"])
    }

    // MARK: - Leaving

    /// Starts to drain on SIGTERM and on Slurm's warning (SIGUSR1); SIGINT or a second signal ends the grace period.
    private func handleSignals() {
        guard signals.arrivalCount > 0 else { return }
        let isImmediate = signals.hasReceived(SIGINT) || signals.arrivalCount > 1
        if drain == nil {
            var grace = options.graceSeconds
            // The warning precedes the end of the job, whose time is known.
            if signals.hasReceived(SIGUSR1), let left = options.walltime?.secondsLeft { grace = max(0, left - 10) }
            if isImmediate { grace = 0 }
            drain = Drain(graceSeconds: grace)
            if let task, grace > 0 {
                logger.notice("shutting down: finishing task \(task.id) if it takes at most \(Int(grace)) s")
            }
        } else if isImmediate, let drain, drain.deadline > .now {
            self.drain = Drain(graceSeconds: 0)
        }
    }

    /// The reason to leave now; nil to stay.
    private func reasonToLeave() -> String? {
        guard let drain else { return nil }
        let now = ContinuousClock.now
        if let task {
            let elapsed = (now - task.startedAt) / .seconds(1)
            let left = secondsLeft(elapsed: elapsed)
            guard now < drain.deadline, left.map({ now + .seconds($0) < drain.deadline }) ?? true else {
                return "shutting down: returning task \(task.id)"
            }
            return nil
        }
        guard unacknowledged.isEmpty || now >= drain.end else { return nil }
        return "shutting down: no task is running"
    }

    /// Estimates the rest of the current task from its progress; nil before its first image.
    private func secondsLeft(elapsed: Double) -> Double? {
        let progress = engine.progress
        guard progress.done > 0, progress.total > 0 else { return nil }
        return elapsed / Double(progress.done) * Double(progress.total - progress.done)
    }
}
