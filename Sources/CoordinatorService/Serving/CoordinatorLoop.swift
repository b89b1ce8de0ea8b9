import History
import Messages
import Transport

/// Connects a ``Coordinator`` to its socket: a loop on one thread.
///
/// Messages that arrived together are handled in one transaction, with one wait for the disk, and answered after it.
struct CoordinatorLoop: ~Copyable {
    /// Maximum number of messages per round, so that a flood does not starve the other work.
    private static let messageLimit = 512

    let coordinator: Coordinator
    private var socket: CoordinatorSocket
    /// The size of the write-ahead log in bytes from which on a reader that holds it is reported.
    private var reportedLogBytes = 256 << 20

    init(coordinator: Coordinator, socket: consuming CoordinatorSocket) {
        self.coordinator = coordinator
        self.socket = socket
    }

    /// Waits up to 200 ms for messages, then handles all that have arrived.
    ///
    /// - Throws: `HistoryError`, `TransportError`, ``CoordinatorError``; no answer has been sent to a message whose
    ///   transaction was not committed.
    mutating func runOnce() throws {
        var arrived: [(peer: PeerID, bytes: [UInt8])] = []
        var wait = Duration.milliseconds(200)
        while arrived.count < Self.messageLimit, let message = try socket.receive(timeout: wait) {
            arrived.append(message)
            wait = .zero
        }
        coordinator.countRefusals(socket.takeRefusals())
        let generation = coordinator.run.generation
        let coordinator = coordinator
        try coordinator.run.history.transaction {
            for (peer, bytes) in arrived { try coordinator.receive(bytes, from: peer) }
            try coordinator.tick()
        }
        try sendAll()
        // Few messages are due between generations: time to write the log back into the database.
        let history = coordinator.run.history
        if generation != coordinator.run.generation || history.walBytes > reportedLogBytes { try writeLogBack() }
    }

    /// A reader that keeps a transaction open keeps the log from being written back: it grows with every result.
    private mutating func writeLogBack() throws {
        let history = coordinator.run.history
        guard try !history.checkpoint(), history.walBytes > reportedLogBytes else { return }
        let readers = history.readers
        let reader = readers.isEmpty ? "a program that reads the history" : readers.joined(separator: ", ")
        coordinator.log(
            nil, "\(history.file)-wal has \(history.walBytes >> 20) MiB: \(reader) keeps a transaction open")
        reportedLogBytes = 2 * history.walBytes
    }

    /// Tells every worker that the run is over.
    ///
    /// - Throws: `HistoryError`, `TransportError`.
    mutating func finish(_ reason: String) throws {
        try coordinator.finish(reason)
        try sendAll()
    }

    private mutating func sendAll() throws {
        for message in coordinator.takeOutbox() {
            // False if the peer is gone or does not read.
            let isSent = try socket.send(try CoordinatorMessage.encode(message.body), to: message.peer)
            if !isSent { coordinator.markLost(message.peer) }
        }
    }
}
