import Evaluations
import Foundation
import Messages
import ModelConfiguration
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
    let wakeup: Wakeup
    let folder: ModelFolder
    let modelHash, imageModelHash: String
    let scorers: ScorerFolders
    let spool: Spool
    let note: CrashNote
    let crash: CrashNote.Crash?
    let sessionID = PeerID.random()
    let parent = getppid()

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

    var stage = Stage.joining
    var welcome: Welcome?
    var task: TaskInProgress?
    var canary: Canary?
    var costReport: CostReport?
    var unacknowledged: [Spool.Key: [UInt8]] = [:]
    var nextRegistration = ContinuousClock.now
    var registrationPause = Worker.shortestPause
    var nextRequest: ContinuousClock.Instant?
    var download: BlobDownload?
    var nextHeartbeat = ContinuousClock.now
    var announced: LinkState?
    var drain: Drain?

    static let shortestPause = Duration.milliseconds(250)
    static let longestPause = Duration.seconds(32)

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
        note = CrashNote(folder: options.spool)
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
                if try handle(body, &socket) == .finished {
                    note.end()
                    return spool.removeIfEmpty()
                }
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

    @discardableResult
    func send(_ body: WorkerMessage.Body, _ socket: inout WorkerSocket) throws -> Bool {
        try socket.send(try WorkerMessage.encode(body))
    }
}
