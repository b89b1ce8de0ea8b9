import Foundation
import Messages
import ModelConfiguration
import Schedules
import Transport

/// Plays many workers at once against a coordinator, with made-up results: what a load test of the coordinator needs.
///
/// All of them share one thread, and speak the protocol as real workers do, keys and encryption included.
public struct LoadGenerator {
    /// What is played.
    public struct Options: Sendable {
        /// Where the coordinator listens.
        public var coordinator: Endpoint
        /// Key files, one for each worker; empty to join without.
        public var keys: [String]
        /// How many workers to play.
        public var workers: Int
        /// The model directory, whose fingerprint the workers state.
        public var model: String
        /// The release that they state.
        public var engineVersion: String
        /// Seconds that every made-up task takes.
        public var secondsPerTask: Double

        /// Options of a load.
        public init(
            coordinator: Endpoint, keys: [String], workers: Int, model: String, engineVersion: String,
            secondsPerTask: Double
        ) {
            self.coordinator = coordinator
            self.keys = keys
            self.workers = workers
            self.model = model
            self.engineVersion = engineVersion
            self.secondsPerTask = secondsPerTask
        }
    }

    /// Sockets that share a context: libzmq allows 1,023, and each worker takes three.
    private static let workersPerContext = 250
    private static let heartbeatPause = Duration.seconds(2)
    /// As real workers do: the answer may have been lost.
    private static let requestPause = Duration.seconds(5)

    /// A worker that exists only on the wire.
    private final class Player {
        var socket: WorkerSocket
        let name: String
        var hasJoined = false
        var task: Assignment?
        var due = ContinuousClock.now
        var nextWord = ContinuousClock.now
        var nextRequest = ContinuousClock.now
        var isFinished = false

        init(socket: consuming WorkerSocket, name: String) {
            self.socket = socket
            self.name = name
        }
    }

    private let options: Options
    private let log: (String) -> Void
    private let modelHash: String

    /// Prepares a load.
    ///
    /// - Throws: An error of Foundation for a model that cannot be read.
    public init(options: Options, log: @escaping (String) -> Void) throws {
        self.options = options
        self.log = log
        modelHash = try ModelFingerprint.compute(folder: options.model)
    }

    /// Plays until the run is over, and says every few seconds how it goes.
    ///
    /// - Throws: `TransportError`, `MessageError`.
    public func run() throws {
        _ = try FileDescriptorLimit.raise(forWorkers: 6 * options.workers)
        let wakeup = try Wakeup()
        var contexts: [SocketContext] = []
        let players = try (0..<options.workers).map { index in
            if index % Self.workersPerContext == 0 { contexts.append(try SocketContext()) }
            let security: WorkerSecurity =
                options.keys.isEmpty ? .plaintext : WorkerSecurity(try WorkerKeyFile(path: options.keys[index]))
            let socket = try WorkerSocket(
                connectingTo: options.coordinator, as: .random(), in: contexts[index / Self.workersPerContext],
                security: security, wakeup: wakeup)
            return Player(socket: socket, name: "load-\(index)")
        }
        let clock = ContinuousClock()
        var (sent, acknowledged, reported) = (0, 0, clock.now)
        var acknowledgedBefore = 0
        while !players.allSatisfy(\.isFinished) {
            var isIdle = true
            for player in players where !player.isFinished {
                while let bytes = try player.socket.receive(timeout: .zero) {
                    isIdle = false
                    if try hear(CoordinatorMessage.decode(bytes), player) { acknowledged += 1 }
                }
                let now = clock.now
                if let task = player.task, now >= player.due {
                    isIdle = false
                    player.task = nil
                    sent += 1
                    _ = try player.socket.send(try WorkerMessage.encode(.taskResult(Self.result(of: task))))
                    try request(player, now)
                    player.nextWord = now + Self.heartbeatPause
                } else if now >= player.nextWord {
                    try speak(player, now)
                }
            }
            if clock.now - reported > .seconds(5) {
                let rate = Double(acknowledged - acknowledgedBefore) / ((clock.now - reported) / .seconds(1))
                log(
                    "\(players.count { $0.hasJoined }) workers, \(sent) results sent, \(acknowledged) acknowledged, "
                        + String(format: "%.0f a second", rate))
                (reported, acknowledgedBefore) = (clock.now, acknowledged)
            }
            if isIdle { usleep(500) }
        }
        log("the run is over: \(sent) results sent, \(acknowledged) acknowledged")
    }

    /// Takes a message; true if it acknowledges a result.
    private func hear(_ body: CoordinatorMessage.Body, _ player: Player) throws -> Bool {
        switch body {
        case .welcome:
            player.hasJoined = true
            var canary = Canary()
            canary.values = [1, 2, 3]
            _ = try player.socket.send(try WorkerMessage.encode(.canary(canary)))
            try request(player, ContinuousClock.now)
        case .assignment(let assignment):
            player.task = assignment
            player.due = ContinuousClock.now + .seconds(options.secondsPerTask)
        case .cancel(let cancel): if player.task?.taskID == cancel.taskID { player.task = nil }
        case .acknowledgement(let acknowledgement): return acknowledgement.accepted
        case .refusal(let refusal):
            guard refusal.retry else { throw WorkerError.refused(refusal.reason) }
            player.hasJoined = false
            player.nextWord = ContinuousClock.now + .milliseconds(500)
        case .finish: player.isFinished = true
        case .wait, .probeReply, .blobChunk: break
        }
        return false
    }

    private func speak(_ player: Player, _ now: ContinuousClock.Instant) throws {
        player.nextWord = now + Self.heartbeatPause
        guard player.hasJoined else {
            var registration = Registration()
            registration.sessionID = Data(repeating: 1, count: Registration.sessionIDByteCount)
            registration.workerName = player.name
            registration.engineVersion = options.engineVersion
            registration.host = "load"
            registration.threads = 1
            registration.modelHash = modelHash
            registration.imageModelHash = modelHash
            _ = try player.socket.send(try WorkerMessage.encode(.registration(registration)))
            return
        }
        var heartbeat = Heartbeat()
        if let task = player.task { heartbeat.taskID = task.taskID }
        _ = try player.socket.send(try WorkerMessage.encode(.heartbeat(heartbeat)))
        if player.task == nil, now >= player.nextRequest { try request(player, now) }
    }

    private func request(_ player: Player, _ now: ContinuousClock.Instant) throws {
        player.nextRequest = now + Self.requestPause
        _ = try player.socket.send(try WorkerMessage.encode(.taskRequest(TaskRequest())))
    }

    /// A made-up result: the same for the same candidate and image, whoever makes it up.
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
