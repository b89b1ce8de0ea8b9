import Foundation
import History
import Messages
import TestSupport
import Testing
import Transport

@testable import CoordinatorService

/// The coordinator's answers and what it stores, without sockets.
@Suite struct CoordinatorTests {
    private let cluster: FakeCluster

    init() throws { cluster = try FakeCluster() }

    @Test func firstValidResultIsAcceptedAndLaterOnesAreNot() throws {
        let (a, b) = ("a", "b")
        try cluster.join(a)
        let task = try #require(try cluster.request(a))
        cluster.clock.now += 16
        try cluster.tick()
        #expect(cluster.coordinator.workerCount == 0, "a was silent and is lost")
        try cluster.join(b)
        let again = try #require(try cluster.request(b))
        #expect(again.taskID == task.taskID && again.leaseEpoch == task.leaseEpoch + 1)
        // The first worker comes back with its result: it is the first valid one.
        try cluster.join(a)
        #expect(try cluster.deliver(task, by: a) == [true])
        #expect(try cluster.deliver(again, by: b) == [false])
        #expect(try cluster.deliver(task, by: a) == [false], "sent again")
        #expect(try cluster.integer("SELECT count(*) FROM image_timings WHERE task_id = \(task.taskID)") == 6)
        #expect(try cluster.integer("SELECT count(*) FROM tasks WHERE failures > 0") == 0, "a loss is not a failure")
    }

    @Test func resultUnderAnUnknownLeaseIsRejectedAndCounted() throws {
        try cluster.join("a")
        try cluster.join("b")
        let task = try #require(try cluster.request("a"))
        var forged = task
        forged.leaseEpoch = 7
        #expect(try cluster.deliver(forged, by: "a") == [false])
        #expect(try cluster.deliver(task, by: "b") == [false], "it is leased to a")
        #expect(try cluster.integer("SELECT count(*) FROM image_scores") == 0)
        cluster.clock.now += 2
        try cluster.tick()
        #expect(try cluster.integer("SELECT count FROM refusals WHERE reason = 'unknown-lease'") == 2)
        #expect(try cluster.deliver(task, by: "a") == [true])
    }

    @Test func goodbyeRequeuesTheTaskAtOnce() throws {
        try cluster.join("a")
        try cluster.join("b")
        let task = try #require(try cluster.request("a"))
        try cluster.send(.goodbye(Goodbye()), by: "a")
        #expect(try cluster.request("b")?.taskID == task.taskID)
        #expect(try cluster.integer("SELECT count(*) FROM leases WHERE outcome = 'returned'") == 1)
    }

    @Test func repeatedRequestIsAnsweredWithTheSameLease() throws {
        try cluster.join("a")
        let task = try #require(try cluster.request("a"))
        let again = try #require(try cluster.request("a"))
        #expect(again == task)
        #expect(try cluster.integer("SELECT count(*) FROM leases") == 1)
        #expect(try cluster.deliver(task, by: "a") == [true])
        #expect(try cluster.request("a")?.taskID != task.taskID)
    }

    @Test func candidateThatThreeWorkersFailAtIsSetAsideAlone() throws {
        let names = ["a", "b", "c", "d"]
        for name in names { try cluster.join(name) }
        let first = try #require(try cluster.request("a"))
        #expect(first.candidates.count > 1)
        let bad = first.candidates[0].candidateID
        // The workers that failed at the bad candidate, by shard.
        var failures: [UInt32: Set<String>] = [:]
        func fail(_ task: Assignment, by name: String) throws {
            let shard = task.items[0].promptIndex
            #expect(task.candidates.count == 1 || failures[shard] == nil, "the task was split")
            #expect(failures[shard, default: []].insert(name).inserted, "\(name) has failed at it before")
            try cluster.fail(task, candidate: bad, by: name)
        }
        try fail(first, by: "a")
        // Every worker fails at the bad candidate and completes the rest.
        for round in 0..<200 where !cluster.calibration.isFinished {
            let name = names[round % names.count]
            guard let task = try cluster.request(name) else { continue }
            if task.candidates.contains(where: { $0.candidateID == bad }) {
                try fail(task, by: name)
            } else {
                _ = try cluster.deliver(task, by: name)
            }
        }
        #expect(cluster.calibration.isFinished)
        #expect(failures.values.map(\.count).max() == 3)
        #expect(
            try cluster.integer("SELECT count(*) FROM events WHERE kind = 'set-aside' AND text LIKE '%not finite%'")
                > 0)
        #expect(try cluster.integer("SELECT count(*) FROM evaluations WHERE candidate_id = \(bad)") == 0)
        #expect(
            try cluster.integer("SELECT count(*) FROM evaluations")
                == cluster.integer("SELECT count(*) - 1 FROM candidates"))
    }

    @Test func crashCountsAsOneFailureAndALossAsNone() throws {
        let task = try cluster.joinAndRequest("a")
        cluster.clock.now += 16
        try cluster.tick()
        #expect(try cluster.integer("SELECT sum(failures) FROM tasks") == 0, "the machine may have failed")
        // Its successor reports the crash.
        try cluster.join("a")
        var failure = TaskFailure()
        failure.taskID = task.taskID
        failure.leaseEpoch = task.leaseEpoch
        failure.reason = "signal 11"
        failure.crashed = true
        for _ in 0..<2 { try cluster.send(.taskFailure(failure), by: "a") }
        #expect(try cluster.integer("SELECT sum(failures) FROM tasks") == 1)
        #expect(try cluster.integer("SELECT count(*) FROM leases WHERE outcome = 'failed'") == 1)
        #expect(
            try cluster.integer("SELECT count(*) FROM tasks WHERE failure LIKE 'split%'") == 1,
            "one task for each candidate")
    }

    @Test func wrongCanariesAreRejectedAndCounted() throws {
        try cluster.join("good", canary: [1, 2, 3])
        try cluster.join("near", canary: [1.001, 2, 3])
        for (name, canary) in [("wrong", [1, 2, 4]), ("nan", [1, .nan, 3]), ("short", [1, 2])] as [(String, [Float])] {
            let answers = try cluster.join(name, canary: canary)
            guard case .refusal(let refusal) = answers.last else {
                Issue.record("\(name) was not refused")
                continue
            }
            #expect(refusal.reason.contains("canary") && !refusal.retry)
            #expect(try cluster.request(name) == nil)
        }
        #expect(try cluster.request("good") != nil)
        #expect(try cluster.request("near") != nil)
        cluster.clock.now += 2
        try cluster.tick()
        #expect(try cluster.integer("SELECT count FROM refusals WHERE reason = 'canary'") == 3)
    }

    @Test func workerWithoutCanaryGetsNoTask() throws {
        try cluster.register("a")
        #expect(try cluster.request("a") == nil)
        #expect(try cluster.integer("SELECT count(*) FROM leases") == 0)
    }

    @Test func workersWithoutTheRunsPrecisionAreRejected() throws {
        let cluster = try FakeCluster(precision: "bfloat16")
        guard case .refusal(let refusal) = try cluster.register("old").last else {
            Issue.record("not refused")
            return
        }
        #expect(!refusal.retry && refusal.reason.contains("model.precision is bfloat16"))
        guard
            case .welcome(let welcome) = try cluster.register("new", { $0.precisions = ["float32", "bfloat16"] }).last
        else {
            Issue.record("not welcome")
            return
        }
        #expect(welcome.settings.precision == "bfloat16")
    }

    @Test(arguments: [("native", "torch", "join with ecad-worker run"), ("torch", "", "join with ecad-torch-worker")])
    func workersOfAnotherEngineAreRejected(own: String, other: String, remedy: String) throws {
        let cluster = try FakeCluster(engine: own)
        guard case .refusal(let refusal) = try cluster.register("w", { $0.engine = other }).last else {
            Issue.record("not refused")
            return
        }
        #expect(!refusal.retry && refusal.reason.contains("model.engine is \(own)") && refusal.reason.contains(remedy))
        var probe = Probe()
        (probe.engineVersion, probe.engine) = ("test", other)
        guard case .refusal(let answer) = try cluster.send(.probe(probe), by: "doctor").last else {
            Issue.record("the probe is not refused")
            return
        }
        #expect(answer.reason == refusal.reason)
        probe.engine = own
        guard case .probeReply(let reply) = try cluster.send(.probe(probe), by: "doctor").last else {
            Issue.record("no reply")
            return
        }
        #expect(reply.engine == own && reply.precision == "float32")
    }

    @Test func torchWorkersOfferTheirPrecisions() throws {
        let cluster = try FakeCluster(engine: "torch", precision: "bfloat16")
        let answers = try cluster.register("w") { ($0.engine, $0.precisions) = ("torch", ["float32"]) }
        guard case .refusal(let refusal) = answers.last else {
            Issue.record("not refused")
            return
        }
        #expect(refusal.reason.hasSuffix("the worker computes in float32: start it with --dtype bfloat16"))
        guard
            case .welcome(let welcome) = try cluster.register(
                "w", { ($0.engine, $0.precisions, $0.deviceClass) = ("torch", ["bfloat16"], "GPU A") }
            ).last
        else {
            Issue.record("not welcome")
            return
        }
        #expect(welcome.settings.engine == "torch" && welcome.settings.precision == "bfloat16")
        let rows = try cluster.calibration.history.query("SELECT engine, device_class FROM workers").rows
        #expect(rows == [[.text("torch"), .text("GPU A")]])
        let sets = try cluster.calibration.history.query("SELECT name, engine, precision FROM evaluation_sets").rows
        #expect(sets == [[.text("calibration"), .text("torch"), .text("bfloat16")]])
    }

    /// Canaries of PyTorch in bfloat16 differ between sound devices by more than those in float32 may.
    @Test(arguments: [("float32", false), ("bfloat16", true)])
    func canaryToleranceFollowsFromEngineAndPrecision(precision: String, isAccepted: Bool) throws {
        let cluster = try FakeCluster(engine: "torch", precision: precision)
        for (name, scale) in [("first", Float(1)), ("second", 1.05)] {
            try cluster.register(name) { ($0.engine, $0.precisions) = ("torch", [precision]) }
            var canary = Canary()
            canary.values = [scale, 2 * scale, 3 * scale]
            let answers = try cluster.send(.canary(canary), by: name)
            if case .refusal(let refusal) = answers.first {
                #expect(name == "second" && !isAccepted && refusal.reason.contains("(torch, \(precision))"))
            } else {
                #expect(name == "first" || isAccepted)
            }
        }
        #expect(cluster.coordinator.workerCount == (isAccepted ? 2 : 1))
    }

    @Test func workersOfAnotherDeviceClassAreNamedWhereLatencyIsMeasured() throws {
        let cluster = try FakeCluster(engine: "torch", cost: "measured")
        func join(_ name: String, _ device: String) throws {
            try cluster.register(name) { ($0.engine, $0.deviceClass) = ("torch", device) }
            var canary = Canary()
            canary.values = [1, 2, 3]
            try cluster.send(.canary(canary), by: name)
        }
        try join("a", "GPU A")
        let work = try #require(try cluster.request("a"))
        _ = try cluster.deliver(work, by: "a")
        try join("b", "GPU A")
        try join("c", "GPU C")
        let events = try cluster.calibration.history.query("SELECT text FROM events WHERE kind = 'device-class'").rows
        #expect(
            events == [[.text("c: it is a GPU C; latencies of this run are compared with those of a GPU A")]])
    }

    /// A worker that has not registered since then has the spelling of an earlier release.
    @Test func oneThreadIsTheDeviceClassOfAnEarlierRelease() throws {
        let cluster = try FakeCluster(cost: "measured")
        let cpu = "Model 3, OpenBLAS"
        try cluster.register("a") { $0.deviceClass = "\(cpu), 1 threads" }
        var canary = Canary()
        canary.values = [1, 2, 3]
        try cluster.send(.canary(canary), by: "a")
        _ = try cluster.deliver(try #require(try cluster.request("a")), by: "a")
        try cluster.register("b") { ($0.cpu, $0.blas, $0.threads) = ("Model 3", "OpenBLAS", 1) }
        #expect(try cluster.integer("SELECT count(*) FROM workers WHERE device_class = '\(cpu), 1 thread'") == 1)
        #expect(try cluster.integer("SELECT count(*) FROM events WHERE kind = 'device-class'") == 0)
        try cluster.register("c") { ($0.cpu, $0.blas, $0.threads) = ("Model 3", "OpenBLAS", 11) }
        #expect(try cluster.integer("SELECT count(*) FROM events WHERE kind = 'device-class'") == 1)
    }

    @Test func otherReleasesAndModelsAreRejected() throws {
        try cluster.join("good")
        for change: (inout Registration) -> Void in [{ $0.engineVersion = "0.0.1" }, { $0.modelHash = "ff" }] {
            let answers = try cluster.register("other", change)
            guard case .refusal(let refusal) = answers.last else {
                Issue.record("not refused")
                continue
            }
            #expect(!refusal.retry)
        }
        #expect(cluster.coordinator.workerCount == 1)
    }

    @Test func secondProcessOfTheSameNameIsRejected() throws {
        try cluster.join("a")
        let answers = try cluster.register("a", peer: PeerID(bytes: [9]))
        guard case .refusal(let refusal) = answers.last else {
            Issue.record("not refused")
            return
        }
        #expect(refusal.retry, "the first process may be dead")
        cluster.coordinator.markLost(PeerID(bytes: Array("a".utf8)))
        guard case .welcome = try cluster.register("a", peer: PeerID(bytes: [9])).last else {
            Issue.record("the successor was refused")
            return
        }
    }

    /// An answer to a worker that has just ended fails before its goodbye, which is in the queue, has been read.
    @Test func lastMessagesOfALostWorkerAreHandledFirst() throws {
        let outcome = "SELECT group_concat(outcome) FROM leases WHERE ended_at IS NOT NULL"
        let task = try cluster.joinAndRequest("a")
        cluster.coordinator.markLost(PeerID(bytes: Array("a".utf8)))
        #expect(try cluster.deliver(task, by: "a") == [true])
        #expect(cluster.coordinator.workerCount == 0)
        #expect(try cluster.text(outcome) == "done")

        _ = try cluster.joinAndRequest("b")
        cluster.coordinator.markLost(PeerID(bytes: Array("b".utf8)))
        try cluster.send(.goodbye(Goodbye()), by: "b")
        #expect(try cluster.text(outcome) == "done,returned")

        _ = try cluster.joinAndRequest("c")
        cluster.coordinator.markLost(PeerID(bytes: Array("c".utf8)))
        try cluster.register("c")
        #expect(cluster.coordinator.workerCount == 1)
        cluster.coordinator.markLost(PeerID(bytes: Array("c".utf8)))
        try cluster.tick()
        #expect(cluster.coordinator.workerCount == 0)
        #expect(try cluster.text(outcome) == "done,returned,lost")
    }

    @Test func malformedMessagesAreOneRowOfTheHistory() throws {
        let before = try cluster.integer("SELECT count(*) FROM events")
        for number in 0..<5_000 {
            try cluster.coordinator.receive([0xFF, 0, UInt8(truncatingIfNeeded: number)], from: PeerID(bytes: [1]))
            _ = cluster.coordinator.takeOutbox()
        }
        cluster.clock.now += 2
        try cluster.tick()
        #expect(try cluster.integer("SELECT count FROM refusals WHERE reason = 'malformed-message'") == 5_000)
        #expect(try cluster.integer("SELECT count(*) FROM refusals") == 1)
        #expect(try cluster.integer("SELECT count(*) FROM events") == before)
        #expect(cluster.logCount < 5)
    }
}
