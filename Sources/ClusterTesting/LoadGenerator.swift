import Foundation
import Transport

/// Connects many fake workers to a coordinator to measure its throughput.
///
/// All of them share one thread and use the protocol as real workers do, including keys and encryption.
public struct LoadGenerator {
    /// The configuration of the load.
    public struct Options: Sendable {
        /// The coordinator's endpoint.
        public var coordinator: Endpoint
        /// One key file per worker; empty to connect without encryption.
        public var keys: [String]
        /// The number of fake workers.
        public var workerCount: Int
        /// The fingerprint of the run's model.
        public var modelHash: String
        /// The release that the workers report; must equal the coordinator's.
        public var engineVersion: String
        /// The duration of every task.
        public var secondsPerTask: Double

        /// Sets all options.
        public init(
            coordinator: Endpoint, keys: [String], workerCount: Int, modelHash: String, engineVersion: String,
            secondsPerTask: Double
        ) {
            self.coordinator = coordinator
            self.keys = keys
            self.workerCount = workerCount
            self.modelHash = modelHash
            self.engineVersion = engineVersion
            self.secondsPerTask = secondsPerTask
        }
    }

    /// libzmq allows 1,023 sockets per context, and each worker uses three.
    private static let workersPerContext = 250

    private let options: Options
    private let log: (String) -> Void

    /// Prepares a load; `log` receives a line of throughput every five seconds.
    public init(options: Options, log: @escaping (String) -> Void) {
        self.options = options
        self.log = log
    }

    /// Generates load until the run finishes.
    ///
    /// - Throws: `TransportError`, `MessageError`, or an error for a worker that the coordinator refuses.
    public func run() throws {
        _ = try FileDescriptorLimit.raise(forWorkers: 6 * options.workerCount)
        let wakeup = try Wakeup()
        var contexts: [SocketContext] = []
        let workers = try (0..<options.workerCount).map { index in
            if index % Self.workersPerContext == 0 { contexts.append(try SocketContext()) }
            let security: WorkerSecurity =
                options.keys.isEmpty ? .plaintext : WorkerSecurity(try WorkerKeyFile(path: options.keys[index]))
            let socket = try WorkerSocket(
                connectingTo: options.coordinator, as: .random(), in: contexts[index / Self.workersPerContext],
                security: security, wakeup: wakeup)
            return FakeWorker(
                socket: socket, name: "load-\(index)", modelHash: options.modelHash,
                engineVersion: options.engineVersion, secondsPerTask: options.secondsPerTask)
        }
        let clock = ContinuousClock()
        var (loggedAt, loggedCount) = (clock.now, 0)
        while !workers.allSatisfy(\.isFinished) {
            var isIdle = true
            for worker in workers where !worker.isFinished {
                let hasReceived = try worker.receiveMessages()
                let hasSent = try worker.sendDueMessages(now: clock.now)
                if hasReceived || hasSent { isIdle = false }
            }
            if clock.now - loggedAt > .seconds(5) {
                let acknowledged = workers.reduce(0) { $0 + $1.acknowledgedCount }
                let rate = Double(acknowledged - loggedCount) / ((clock.now - loggedAt) / .seconds(1))
                log(
                    "\(workers.count { $0.hasJoined }) workers, \(workers.reduce(0) { $0 + $1.sentCount }) results "
                        + "sent, \(acknowledged) acknowledged, " + String(format: "%.0f per second", rate))
                (loggedAt, loggedCount) = (clock.now, acknowledged)
            }
            if isIdle { usleep(500) }
        }
        let (sent, acknowledged) = (
            workers.reduce(0) { $0 + $1.sentCount }, workers.reduce(0) { $0 + $1.acknowledgedCount }
        )
        log("finished: \(sent) results sent, \(acknowledged) acknowledged")
    }
}
