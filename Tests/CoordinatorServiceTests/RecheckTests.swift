import History
import Messages
import Testing

@testable import CoordinatorService

/// What the coordinator makes of results that are computed a second time.
@Suite struct RecheckTests {
    @Test func faultyWorkerIsQuarantinedAndItsTasksAreRequeued() throws {
        let cluster = try FakeCluster(recheckShare: 1)
        for name in ["faulty", "b", "c"] { try cluster.join(name) }
        let task = try #require(try cluster.request("faulty"))
        #expect(try cluster.deliver(task, by: "faulty", score: 45) == [true])
        let before = try cluster.integer("SELECT count(*) FROM image_scores WHERE value = 45")
        #expect(before == 6)
        // The others complete what is queued before the recheck, and then the recheck.
        for round in 0..<60 {
            let name = round % 2 == 0 ? "b" : "c"
            if let work = try cluster.request(name) { _ = try cluster.deliver(work, by: name) }
            if try cluster.integer("SELECT count(*) FROM workers WHERE quarantined_at IS NOT NULL") > 0 { break }
        }
        #expect(try cluster.integer("SELECT count(*) FROM workers WHERE quarantined_at IS NOT NULL") == 1)
        #expect(try cluster.integer("SELECT count(*) FROM workers WHERE name = 'faulty' AND quarantined_at > 0") == 1)
        #expect(try cluster.integer("SELECT count(*) FROM image_scores WHERE value = 45") == 0)
        #expect(try cluster.integer("SELECT count(*) FROM rechecks WHERE agrees = 0") > 0)
        let answers = try cluster.join("faulty")
        guard case .refusal(let refusal) = answers.last else {
            Issue.record("the quarantined worker was accepted again")
            return
        }
        #expect(refusal.reason.contains("quarantined") && !refusal.retry)
        for round in 0..<400 where !cluster.calibration.isFinished {
            let name = round % 2 == 0 ? "b" : "c"
            if let work = try cluster.request(name) { _ = try cluster.deliver(work, by: name) }
        }
        #expect(cluster.calibration.isFinished, "its tasks were computed again")
        #expect(try cluster.integer("SELECT count(*) FROM workers WHERE quarantined_at IS NOT NULL") == 1)
    }

    /// Two workers that disagree on a task, "first" with 30 and "second" with 40, and the task as a recheck.
    private func dispute() throws -> (cluster: FakeCluster, task: Assignment) {
        let cluster = try FakeCluster(recheckShare: 1)
        for name in ["first", "second"] { try cluster.join(name) }
        let task = try #require(try cluster.request("first"))
        _ = try cluster.deliver(task, by: "first", score: 30)
        let again = try #require(try cluster.request("second"))
        #expect(again.taskID == task.taskID && again.leaseEpoch == 2)
        _ = try cluster.deliver(again, by: "second", score: 40)
        #expect(try quarantined(cluster).isEmpty, "undecided")
        return (cluster, again)
    }

    private func quarantined(_ cluster: FakeCluster) throws -> [String] {
        try cluster.calibration.history.query(
            "SELECT name FROM workers WHERE quarantined_at IS NOT NULL ORDER BY name"
        ).rows.map { row in
            if case .text(let name) = row[0] { name } else { "" }
        }
    }

    private func quarantineReason(_ cluster: FakeCluster) throws -> String {
        let rows = try cluster.calibration.history.query(
            "SELECT quarantine_reason FROM workers WHERE quarantined_at IS NOT NULL"
        ).rows
        if case .text(let reason) = rows.first?.first { return reason }
        return ""
    }

    /// The third worker agrees with the first: the second is faulty, and the reason is its difference from the third.
    @Test(arguments: [(30.0, "second"), (40.0, "first")])
    func thirdWorkerDecides(_ score: Double, _ faulty: String) throws {
        let (cluster, task) = try dispute()
        try cluster.join("third")
        let again = try #require(try cluster.request("third"))
        #expect(again.taskID == task.taskID)
        _ = try cluster.deliver(again, by: "third", score: score)
        #expect(try quarantined(cluster) == [faulty])
        #expect(try quarantineReason(cluster).contains("from that of another worker by 10"))
    }

    @Test func workerThatContradictsItselfIsQuarantined() throws {
        let (cluster, task) = try dispute()
        #expect(try cluster.request("second")?.taskID != task.taskID, "the first is asked to repeat its result first")
        let again = try #require(try cluster.request("first"))
        #expect(again.taskID == task.taskID)
        _ = try cluster.deliver(again, by: "first", score: 41)
        #expect(try quarantined(cluster) == ["first"])
        #expect(try quarantineReason(cluster).contains("from its own repetition by 11"))
        #expect(try cluster.integer("SELECT count(*) FROM image_scores WHERE value = 30") == 0)
    }

    @Test func disagreeingWorkerThatContradictsItselfIsQuarantined() throws {
        let (cluster, task) = try dispute()
        _ = try cluster.deliver(try #require(try cluster.request("first")), by: "first", score: 30)
        let again = try #require(try cluster.request("second"))
        #expect(again.taskID == task.taskID)
        _ = try cluster.deliver(again, by: "second", score: 30.1)
        #expect(try quarantined(cluster) == ["second"])
        #expect(try quarantineReason(cluster).contains("from its own repetition by 9.9"))
        #expect(
            try cluster.integer("SELECT count(*) FROM image_scores WHERE value = 30") == 6,
            "the consistent result stays")
    }

    @Test func twoConsistentWorkersWaitForAThird() throws {
        let (cluster, task) = try dispute()
        _ = try cluster.deliver(try #require(try cluster.request("first")), by: "first", score: 30)
        _ = try cluster.deliver(try #require(try cluster.request("second")), by: "second", score: 40)
        #expect(try quarantined(cluster).isEmpty)
        // The run continues.
        #expect(try #require(try cluster.request("first")).taskID != task.taskID)
        try cluster.join("third")
        let again = try #require(try cluster.request("third"))
        #expect(again.taskID == task.taskID)
        _ = try cluster.deliver(again, by: "third", score: 40)
        #expect(try quarantined(cluster) == ["first"])
    }

    /// The coordinator has started its only worker itself: it does not wait for others, and says what was not rechecked.
    @Test(arguments: ["generations", "steady-state"])
    func runOfOneWorkerEndsWithoutWaitingForRechecks(mode: String) throws {
        let cluster = try FakeCluster(recheckShare: 1, mode: mode, expectedWorkers: 1)
        try cluster.join("local-1")
        var results = 0
        for _ in 0..<200 where !cluster.calibration.isFinished {
            // A tick ends the time in which others may register; the clock stands still until then.
            cluster.clock.now += 0.3
            guard let work = try cluster.request("local-1") else { continue }
            _ = try cluster.deliver(work, by: "local-1")
            results += 1
        }
        #expect(cluster.calibration.isFinished && cluster.clock.now < 45, "after \(cluster.clock.now) s")
        try cluster.coordinator.finish("done")
        let events = try cluster.calibration.history.query("SELECT text FROM events WHERE kind = 'not-rechecked'").rows
        let expected = "\(results) results of the sample (tasks.recheck_share = 1.0) could not be rechecked: "
        #expect(events == [[.text(expected + "no other worker was connected")]])
    }

    /// A second expected worker that is late may confirm results.
    @Test func runWaitsForItsExpectedWorkersToRegister() throws {
        let cluster = try FakeCluster(recheckShare: 1, expectedWorkers: 2)
        try cluster.join("local-1")
        while let work = try cluster.request("local-1") { _ = try cluster.deliver(work, by: "local-1") }
        cluster.clock.now += 5
        try cluster.tick()
        #expect(try cluster.integer("SELECT count(*) FROM evaluations") == 0)
        try cluster.join("local-2")
        while let work = try cluster.request("local-2") { _ = try cluster.deliver(work, by: "local-2") }
        #expect(try cluster.integer("SELECT count(*) FROM evaluations") == 6)
        #expect(try cluster.integer("SELECT count(*) FROM rechecks WHERE agrees = 1") > 0)
    }

    @Test func recheckWithoutAnEligibleWorkerDoesNotBlockTheRun() throws {
        let cluster = try FakeCluster(recheckShare: 1, mode: "steady-state")
        // Other workers had time to register.
        cluster.clock.now += 46
        try cluster.join("alone")
        for _ in 0..<200 where !cluster.calibration.isFinished {
            guard let work = try cluster.request("alone") else { break }
            _ = try cluster.deliver(work, by: "alone")
        }
        #expect(cluster.calibration.isFinished)
    }
}
