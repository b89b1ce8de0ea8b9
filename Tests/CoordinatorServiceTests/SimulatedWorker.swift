import Foundation
import Messages
import Transport

/// A worker in virtual time: the protocol's side of `WorkerService.Worker`, without an engine.
struct SimulatedWorker {
    static let engineVersion = "simulated"

    enum Timer {
        case heartbeat, register, request, finish
    }

    enum Action {
        case send(WorkerMessage.Body)
        case wake(Timer, at: Double)
        /// The process ends; a batch system starts another.
        case exit
    }

    private enum Stage {
        case joining, idle, working
    }

    private struct SpoolKey: Hashable {
        let task, epoch: Int64
    }

    let name: String
    private let modelHash: String
    private let scorerHashes: [String]
    let slowness: Double
    /// Whether it returns wrong scores.
    let isFaulty: Bool

    private(set) var life = 0
    private(set) var isUp = false
    private var stage = Stage.joining
    private var hasJoined = false
    private var task: Assignment?
    private var result: Messages.TaskResult?
    private var finishesAt = Double.infinity
    private var requestsAt = Double.infinity
    private var registersAt = Double.infinity
    private var pause = 0.25
    /// Unacknowledged results; on disk, so a crash does not lose them.
    private var spool: [SpoolKey: Messages.TaskResult] = [:]

    init(name: String, modelHash: String, scorerHashes: [String] = [], slowness: Double, isFaulty: Bool) {
        self.name = name
        self.modelHash = modelHash
        self.scorerHashes = scorerHashes
        self.slowness = slowness
        self.isFaulty = isFaulty
    }

    /// Every process has a session of its own.
    var peer: PeerID {
        let bytes = Array("\(name)/\(life)".utf8) + Array(repeating: 0, count: 16)
        return PeerID(bytes: Array(bytes.prefix(16)))
    }

    /// Whether it can start an assignment.
    var isIdle: Bool { hasJoined && task == nil }

    mutating func start() {
        life += 1
        isUp = true
        (stage, hasJoined, task, result, pause) = (.joining, false, nil, nil, 0.25)
        (finishesAt, requestsAt) = (.infinity, .infinity)
    }

    mutating func stop() { isUp = false }

    mutating func register(at now: Double) -> [Action] {
        stage = .joining
        var registration = Registration()
        registration.sessionID = Data(peer.bytes)
        registration.workerName = name
        registration.engineVersion = Self.engineVersion
        registration.modelHash = modelHash
        registration.scorerHashes = scorerHashes
        registration.threads = 1
        registersAt = now + pause
        pause = min(2 * pause, 32)
        return [.send(.registration(registration)), .wake(.register, at: registersAt)]
    }

    mutating func fire(_ timer: Timer, at now: Double) -> [Action] {
        switch timer {
        case .register: return stage == .joining && now >= registersAt ? register(at: now) : []
        case .request: return stage == .idle && now >= requestsAt ? request(at: now) : []
        case .finish:
            guard now >= finishesAt, let result else { return [] }
            spool[SpoolKey(task: result.taskID, epoch: result.leaseEpoch)] = result
            (task, self.result, finishesAt) = (nil, nil, .infinity)
            return [.send(.taskResult(result))] + (stage == .joining ? [] : request(at: now))
        case .heartbeat:
            guard stage != .joining else { return [] }
            var heartbeat = Heartbeat()
            if let task { heartbeat.taskID = task.taskID }
            return [.send(.heartbeat(heartbeat))]
        }
    }

    private mutating func request(at now: Double) -> [Action] {
        stage = .idle
        requestsAt = now + 5
        return [.send(.taskRequest(TaskRequest())), .wake(.request, at: requestsAt)]
    }

    /// Computes an assignment.
    mutating func begin(
        _ assignment: Assignment, result: Messages.TaskResult, seconds: Double, at now: Double
    ) -> [Action] {
        (task, self.result, stage, finishesAt) = (assignment, result, .working, now + seconds)
        return [.wake(.finish, at: finishesAt)]
    }

    mutating func receive(_ body: CoordinatorMessage.Body, at now: Double) -> [Action] {
        switch body {
        case .welcome:
            (pause, hasJoined) = (0.25, true)
            var canary = Canary()
            canary.values = [1, 2, 3]
            let results = spool.sorted { ($0.key.task, $0.key.epoch) < ($1.key.task, $1.key.epoch) }.map {
                Action.send(.taskResult($0.value))
            }
            let joined = results + [.send(.canary(canary))]
            guard task == nil else {
                stage = .working
                return joined
            }
            return joined + request(at: now)
        case .refusal(let refusal):
            guard refusal.retry else {
                isUp = false
                return [.exit]
            }
            guard stage != .joining else { return [] }
            stage = .joining
            registersAt = now + pause
            return [.wake(.register, at: registersAt)]
        case .cancel(let cancel):
            guard let task, task.taskID == cancel.taskID, task.leaseEpoch == cancel.leaseEpoch else { return [] }
            (self.task, result, finishesAt) = (nil, nil, .infinity)
            return stage == .joining ? [] : request(at: now)
        case .acknowledgement(let acknowledgement):
            spool[SpoolKey(task: acknowledgement.taskID, epoch: acknowledgement.leaseEpoch)] = nil
            return []
        case .wait(let wait):
            guard stage == .idle else { return [] }
            requestsAt = now + wait.retrySeconds
            return [.wake(.request, at: requestsAt)]
        case .finish:
            isUp = false
            return [.exit]
        case .assignment, .probeReply, .blobChunk: return []
        }
    }
}
