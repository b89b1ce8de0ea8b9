import Messages
import TestSupport
import Testing

/// Damaged messages are read or refused, and what is read can be written again: no crash, no hang.
@Suite struct MessageFuzzTests {
    @Test func damagedMessagesEndInAValueOrAnError() throws {
        var mutations = Mutations(seed: 7)
        let worker = try Samples.fromWorker.map { body throws(MessageError) in try WorkerMessage.encode(body) }
        let coordinator = try Samples.fromCoordinator.map { body throws(MessageError) in
            try CoordinatorMessage.encode(body)
        }
        let count = Mutations.count(otherwise: 20_000)
        var refused = 0
        for round in 0..<count {
            do {
                if round.isMultiple(of: 2) {
                    _ = try WorkerMessage.encode(WorkerMessage.decode(mutations.mutated(worker)))
                } else {
                    _ = try CoordinatorMessage.encode(CoordinatorMessage.decode(mutations.mutated(coordinator)))
                }
            } catch {
                refused += 1
            }
        }
        #expect(refused > count / 2, "\(refused) of \(count) refused")
    }
}
