import Testing

@testable import History

@Suite struct TaskTests {
    @Test func pendingTasksHoldAllThatIsNeededToSendThem() throws {
        let sample = try SampleHistory()
        let task = try #require(try sample.history.tasks.pending(of: sample.run).first)
        #expect(task.candidateIDs == [sample.work.candidateIDs[0]])
        #expect(task.images == sample.images)
        #expect(task.payload == [1, 2, 3])
        #expect(task.kind == .evaluate && task.state == .pending && task.generation == 0)
        #expect(task.evaluationSet == "calibration")
    }

    @Test func aLeasedTaskIsNotPendingUntilItsLastLeaseEnds() throws {
        let sample = try SampleHistory()
        let task = sample.work.taskIDs[0]
        let other = try sample.history.workers.upsert(sampleWorker("w2"))
        let first = try sample.history.tasks.lease(task, to: sample.worker, expiresAt: 20, at: 10)
        let hedge = try sample.history.tasks.lease(task, to: other, expiresAt: 30, at: 11)
        #expect([first.epoch, hedge.epoch] == [1, 2])
        #expect(try sample.history.tasks.pending(of: sample.run).map(\.id) == [sample.work.taskIDs[1]])
        try sample.history.tasks.endLease(first, outcome: .lost)
        var record = try sample.history.tasks.task(task)
        #expect(record.state == .leased && record.attempts == 2 && record.failures == 0)
        try sample.history.tasks.endLease(hedge, outcome: .failed)
        record = try sample.history.tasks.task(task)
        #expect(record.state == .pending && record.attempts == 2 && record.failures == 1)
        #expect(try sample.history.workers.all().map(\.failures) == [0, 1])
    }

    @Test func anEndedLeaseEndsOnlyOnce() throws {
        let sample = try SampleHistory()
        let lease = try sample.history.tasks.lease(sample.work.taskIDs[0], to: sample.worker, expiresAt: 20)
        try sample.history.tasks.endLease(lease, outcome: .failed)
        try sample.history.tasks.endLease(lease, outcome: .failed)
        #expect(try sample.history.tasks.task(lease.taskID).failures == 1)
        #expect(try sample.history.tasks.renewLeases([lease], expiresAt: 99) == [lease])
    }

    @Test func leasesExpireUnlessRenewed() throws {
        let sample = try SampleHistory()
        let kept = try sample.history.tasks.lease(sample.work.taskIDs[0], to: sample.worker, expiresAt: 20, at: 10)
        let late = try sample.history.tasks.lease(sample.work.taskIDs[1], to: sample.worker, expiresAt: 20, at: 10)
        #expect(try sample.history.tasks.renewLeases([kept], expiresAt: 40).isEmpty)
        let expired = try sample.history.tasks.expireLeases(of: sample.run, expiringBy: 20, at: 21)
        #expect(expired.map(\.key) == [late])
        #expect(try sample.history.tasks.pending(of: sample.run).map(\.id) == [late.taskID])
        #expect(try sample.history.runs.snapshot().openLeases.map(\.expiresAt) == [40])
        #expect(try sample.history.tasks.expireLeases(of: sample.run, expiringBy: .infinity).map(\.key) == [kept])
    }

    @Test func aTaskGivenUpTakesNoLeaseAndNoResult() throws {
        let sample = try SampleHistory()
        let task = sample.work.taskIDs[0]
        let lease = try sample.history.tasks.lease(task, to: sample.worker, expiresAt: 20)
        try sample.history.tasks.fail(task, reason: "three workers ran out of memory")
        #expect(try sample.history.tasks.renewLeases([lease], expiresAt: 30) == [lease])
        #expect(try sample.history.results.commit(sample.result(0)) == .taskFailed)
        #expect(try sample.history.results.measurements(of: sample.work.candidateIDs[0]).scores.isEmpty)
        let closed = HistoryError.taskClosed(id: task, state: "failed")
        #expect(throws: closed) { try sample.history.tasks.lease(task, to: sample.worker, expiresAt: 20) }
        #expect(throws: closed) { try sample.history.tasks.fail(task, reason: "again") }
        #expect(throws: HistoryError.noSuchRecord(kind: "task", identity: "99")) { try sample.history.tasks.task(99) }
    }
}
