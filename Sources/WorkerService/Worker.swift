import Evaluations
import Foundation
import Messages
import Models
import Schedules
import Tensors
import Transport

/// What a worker is started with.
public struct WorkerOptions: Sendable {
    /// Where the coordinator listens.
    public var coordinator: Endpoint
    /// The model directory.
    public var model: String
    /// What the worker is called in reports.
    public var name: String
    /// Threads of the matrix products.
    public var threads: Int
    /// True if the worker ends with the process that started it.
    public var exitsWithParent: Bool
    /// The release of the program, for the history.
    public var engineVersion: String

    /// Options of a worker.
    public init(
        coordinator: Endpoint, model: String, name: String, threads: Int, exitsWithParent: Bool, engineVersion: String
    ) {
        self.coordinator = coordinator
        self.model = model
        self.name = name
        self.threads = threads
        self.exitsWithParent = exitsWithParent
        self.engineVersion = engineVersion
    }
}

/// Joins a coordinator, evaluates what it is given, reports.
///
/// The calling thread does nothing but talk, so heartbeats go out whatever the engine does. A result is kept until the
/// coordinator has acknowledged it, and sent again to a coordinator that came back.
public final class Worker {
    private let options: WorkerOptions
    private let log: (String) -> Void
    private let wakeup: Wakeup
    private let signals: SignalWatcher
    private let engine: EvaluationThread
    private let folder: ModelFolder
    private let modelHash, imageModelHash: String
    private let sessionID = PeerID.random()
    private let parent = getppid()

    private enum Stage: Equatable {
        case joining
        case fetching
        case opening
        case idle
        case working(task: Int64)
    }

    private var stage = Stage.joining
    private var welcome: Welcome?
    private var taskInProgress: Int64?
    private var unacknowledged: [Int64: [UInt8]] = [:]
    private var costReport: CostReport?
    private var nextRegistration = ContinuousClock.now
    private var registrationPause = Duration.seconds(1)
    private var nextRequest: ContinuousClock.Instant?
    private var download: BlobDownload?
    private var nextHeartbeat = ContinuousClock.now
    private var hasAnnouncedWaiting = false

    /// Opens the model directory and computes its fingerprint.
    ///
    /// - Parameters:
    ///   - options: What to join with what.
    ///   - log: Receives one line for everything that a person wants to know.
    /// - Throws: `ModelsError`, `TransportError`.
    public init(options: WorkerOptions, log: @escaping (String) -> Void) throws {
        self.options = options
        self.log = log
        BLAS.setThreadCount(options.threads)
        folder = try ModelFolder(path: options.model)
        modelHash = try ModelFingerprint.compute(folder: options.model)
        imageModelHash = try ModelFingerprint.compute(folder: options.model, part: .image)
        wakeup = try Wakeup()
        signals = try SignalWatcher(waking: wakeup)
        engine = EvaluationThread(waking: wakeup)
    }

    /// Works until the run is over or the process is told to end.
    ///
    /// - Throws: ``WorkerError`` if the coordinator refuses the worker, `TransportError` if the socket fails.
    public func run() throws {
        let context = try SocketContext()
        var socket = try WorkerSocket(connectingTo: options.coordinator, as: sessionID, in: context, wakeup: wakeup)
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
            if signals.arrivalCount > 0 {
                log("asked to end: handing back what is unfinished")
                engine.cancel()
                var goodbye = Goodbye()
                goodbye.reason = "the worker was asked to end"
                try send(.goodbye(goodbye), &socket)
                return
            }
            if options.exitsWithParent, getppid() != parent { throw WorkerError.parentGone }
            for outcome in engine.takeOutcomes() { try report(outcome, &socket) }
            try keepContact(&socket)
        }
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
            guard taskInProgress == nil else { break }
            taskInProgress = assignment.taskID
            stage = .working(task: assignment.taskID)
            engine.submit(
                .evaluate(id: assignment.taskID, epoch: assignment.leaseEpoch) {
                    try EvaluationTask(assignment, shape: $0)
                })
        case .acknowledgement(let acknowledgement):
            unacknowledged[acknowledgement.taskID] = nil
        case .wait(let wait):
            if stage == .idle { nextRequest = ContinuousClock.now + .seconds(min(max(wait.retrySeconds, 0.05), 60)) }
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
        registrationPause = .seconds(1)
        nextHeartbeat = ContinuousClock.now
        let isSameRun = self.welcome == welcome
        if !isSameRun { costReport = nil }
        // Before the results: the coordinator models their costs by it.
        if let costReport { try send(.costReport(costReport), &socket) }
        for bytes in unacknowledged.values { _ = try socket.send(bytes) }
        self.welcome = welcome
        if isSameRun {
            // The coordinator came back. The result of the task at hand, if there is one, is welcome still.
            if download != nil {
                stage = .fetching
                try requestBlob(&socket)
            } else if let taskInProgress {
                stage = .working(task: taskInProgress)
            } else {
                try requestTask(&socket)
            }
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
        engine.submit(.open(folder, try EvaluationSettings(welcome), embeddings: embeddings))
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

    // MARK: - What the engine says

    private func report(_ outcome: EvaluationThread.Outcome, _ socket: inout WorkerSocket) throws {
        switch outcome {
        case .opened:
            guard let welcome, welcome.hasCostImageCount else { return try requestTask(&socket) }
            log("measuring what the model's parts cost")
            engine.submit(.measureCosts(imageCount: Int(min(max(welcome.costImageCount, 1), 1024))))
        case .costsMeasured(let costs):
            var report = CostReport()
            report.table = costs.table.json
            report.uncachedSeconds = costs.uncachedSeconds
            report.fitError = costs.fitError
            costReport = report
            try send(.costReport(report), &socket)
            if stage == .opening { try requestTask(&socket) }
        case .openingFailed(let reason):
            throw WorkerError.model(reason)
        case .evaluated(let id, let epoch, let images, let seconds):
            taskInProgress = nil
            var result = TaskResult()
            result.taskID = id
            result.leaseEpoch = epoch
            result.images = try images.map(ImageMeasurement.init)
            result.taskSeconds = seconds
            result.seal()
            let bytes = try WorkerMessage.encode(.taskResult(result))
            unacknowledged[id] = bytes
            _ = try socket.send(bytes)
            try requestTaskUnlessJoining(&socket)
        case .evaluationFailed(let id, let epoch, let candidate, let reason):
            taskInProgress = nil
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
            if case .working(let task) = stage {
                heartbeat.taskID = task
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
        if try send(.registration(registration), &socket) {
            hasAnnouncedWaiting = false
        } else if !hasAnnouncedWaiting {
            log("waiting for the coordinator at \(options.coordinator)")
            hasAnnouncedWaiting = true
        }
        // No answer: the coordinator is not there yet, or lost the message with its last life.
        nextRegistration = ContinuousClock.now + registrationPause
        registrationPause = min(registrationPause * 2, .seconds(32))
    }

    private func requestTaskUnlessJoining(_ socket: inout WorkerSocket) throws {
        if stage != .joining { try requestTask(&socket) }
    }

    private func requestTask(_ socket: inout WorkerSocket) throws {
        stage = .idle
        // An unanswered request is repeated: the answer may have been lost with a coordinator.
        nextRequest = ContinuousClock.now + .seconds(5)
        try send(.taskRequest(TaskRequest()), &socket)
    }

    @discardableResult
    private func send(_ body: WorkerMessage.Body, _ socket: inout WorkerSocket) throws -> Bool {
        try socket.send(try WorkerMessage.encode(body))
    }
}
