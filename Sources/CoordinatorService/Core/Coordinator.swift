import Foundation
import History
import Messages
import Transport

/// Serves a run to its workers, without sockets: told what arrives and what time it is, it says what to send.
///
/// Who holds which task is decided by ``Dispatcher``, what a result means by ``Calibration``. What is to be sent waits
/// in the outbox until the caller has committed what happened before: nobody hears of what the history may still lose.
final class Coordinator {
    /// What a coordinator goes by.
    struct Settings {
        /// Seconds after which a silent worker is given up.
        var silenceLimit = 15.0
        /// Seconds between the heartbeats of a worker.
        var heartbeatSeconds = 2.0
        /// The release that workers must have.
        var engineVersion = ""
        /// Who may join; nil without keys.
        var register: KeyRegister?
    }

    /// A worker as the socket knows it.
    struct Connection {
        let peer: PeerID
        let name: String
        var countedUntil: Double
        /// True once its canary was found right: before that it gets no task.
        var isTrusted = false
    }

    /// A message to be sent.
    struct Outgoing {
        let peer: PeerID
        let body: CoordinatorMessage.Body
    }

    let served: any ServedRun
    let settings: Settings
    let log: (String) -> Void
    private let clock: () -> Double

    var dispatcher: Dispatcher
    var connections: [Int64: Connection] = [:]
    var workerOfPeer: [PeerID: Int64] = [:]
    var rendering: ContactSheetTask?
    var rechecks: [Int64: Recheck] = [:]
    /// Rechecks that only a third worker can decide.
    var disputes: [Recheck] = []
    var canary: [Float]?
    var refusals = RefusalLog()
    /// True once results came or tasks were given up that the run has not taken account of.
    ///
    /// It does so once for all that arrived together: telling the search costs more than keeping a result.
    var hasNews = false
    private var outbox: [Outgoing] = []
    private var tickedAt = -Double.infinity
    private var sweptAt = -Double.infinity

    /// Images received since the start, for the progress line.
    var imageCount = 0

    /// A coordinator with the run's open tasks in its queue.
    ///
    /// - Parameters:
    ///   - served: The run.
    ///   - settings: What to go by.
    ///   - clock: Seconds of a steady clock.
    ///   - log: Receives one line for everything that a person wants to know.
    /// - Throws: `HistoryError`.
    init(
        served: any ServedRun, settings: Settings, clock: @escaping () -> Double, log: @escaping (String) -> Void
    ) throws {
        self.served = served
        self.settings = settings
        self.clock = clock
        self.log = log
        dispatcher = Dispatcher(silenceLimit: settings.silenceLimit)
        canary = served.keepsCanary ? try served.history.canary(of: served.runID) : nil
        let failed = try served.history.failedWorkers(of: served.runID)
        for task in served.takeNewTasks() {
            dispatcher.add(task.id, units: task.units, failedBy: failed[task.id] ?? [])
        }
    }

    /// Seconds since some moment before the start.
    var now: Double { clock() }

    /// Workers that take part at present.
    var workerCount: Int { dispatcher.workerCount }

    /// Takes the messages to send; what they tell must be committed first.
    func takeOutbox() -> [Outgoing] {
        defer { outbox = [] }
        return outbox
    }

    func send(_ body: CoordinatorMessage.Body, to peer: PeerID) {
        outbox.append(Outgoing(peer: peer, body: body))
    }

    // MARK: - What arrives

    /// Takes a peer's message.
    ///
    /// - Throws: `HistoryError`, ``CoordinatorError``: what a peer says never makes it throw.
    func receive(_ bytes: [UInt8], from peer: PeerID) throws {
        let body: WorkerMessage.Body
        do {
            body = try WorkerMessage.decode(bytes)
        } catch {
            var kind = RefusalLog.Kind.malformedMessage
            if case .protocolVersion = error { kind = .protocolVersion }
            note(kind, "a peer: \(error)")
            return refuse(peer, "\(error)", retry: false)
        }
        try handle(body, from: peer)
    }

    /// Takes a peer's message that has been decoded.
    ///
    /// - Throws: As ``receive(_:from:)``.
    func handle(_ body: WorkerMessage.Body, from peer: PeerID) throws {
        switch body {
        case .registration(let registration): return try register(registration, peer)
        case .probe(let probe): return answer(probe, peer)
        default: break
        }
        guard let worker = workerOfPeer[peer] else {
            return refuse(peer, "this coordinator does not know the worker: register again", retry: true)
        }
        dispatcher.hear(from: worker, at: now)
        switch body {
        case .registration, .probe: break
        case .heartbeat(let heartbeat):
            if heartbeat.hasTaskID {
                dispatcher.progress(
                    of: worker, on: heartbeat.taskID, imagesDone: Int(heartbeat.imagesDone), at: now)
            }
        case .canary(let canary): try check(canary, of: worker, peer)
        case .costReport(let report): try take(report, from: worker, peer)
        case .taskRequest(let request):
            guard connections[worker]?.isTrusted == true else {
                return refuse(peer, "a canary is wanted before the first task: register again", retry: true)
            }
            let left = request.hasWalltimeLeftSeconds ? request.walltimeLeftSeconds : nil
            for lease in dispatcher.free(worker, at: now, secondsLeft: left) { try sendAssignment(of: lease) }
        case .taskResult(let result): try take(result, from: worker, peer)
        case .taskFailure(let failure): try note(failure, from: worker, peer)
        case .blobRequest(let request):
            send(.blobChunk(served.embeddings?.chunk(request) ?? .none(request)), to: peer)
        case .goodbye(let goodbye):
            log("\(name(of: worker)) has left: \(goodbye.reason)")
            try forget(worker, dispatcher.leave(worker), outcome: .returned)
        }
    }

    // MARK: - What time asks for

    /// Gives up the silent and the stuck, counts connected time, notices revoked keys, gives out tasks.
    ///
    /// - Throws: `HistoryError`, ``CoordinatorError``.
    func tick() throws {
        if now - tickedAt >= 0.2 {
            tickedAt = now
            try giveUpTheLost()
        }
        if now - sweptAt >= 1 {
            sweptAt = now
            try breakWithTheRevoked()
            try countConnectedTime()
            try served.history.countRefusals(refusals.take(), of: served.runID)
        }
        try giveOutTasks()
    }

    private func giveUpTheLost() throws {
        for (worker, loss, leases) in dispatcher.expire(at: now) {
            switch loss {
            case .silent:
                log("\(name(of: worker)) has been silent for \(Int(settings.silenceLimit)) s and is given up")
                try forget(worker, leases, outcome: .lost)
            case .stuck:
                for lease in leases {
                    log("\(name(of: worker)) gets no further with task \(lease.task): it goes to another worker")
                    cancel(lease)
                }
                try end(leases, outcome: .expired)
            }
        }
        // A process that was killed has closed its connection: an attempt to send finds out.
        for worker in dispatcher.quiet(for: 3 * settings.heartbeatSeconds, at: now) { ping(worker) }
    }

    /// Sends a worker something harmless: if its connection is gone, the caller will hear of it and say so.
    func ping(_ worker: Int64) {
        guard let peer = connections[worker]?.peer else { return }
        var wait = Wait()
        wait.retrySeconds = 5
        send(.wait(wait), to: peer)
    }

    // MARK: - The end

    /// Asks for the images of the sheet; ``isRendering`` turns false when they are in the history.
    func render(_ rendering: ContactSheetTask) {
        self.rendering = rendering
        dispatcher.add(rendering.taskID, units: rendering.units)
    }

    /// True while the images of the sheet are being made.
    var isRendering: Bool { rendering != nil }

    /// Tells every worker that the run is over.
    func finish(_ reason: String) throws {
        try served.history.countRefusals(refusals.take(), of: served.runID)
        for worker in connections.keys.sorted() {
            guard let connection = connections[worker] else { continue }
            var finish = Finish()
            finish.reason = reason
            send(.finish(finish), to: connection.peer)
            try served.history.addConnectedSeconds(now - connection.countedUntil, to: worker)
        }
        connections = [:]
        workerOfPeer = [:]
    }
}

extension TaskRecord {
    /// The size of the task: images times candidates.
    var units: Double { Double(images.count * candidateIDs.count) }
}
