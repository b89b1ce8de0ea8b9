import History
import Messages
import Transport

/// Where a ``Coordinator`` meets its socket: one loop on one thread.
///
/// Everything that arrived together is committed together, with one wait for the disk, and only then answered.
struct CoordinatorLoop: ~Copyable {
    /// Messages of one turn, so that a flood does not keep the rest from happening.
    private static let messageLimit = 512

    let coordinator: Coordinator
    private var socket: CoordinatorSocket
    private var unreachable: [PeerID] = []

    init(coordinator: Coordinator, socket: consuming CoordinatorSocket) {
        self.coordinator = coordinator
        self.socket = socket
    }

    /// Waits for messages for up to a fifth of a second, then takes, commits and answers all that are there.
    ///
    /// - Throws: `HistoryError`, `TransportError`, ``CoordinatorError``; what had not been committed has not been
    ///   answered either.
    mutating func turn() throws {
        var arrived: [(peer: PeerID, bytes: [UInt8])] = []
        var wait = Duration.milliseconds(200)
        while arrived.count < Self.messageLimit, let message = try socket.receive(timeout: wait) {
            arrived.append(message)
            wait = .zero
        }
        coordinator.note(socket.takeRefusals())
        let generation = coordinator.served.generation
        let gone = unreachable
        unreachable = []
        let coordinator = coordinator
        try coordinator.served.history.transaction {
            for peer in gone { try coordinator.lost(peer) }
            for (peer, bytes) in arrived { try coordinator.receive(bytes, from: peer) }
            try coordinator.tick()
        }
        try sendAll()
        // Between generations little is due: time to empty the log into the database.
        if generation != coordinator.served.generation { try coordinator.served.history.checkpoint() }
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
            // False means that the peer is gone or does not read.
            if try !socket.send(try CoordinatorMessage.encode(message.body), to: message.peer) {
                unreachable.append(message.peer)
            }
        }
    }
}
