import GRDB
import Testing

@testable import History

@Suite struct TaskTests {
    @Test func storedTaskEqualsTheInsertedOne() throws {
        let sample = try SampleHistory()
        let task = try #require(try sample.history.tasks.pending(of: sample.run).first)
        #expect(task.candidateIDs == [sample.work.candidateIDs[0]])
        #expect(task.images == sample.images)
        #expect(task.kind == .evaluate && task.state == .pending && task.generation == 0)
        #expect(task.evaluationSet == "calibration")
    }

    @Test func taskStaysLeasedUntilItsLastLeaseEnds() throws {
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
        #expect(
            try sample.history.query("SELECT failures FROM workers ORDER BY id").rows == [[.integer(0)], [.integer(1)]])
    }

    @Test func leaseEndsOnce() throws {
        let sample = try SampleHistory()
        let lease = try sample.history.tasks.lease(sample.work.taskIDs[0], to: sample.worker, expiresAt: 20)
        try sample.history.tasks.endLease(lease, outcome: .failed)
        try sample.history.tasks.endLease(lease, outcome: .failed)
        #expect(try sample.history.tasks.task(lease.taskID).failures == 1)
    }

    @Test func onlyLeasesUpToTheInstantExpire() throws {
        let sample = try SampleHistory()
        let late = try sample.history.tasks.lease(sample.work.taskIDs[0], to: sample.worker, expiresAt: 20, at: 10)
        let kept = try sample.history.tasks.lease(sample.work.taskIDs[1], to: sample.worker, expiresAt: 21, at: 10)
        let expired = try sample.history.tasks.expireLeases(of: sample.run, expiringBy: 20, at: 22)
        #expect(expired.map(\.key) == [late])
        #expect(try sample.history.tasks.pending(of: sample.run).map(\.id) == [late.taskID])
        #expect(try sample.history.runs.snapshot().openLeases.map(\.expiresAt) == [21])
        #expect(try sample.history.tasks.expireLeases(of: sample.run, expiringBy: .infinity).map(\.key) == [kept])
    }

    @Test func leaseMustHaveAHigherEpochThanTheLatest() throws {
        let sample = try SampleHistory()
        let task = sample.work.taskIDs[0]
        func lease(_ epoch: Int) throws {
            try sample.history.tasks.recordLease(of: task, to: sample.worker, epoch: epoch, expiresAt: 20)
        }
        #expect(throws: HistoryError.epochReused(taskID: task, epoch: 0, latest: 0)) { try lease(0) }
        try lease(3)
        for epoch in 1...3 {
            #expect(throws: HistoryError.epochReused(taskID: task, epoch: epoch, latest: 3)) { try lease(epoch) }
        }
        try lease(4)
        #expect(try sample.history.tasks.task(task).attempts == 4)
        #expect(try sample.history.tasks.leases(ofOpenTasksIn: sample.run).map(\.key.epoch) == [3, 4])
    }

    @Test func leasesOfOpenTasksIncludeEndedOnes() throws {
        let sample = try SampleHistory()
        let tasks = sample.history.tasks
        let first = try tasks.lease(sample.work.taskIDs[0], to: sample.worker, expiresAt: 20)
        try tasks.endLease(first, outcome: .failed)
        let second = try tasks.lease(sample.work.taskIDs[0], to: sample.worker, expiresAt: 30)
        let closed = try tasks.lease(sample.work.taskIDs[1], to: sample.worker, expiresAt: 30)
        #expect(try tasks.leases(ofOpenTasksIn: sample.run).map(\.key) == [first, second, closed])
        _ = try sample.history.results.commit(sample.result(1))
        let leases = try tasks.leases(ofOpenTasksIn: sample.run)
        #expect(leases.map(\.key) == [first, second])
        #expect(leases.map(\.outcome) == [.failed, nil])
        #expect(leases.map(\.workerID) == [sample.worker, sample.worker])
    }

    @Test(arguments: [LeaseOutcome.lost, .returned, .expired]) func crashIsCountedOnce(outcome: LeaseOutcome) throws {
        let sample = try SampleHistory()
        let tasks = sample.history.tasks
        let lease = try tasks.lease(sample.work.taskIDs[0], to: sample.worker, expiresAt: 20)
        #expect(try !tasks.recordCrash(lease), "the lease is active")
        try tasks.endLease(lease, outcome: outcome)
        #expect(try tasks.recordCrash(lease))
        #expect(try !tasks.recordCrash(lease))
        #expect(try tasks.task(lease.taskID).failures == 1)
        #expect(try tasks.leases(ofOpenTasksIn: sample.run).map(\.outcome) == [.failed])
    }

    @Test func splitReplacesATaskByOnePerCandidate() throws {
        let sample = try SampleHistory()
        let more = try sample.history.search.beginGeneration(
            1, of: sample.run, searchState: [1], candidates: [sampleCandidate(3), sampleCandidate(4)],
            tasks: [NewTask(kind: .render, candidates: [0, 1], images: sample.images)])
        let parts = try sample.history.tasks.split(more.taskIDs[0], reason: "out of memory")
        #expect(parts.map(\.candidateIDs) == more.candidateIDs.map { [$0] })
        #expect(parts.allSatisfy { $0.images == sample.images && $0.kind == .render && $0.generation == 1 })
        #expect(try sample.history.tasks.task(more.taskIDs[0]).state == .failed)
        #expect(
            try sample.history.query("SELECT failure FROM tasks WHERE failure IS NOT NULL").rows
                == [[.text("split: out of memory")]])
    }

    @Test func failedTaskRejectsLeasesAndResults() throws {
        let sample = try SampleHistory()
        let task = sample.work.taskIDs[0]
        _ = try sample.history.tasks.lease(task, to: sample.worker, expiresAt: 20)
        try sample.history.tasks.fail(task, reason: "three workers ran out of memory")
        #expect(try sample.history.runs.snapshot().openLeases.map(\.key) == [])
        #expect(try sample.history.results.commit(sample.result(0)) == .taskFailed)
        #expect(try sample.history.results.measurements(of: sample.work.candidateIDs[0]).scores.isEmpty)
        let closed = HistoryError.taskClosed(id: task, state: "failed")
        #expect(throws: closed) { try sample.history.tasks.lease(task, to: sample.worker, expiresAt: 20) }
        #expect(throws: closed) { try sample.history.tasks.fail(task, reason: "again") }
        #expect(throws: HistoryError.noSuchRecord(kind: "task", identity: "99")) { try sample.history.tasks.task(99) }
    }

    /// Values that the schema's constraints reject, as a damaged file may have them.
    @Test(arguments: [
        ("tasks", "kind", "sleep", "evaluate, render"), ("tasks", "state", "lost", "pending, leased, done, failed"),
        ("tasks", "shard", "[[1]]", "[[prompt, seed], ...]"),
        ("runs", "status", "ended", "running, finished, stopped, failed"),
    ])
    func corruptValuesAreReported(table: String, column: String, value: String, expected: String) throws {
        let sample = try SampleHistory()
        try sample.history.database.writeWithoutTransaction { db in
            try db.execute(sql: "PRAGMA ignore_check_constraints = 1")
            try db.execute(sql: "UPDATE \(table) SET \(column) = ? WHERE id = 1", arguments: [value])
        }
        let error = HistoryError.corruptValue(
            file: sample.history.file, table: table, row: 1, column: column, found: value, expected: expected)
        #expect(throws: error) { try sample.history.runs.snapshot() }
    }
}
