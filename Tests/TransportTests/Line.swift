import Glibc
import Transport

/// Sockets on a free port of this machine, with times short enough for tests.
enum Line {
    static var options: SocketOptions {
        var options = SocketOptions()
        options.maximumMessageBytes = 1 << 20
        options.reconnectInterval = .milliseconds(20)
        options.reconnectIntervalMaximum = .milliseconds(100)
        options.linger = .milliseconds(200)
        return options
    }

    /// Long enough for a busy machine; waits end as soon as what they wait for happens.
    static let patience = Duration.seconds(10)

    static func coordinator(
        at endpoint: String = "tcp://127.0.0.1:*", in context: SocketContext, wakeup: Wakeup? = nil,
        options: SocketOptions = Line.options
    ) throws -> CoordinatorSocket {
        try CoordinatorSocket(
            listeningOn: Endpoint(endpoint), in: context, options: options, wakeup: wakeup ?? Wakeup())
    }

    static func worker(
        to endpoint: Endpoint, as id: PeerID = .random(), in context: SocketContext, wakeup: Wakeup? = nil,
        options: SocketOptions = Line.options
    ) throws -> WorkerSocket {
        try WorkerSocket(
            connectingTo: endpoint, as: id, in: context, options: options, wakeup: wakeup ?? Wakeup())
    }

    /// Repeats `attempt` until it succeeds or patience ends.
    static func eventually(_ attempt: () throws -> Bool) rethrows -> Bool {
        let start = ContinuousClock.now
        while ContinuousClock.now - start < patience {
            if try attempt() { return true }
            usleep(5_000)
        }
        return false
    }
}

extension WorkerSocket {
    /// Sends as soon as there is a connection.
    func sendWhenConnected(_ bytes: [UInt8]) throws -> Bool {
        try Line.eventually { try waitForConnection(timeout: .milliseconds(100)) && send(bytes) }
    }
}
