import Messages
import TestSupport
import Testing

/// Damaged messages are decoded or rejected, and decoded ones can be encoded again, without a crash.
@Suite struct MessageFuzzTests {
    @Test func damagedMessagesAreDecodedOrRejected() throws {
        var mutations = Mutations(seed: 7)
        let worker = try Samples.fromWorker.map { body throws(MessageError) in try WorkerMessage.encode(body) }
        let coordinator = try Samples.fromCoordinator.map { body throws(MessageError) in
            try CoordinatorMessage.encode(body)
        }
        let count = Mutations.count(otherwise: 20_000)
        var rejected = 0
        for round in 0..<count {
            do {
                if round.isMultiple(of: 2) {
                    _ = try WorkerMessage.encode(WorkerMessage.decode(mutations.mutated(worker)))
                } else {
                    _ = try CoordinatorMessage.encode(CoordinatorMessage.decode(mutations.mutated(coordinator)))
                }
            } catch {
                rejected += 1
            }
        }
        #expect(rejected > count / 2, "\(rejected) of \(count) rejected")
    }
}
