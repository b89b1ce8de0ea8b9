import Logging
import Transport

/// Logs why a worker waits for its coordinator: each reason once, and again every few minutes while it lasts.
struct ConnectionLog {
    private static let reminderPause = Duration.seconds(300)

    private let endpoint: Endpoint
    private let logger: Logger
    private var reason: String?
    private var loggedAt = ContinuousClock.now
    private var heardAt = ContinuousClock.now

    init(_ endpoint: Endpoint, logger: Logger) {
        self.endpoint = endpoint
        self.logger = logger
    }

    /// Records the state of the connection.
    mutating func record(_ state: ConnectionState) {
        if let problem = state.problem {
            wait(for: "waiting for the coordinator at \(endpoint): \(problem)")
        } else if state == .connected, reason?.hasPrefix("waiting") == true {
            logger.info("connected to \(endpoint)")
            reason = nil
        }
    }

    /// Records that the coordinator asked to register again.
    ///
    /// - Parameters:
    ///   - refusal: The coordinator's reason.
    ///   - wasJoined: Whether the worker was part of the run until now.
    mutating func record(refusal: String, wasJoined: Bool) {
        heardAt = .now
        if wasJoined {
            logger.info("registering again: \(refusal)")
            (reason, loggedAt) = (refusal, .now)
        } else {
            wait(for: refusal) { "the coordinator does not admit this worker, which tries again: \($0)" }
        }
    }

    /// Records any other message of the coordinator.
    mutating func recordMessage() { heardAt = .now }

    /// Records that the worker has joined.
    mutating func recordWelcome() { reason = nil }

    /// Gives up without contact for too long.
    ///
    /// - Throws: ``WorkerError/noContact(_:)``.
    func requireContact(within seconds: Double?) throws(WorkerError) {
        guard let seconds, ContinuousClock.now - heardAt > .seconds(seconds) else { return }
        throw .noContact("no message from \(endpoint) for \(seconds) s; \(reason ?? "the connection is open")")
    }

    private mutating func wait(for reason: String, line: (String) -> String = { $0 }) {
        let isNew = reason != self.reason
        guard isNew || ContinuousClock.now - loggedAt >= Self.reminderPause else { return }
        logger.warning("\(isNew ? "" : "still ")\(line(reason))")
        (self.reason, loggedAt) = (reason, .now)
    }
}
