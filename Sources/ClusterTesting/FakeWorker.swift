import Foundation
import Messages
import Transport

/// A permanent refusal of a fake worker.
struct FakeWorkerRefused: Error, CustomStringConvertible {
    let worker: String
    let reason: String

    var description: String { "\(worker): refused by the coordinator: \(reason)" }
}

/// A worker that speaks the protocol and returns invented results after a fixed time.
///
/// It has no thread: the owner passes received messages and calls ``sendDueMessages(now:)``.
final class FakeWorker {
    private static let heartbeatPause = Duration.seconds(2)
    /// Unanswered requests are repeated, as real workers do.
    private static let requestPause = Duration.seconds(5)

    private var socket: WorkerSocket
    private let registration: Registration
    private let secondsPerTask: Double
    private var task: Assignment?
    private var taskEnd = ContinuousClock.now
    private var nextMessage = ContinuousClock.now
    private var nextRequest = ContinuousClock.now

    private(set) var hasJoined = false
    private(set) var isFinished = false
    private(set) var sentCount = 0
    private(set) var acknowledgedCount = 0

    init(socket: consuming WorkerSocket, name: String, modelHash: String, engineVersion: String, secondsPerTask: Double)
    {
        self.socket = socket
        self.secondsPerTask = secondsPerTask
        var registration = Registration()
        registration.sessionID = Data(repeating: 1, count: Registration.sessionIDByteCount)
        registration.workerName = name
        registration.engineVersion = engineVersion
        registration.host = "load"
        registration.threads = 1
        registration.modelHash = modelHash
        registration.imageModelHash = modelHash
        self.registration = registration
    }

    /// Processes all received messages; false if there were none.
    ///
    /// - Throws: `TransportError`, `MessageError`, ``FakeWorkerRefused``.
    func receiveMessages() throws -> Bool {
        var hasReceived = false
        while let bytes = try socket.receive(timeout: .zero) {
            hasReceived = true
            try handle(CoordinatorMessage.decode(bytes))
        }
        return hasReceived
    }

    /// Sends a finished result, or the heartbeat and requests that are due; true after a result.
    func sendDueMessages(now: ContinuousClock.Instant) throws -> Bool {
        if let task, now >= taskEnd {
            self.task = nil
            sentCount += 1
            try send(.taskResult(Self.result(of: task)))
            try requestTask(now)
            nextMessage = now + Self.heartbeatPause
            return true
        }
        guard now >= nextMessage else { return false }
        nextMessage = now + Self.heartbeatPause
        guard hasJoined else {
            try send(.registration(registration))
            return false
        }
        var heartbeat = Heartbeat()
        if let task { heartbeat.taskID = task.taskID }
        try send(.heartbeat(heartbeat))
        if task == nil, now >= nextRequest { try requestTask(now) }
        return false
    }

    private func handle(_ body: CoordinatorMessage.Body) throws {
        switch body {
        case .welcome:
            hasJoined = true
            var canary = Canary()
            canary.values = [1, 2, 3]
            try send(.canary(canary))
            try requestTask(ContinuousClock.now)
        case .assignment(let assignment):
            task = assignment
            taskEnd = ContinuousClock.now + .seconds(secondsPerTask)
        case .cancel(let cancel): if task?.taskID == cancel.taskID { task = nil }
        case .acknowledgement(let acknowledgement): if acknowledgement.accepted { acknowledgedCount += 1 }
        case .refusal(let refusal):
            guard refusal.retry else {
                throw FakeWorkerRefused(worker: registration.workerName, reason: refusal.reason)
            }
            hasJoined = false
            nextMessage = ContinuousClock.now + .milliseconds(500)
        case .finish: isFinished = true
        case .wait, .probeReply, .blobChunk: break
        }
    }

    private func requestTask(_ now: ContinuousClock.Instant) throws {
        nextRequest = now + Self.requestPause
        try send(.taskRequest(TaskRequest()))
    }

    private func send(_ body: WorkerMessage.Body) throws {
        _ = try socket.send(try WorkerMessage.encode(body))
    }

    /// An invented result that depends only on the candidate, so that rechecks by other fake workers agree.
    private static func result(of assignment: Assignment) -> TaskResult {
        var result = TaskResult(of: assignment, seconds: 1) { candidate, image in
            image.scores = ["psnr": 20 + Double(candidate.genomeHash % 1_000) / 50]
            image.denoiseSeconds = 0.5
            image.referenceSeconds = 1
        }
        result.seal()
        return result
    }
}
