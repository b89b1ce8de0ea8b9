import Testing

@testable import History

@Suite struct TaskTests {
    @Test func pendingTasksHoldAllThatIsNeededToSendThem() throws {
        let sample = try SampleHistory()
        let task = try #require(try sample.history.pendingTasks(of: sample.run).first)
        #expect(task.candidateIDs == [sample.work.candidateIDs[0]])
        #expect(task.images == sample.images)
        #expect(task.payload == [1, 2, 3])
        #expect(task.kind == .evaluate && task.state == .pending && task.generation == 0)
        #expect(task.evaluationSet == "calibration")
    }

    @Test func aLeasedTaskIsNotPendingUntilItsLastLeaseEnds() throws {
        let sample = try SampleHistory()
        let task = sample.work.taskIDs[0]
        let other = try sample.history.upsertWorker(sampleWorker("w2"))
        let first = try sample.history.recordLease(of: task, to: sample.worker, expiresAt: 20, at: 10)
        let hedge = try sample.history.recordLease(of: task, to: other, expiresAt: 30, at: 11)
        #expect([first.epoch, hedge.epoch] == [1, 2])
        #expect(try sample.history.pendingTasks(of: sample.run).map(\.id) == [sample.work.taskIDs[1]])
        #expect(
            try sample.history.endLease(first, outcome: .lost)
                == TaskStanding(state: .leased, attempts: 2, failures: 0))
        #expect(
            try sample.history.endLease(hedge, outcome: .failed)
                == TaskStanding(state: .pending, attempts: 2, failures: 1))
        #expect(try sample.history.workers().map(\.failures) == [0, 1])
    }

    @Test func anEndedLeaseEndsOnlyOnce() throws {
        let sample = try SampleHistory()
        let lease = try sample.history.recordLease(of: sample.work.taskIDs[0], to: sample.worker, expiresAt: 20)
        _ = try sample.history.endLease(lease, outcome: .failed)
        #expect(try sample.history.endLease(lease, outcome: .failed).failures == 1)
        #expect(try sample.history.renewLeases([lease], expiresAt: 99) == [lease])
    }

    @Test func leasesExpireUnlessRenewed() throws {
        let sample = try SampleHistory()
        let kept = try sample.history.recordLease(of: sample.work.taskIDs[0], to: sample.worker, expiresAt: 20, at: 10)
        let late = try sample.history.recordLease(of: sample.work.taskIDs[1], to: sample.worker, expiresAt: 20, at: 10)
        #expect(try sample.history.renewLeases([kept], expiresAt: 40).isEmpty)
        let expired = try sample.history.expireLeases(of: sample.run, expiringBy: 20, at: 21)
        #expect(expired.map(\.key) == [late])
        #expect(try sample.history.pendingTasks(of: sample.run).map(\.id) == [late.taskID])
        #expect(try sample.history.loadRun().openLeases.map(\.expiresAt) == [40])
        #expect(try sample.history.expireLeases(of: sample.run, expiringBy: .infinity).map(\.key) == [kept])
    }

    @Test func aTaskGivenUpTakesNoLeaseAndNoResult() throws {
        let sample = try SampleHistory()
        let task = sample.work.taskIDs[0]
        let lease = try sample.history.recordLease(of: task, to: sample.worker, expiresAt: 20)
        try sample.history.failTask(task, reason: "three workers ran out of memory")
        #expect(try sample.history.renewLeases([lease], expiresAt: 30) == [lease])
        #expect(try sample.history.commitResult(sample.result(0)) == .taskFailed)
        #expect(try sample.history.measurements(of: sample.work.candidateIDs[0]).scores.isEmpty)
        let closed = HistoryError.taskClosed(id: task, state: "failed")
        #expect(throws: closed) { try sample.history.recordLease(of: task, to: sample.worker, expiresAt: 20) }
        #expect(throws: closed) { try sample.history.failTask(task, reason: "again") }
        #expect(throws: HistoryError.noSuchRecord(kind: "task", identity: "99")) { try sample.history.task(99) }
    }
}
