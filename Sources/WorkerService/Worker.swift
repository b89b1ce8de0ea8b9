import Evaluations
import Foundation
import Messages
import Models
import Schedules
import Tensors
import Transport

/// Joins a coordinator, evaluates what it is given, reports.
///
/// The calling thread does nothing but talk, so heartbeats go out whatever the engine does. A result is kept on disk
/// until the coordinator has acknowledged it, and sent again to a coordinator that came back.
public final class Worker {
    let options: WorkerOptions
    let log: (String) -> Void
    let signals: SignalWatcher
    let engine: EvaluationThread
    private let wakeup: Wakeup
    private let folder: ModelFolder
    private let modelHash, imageModelHash: String
    private let scorers: ScorerFolders
    private let spool: Spool
    private let crash: CrashNote.Crash?
    private let sessionID = PeerID.random()
    private let parent = getppid()

    enum Stage: Equatable {
        case joining
        case fetching
        case opening
        case idle
        case working
    }

    /// The task that the engine is at.
    struct TaskInProgress {
        let id: Int64
        let epoch: Int64
        let startedAt: ContinuousClock.Instant
    }

    private var stage = Stage.joining
    private var welcome: Welcome?
    private(set) var task: TaskInProgress?
    private var canary: Canary?
    private var costReport: CostReport?
    private(set) var unacknowledged: [Spool.Key: [UInt8]] = [:]
    private var nextRegistration = ContinuousClock.now
    private var registrationPause = Worker.shortestPause
    private var nextRequest: ContinuousClock.Instant?
    private var download: BlobDownload?
    private var nextHeartbeat = ContinuousClock.now
    private var announced: LinkState?
    var drain: Drain?

    private static let shortestPause = Duration.milliseconds(250)
    private static let longestPause = Duration.seconds(32)

    /// Opens the model directory and computes its fingerprint.
    ///
    /// - Parameters:
    ///   - options: What to join with what.
    ///   - log: Receives one line for everything that a person wants to know.
    /// - Throws: `ModelsError`, `TransportError`, ``WorkerError``.
    public init(options: WorkerOptions, log: @escaping (String) -> Void) throws {
        self.options = options
        self.log = log
        BLAS.setThreadCount(options.threads)
        folder = try ModelFolder(path: options.model)
        modelHash = try ModelFingerprint.compute(folder: options.model)
        imageModelHash = try ModelFingerprint.compute(folder: options.model, part: .image)
        scorers = try ScorerFolders(named: options.scorers, beside: options.model)
        spool = try Spool(folder: options.spool)
        let note = CrashNote(folder: options.spool)
        crash = note.takeCrash()
        note.watch()
        wakeup = try Wakeup()
        signals = try SignalWatcher([SIGTERM, SIGINT, SIGUSR1], waking: wakeup)
        engine = EvaluationThread(waking: wakeup, note: note)
    }

    /// Works until the run is over or the process is told to end.
    ///
    /// - Throws: ``WorkerError`` if the coordinator refuses the worker, `TransportError` if the socket fails.
    public func run() throws {
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
                if try handle(body, &socket) == .finished { return }
            }
            socket.noteEvents()
            announce(socket.link)
            if socket.needsReplacement, ContinuousClock.now >= nextRegistration {
                // libzmq has given the connection up; somebody may have put the keys right.
                socket = try connect(in: context)
                stage = .joining
                nextRegistration = ContinuousClock.now + registrationPause
                registrationPause = min(registrationPause * 2, Self.longestPause)
            }
            if options.exitsWithParent, getppid() != parent { throw WorkerError.parentGone }
            for outcome in engine.takeOutcomes() { try report(outcome, &socket) }
            noteSignals()
            if let reason = reasonToLeave() {
                log(reason)
                engine.cancel()
                var goodbye = Goodbye()
                goodbye.reason = reason
                try send(.goodbye(goodbye), &socket)
                return
            }
            try keepContact(&socket)
        }
    }

    private func connect(in context: SocketContext) throws(TransportError) -> WorkerSocket {
        try WorkerSocket(
            connectingTo: options.coordinator, as: sessionID, in: context, security: options.security, wakeup: wakeup)
    }

    private enum Continuation {
        case running, finished
    }

    // MARK: - What the coordinator says

    private func handle(_ body: CoordinatorMessage.Body, _ socket: inout WorkerSocket) throws -> Continuation {
        switch body {
        case .welcome(let welcome): try join(welcome, &socket)
        case .refusal(let refusal):
            guard refusal.retry else { throw WorkerError.refused(refusal.reason) }
            if stage != .joining { log("the coordinator asks to register again: \(refusal.reason)") }
            stage = .joining
            nextRegistration = ContinuousClock.now + registrationPause
        case .assignment(let assignment):
            // A request that was repeated may be answered twice; the engine does one task at a time.
            guard task == nil, drain == nil, let run = welcome?.runID else { break }
            task = TaskInProgress(id: assignment.taskID, epoch: assignment.leaseEpoch, startedAt: .now)
            stage = .working
            engine.submit(
                .evaluate(run: run, id: assignment.taskID, epoch: assignment.leaseEpoch) {
                    try EvaluationTask(assignment, shape: $0)
                })
        case .cancel(let cancel):
            if let task, task.id == cancel.taskID, task.epoch == cancel.leaseEpoch { engine.cancel() }
        case .acknowledgement(let acknowledgement):
            let key = Spool.Key(task: acknowledgement.taskID, epoch: acknowledgement.leaseEpoch)
            noteResult(key, acknowledgement.accepted ? "acknowledged" : "was not wanted any more")
            if unacknowledged.removeValue(forKey: key) != nil, let welcome { spool.forget(key, run: welcome.runID) }
        case .wait(let wait):
            if stage == .idle { nextRequest = ContinuousClock.now + .seconds(min(max(wait.retrySeconds, 0.05), 60)) }
        case .probeReply: break
        case .blobChunk(let chunk): try take(chunk, &socket)
        case .finish(let finish):
            log("the run is over: \(finish.reason)")
            return .finished
        }
        return .running
    }

    private func join(_ welcome: Welcome, _ socket: inout WorkerSocket) throws {
        let own = welcome.hasEmbeddings ? imageModelHash : modelHash
        guard welcome.settings.modelHash == own else {
            throw WorkerError.model(
                "\(options.model): this is not the run's model (its fingerprint is \(own.prefix(12)), the run's "
                    + "\(welcome.settings.modelHash.prefix(12)))")
        }
        registrationPause = Self.shortestPause
        nextHeartbeat = ContinuousClock.now
        let isSameRun = self.welcome == welcome
        if !isSameRun {
            (canary, costReport) = (nil, nil)
            unacknowledged = spool.results(of: welcome.runID)
            try reportCrash(in: welcome.runID, &socket)
        }
        // Before the results: the coordinator models their costs by it.
        if let costReport { try send(.costReport(costReport), &socket) }
        self.welcome = welcome
        for bytes in unacknowledged.values { _ = try socket.send(bytes) }
        if isSameRun {
            if download != nil {
                stage = .fetching
                return try requestBlob(&socket)
            }
            guard let canary, costReport != nil || !welcome.hasCostImageCount else {
                // The engine is not ready yet.
                if let canary { try send(.canary(canary), &socket) }
                return stage = .opening
            }
            // The coordinator came back. The result of the task at hand, if there is one, is welcome still.
            try send(.canary(canary), &socket)
            if task != nil { stage = .working } else { try requestTask(&socket) }
            return
        }
        log("joined run \(welcome.runID): opening \(options.model)")
        try open(welcome, embeddings: nil, &socket)
    }

    /// Has the engine open the model, once the prompts' embeddings are here if the run ships them.
    private func open(_ welcome: Welcome, embeddings: String?, _ socket: inout WorkerSocket) throws {
        download?.discard()
        download = nil
        if welcome.hasEmbeddings, embeddings == nil {
            download = try BlobDownload(welcome.embeddings)
            stage = .fetching
            return try requestBlob(&socket)
        }
        stage = .opening
        engine.submit(.open(folder, try EvaluationSettings(welcome, scorers: scorers), embeddings: embeddings))
    }

    private func take(_ chunk: BlobChunk, _ socket: inout WorkerSocket) throws {
        guard stage == .fetching, let welcome, let progress = try download?.take(chunk) else { return }
        switch progress {
        case .nothing: break
        case .wantsMore: try requestBlob(&socket)
        case .finished(let path):
            download = nil
            try open(welcome, embeddings: path, &socket)
        }
    }

    private func requestBlob(_ socket: inout WorkerSocket) throws {
        guard let download else { return }
        // As for tasks: the answer may have been lost with a coordinator.
        nextRequest = ContinuousClock.now + .seconds(5)
        try send(.blobRequest(download.request), &socket)
    }

    private func reportCrash(in run: String, _ socket: inout WorkerSocket) throws {
        guard let crash, crash.run == run else { return }
        var failure = TaskFailure()
        failure.taskID = crash.task
        failure.leaseEpoch = crash.epoch
        failure.reason = "the worker's process died of signal \(crash.signal) at this task"
        failure.crashed = true
        try send(.taskFailure(failure), &socket)
    }

    // MARK: - What the engine says

    private func report(_ outcome: EvaluationThread.Outcome, _ socket: inout WorkerSocket) throws {
        switch outcome {
        case .opened(let values, let seconds):
            var canary = Canary()
            canary.values = values
            canary.seconds = seconds
            self.canary = canary
            if stage != .joining { try send(.canary(canary), &socket) }
            guard let welcome, welcome.hasCostImageCount else { return try requestTaskUnlessJoining(&socket) }
            log("measuring what the model's parts cost")
            engine.submit(.measureCosts(imageCount: Int(min(max(welcome.costImageCount, 1), 1024))))
        case .costsMeasured(let costs):
            var report = CostReport()
            report.table = costs.table.json
            report.uncachedSeconds = costs.uncachedSeconds
            report.fitError = costs.fitError
            costReport = report
            guard stage != .joining else { return }
            try send(.costReport(report), &socket)
            if stage == .opening { try requestTask(&socket) }
        case .openingFailed(let reason):
            throw WorkerError.model(reason)
        case .evaluated(let id, let epoch, let images, let seconds):
            task = nil
            var result = TaskResult()
            result.taskID = id
            result.leaseEpoch = epoch
            result.images = try images.map(ImageMeasurement.init)
            result.taskSeconds = seconds
            result.seal()
            let bytes = try WorkerMessage.encode(.taskResult(result))
            let key = Spool.Key(task: id, epoch: epoch)
            if let welcome { try spool.keep(bytes, key, run: welcome.runID) }
            unacknowledged[key] = bytes
            noteResult(key, "done")
            _ = try socket.send(bytes)
            try requestTaskUnlessJoining(&socket)
        case .cancelled:
            task = nil
            try requestTaskUnlessJoining(&socket)
        case .evaluationFailed(let id, let epoch, let candidate, let reason):
            task = nil
            log("task \(id) failed: \(reason)")
            var failure = TaskFailure()
            failure.taskID = id
            failure.leaseEpoch = epoch
            if let candidate { failure.candidateID = candidate }
            failure.reason = reason
            try send(.taskFailure(failure), &socket)
            try requestTaskUnlessJoining(&socket)
        }
    }

    // MARK: - What time asks for

    private func keepContact(_ socket: inout WorkerSocket) throws {
        let now = ContinuousClock.now
        if stage == .joining {
            if now >= nextRegistration { try register(&socket) }
            return
        }
        if let due = nextRequest, now >= due {
            if stage == .idle { try requestTask(&socket) }
            if stage == .fetching { try requestBlob(&socket) }
        }
        if now >= nextHeartbeat {
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
    }

    /// Tells the log once how the connection stands, whenever that has changed.
    private func announce(_ link: LinkState) {
        guard link != announced else { return }
        defer { announced = link }
        if let problem = link.problem {
            log("waiting for the coordinator at \(options.coordinator): \(problem)")
        } else if link == .connected, announced?.problem != nil {
            log("connected to \(options.coordinator)")
        }
    }

    private func register(_ socket: inout WorkerSocket) throws {
        var registration = Registration()
        registration.sessionID = Data(sessionID.bytes)
        registration.engineVersion = options.engineVersion
        registration.workerName = options.name
        registration.host = ProcessInfo.processInfo.hostName
        registration.cpu = CPU.modelName
        registration.blas = "\(BLAS.version) \(BLAS.coreName)"
        registration.threads = UInt32(options.threads)
        registration.modelHash = modelHash
        registration.imageModelHash = imageModelHash
        registration.scorerHashes = scorers.fingerprints
        if let walltime = options.walltime { registration.walltimeLeftSeconds = walltime.secondsLeft }
        try send(.registration(registration), &socket)
        // No answer: the coordinator is not there yet, or lost the message with its last life. Some chance keeps a
        // thousand workers from asking all at once.
        nextRegistration = ContinuousClock.now + registrationPause * Double.random(in: 0.75...1.25)
        registrationPause = min(registrationPause * 2, Self.longestPause)
    }

    private func requestTaskUnlessJoining(_ socket: inout WorkerSocket) throws {
        if stage != .joining { try requestTask(&socket) }
    }

    private func requestTask(_ socket: inout WorkerSocket) throws {
        stage = .idle
        guard drain == nil else { return nextRequest = nil }
        // An unanswered request is repeated: the answer may have been lost with a coordinator.
        nextRequest = ContinuousClock.now + .seconds(5)
        var request = TaskRequest()
        if let walltime = options.walltime { request.walltimeLeftSeconds = walltime.secondsLeft }
        try send(.taskRequest(request), &socket)
    }

    private func noteResult(_ key: Spool.Key, _ fate: String) {
        if options.isVerbose { log("task \(key.task), lease \(key.epoch): \(fate)") }
    }

    @discardableResult
    private func send(_ body: WorkerMessage.Body, _ socket: inout WorkerSocket) throws -> Bool {
        try socket.send(try WorkerMessage.encode(body))
    }
}
