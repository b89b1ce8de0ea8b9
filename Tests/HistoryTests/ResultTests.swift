import Testing

@testable import History

@Suite struct ResultTests {
    @Test func repeatedResultsAreCommittedOnce() throws {
        let sample = try SampleHistory()
        let other = try sample.history.workers.upsert(sampleWorker("w2"), at: 100)
        let task = sample.work.taskIDs[0]
        _ = try sample.history.tasks.lease(task, to: sample.worker, expiresAt: 200, at: 101)
        let hedge = try sample.history.tasks.lease(task, to: other, expiresAt: 200, at: 102)
        #expect(try sample.history.results.commit(sample.result(0), at: 103) == .committed)
        let before = try contents(sample.history)
        #expect(try sample.history.results.commit(sample.result(0), at: 104) == .alreadyDone)
        #expect(
            try sample.history.results.commit(sample.result(0, worker: other, value: 0.75), at: 105) == .alreadyDone)
        try sample.history.tasks.endLease(hedge, outcome: .failed, at: 106)
        #expect(try contents(sample.history) == before)
        #expect(try sample.history.tasks.task(task).state == .done)
        #expect(
            try sample.history.query("SELECT outcome FROM leases ORDER BY epoch").rows
                == [[.text("done")], [.text("superseded")]])
    }

    @Test func resultAfterLeaseExpiryIsCommitted() throws {
        let sample = try SampleHistory()
        _ = try sample.history.tasks.lease(sample.work.taskIDs[0], to: sample.worker, expiresAt: 20, at: 10)
        _ = try sample.history.tasks.expireLeases(of: sample.run, expiringBy: 30, at: 30)
        #expect(try sample.history.results.commit(sample.result(0), at: 40) == .committed)
        #expect(try sample.history.tasks.pending(of: sample.run).map(\.id) == [sample.work.taskIDs[1]])
    }

    @Test func measurementsAreOrderedByScorerPromptAndSeed() throws {
        let sample = try SampleHistory()
        let candidate = sample.work.candidateIDs[0]
        var result = sample.result(0)
        result.scores = sample.images.reversed().flatMap { image in
            ["psnr", "clip"].map {
                ImageScore(candidateID: candidate, image: image, scorer: $0, value: Double(image.prompt))
            }
        }
        result.timings.reverse()
        _ = try sample.history.results.commit(result)
        let measured = try sample.history.results.measurements(of: candidate)
        #expect(measured.scores.map(\.scorer) == ["clip", "clip", "psnr", "psnr"])
        #expect(measured.scores.map(\.image) == sample.images + sample.images)
        #expect(measured.timings.map(\.image) == sample.images)
        #expect(measured.timings[0].denoiseSeconds == 2 && measured.timings[0].referenceSeconds == 4)
        #expect(try sample.history.query("SELECT busy_seconds FROM workers").rows[0] == [.real(6)])
    }

    @Test func resultWithValuesOutsideItsTaskIsRejectedEntirely() throws {
        let sample = try SampleHistory()
        var result = sample.result(0)
        result.scores.append(
            ImageScore(
                candidateID: sample.work.candidateIDs[1], image: sample.images[0], scorer: "image-reward", value: 1))
        let outside = HistoryError.resultOutsideTask(
            id: sample.work.taskIDs[0], found: "candidate \(sample.work.candidateIDs[1]), prompt 0, seed 1")
        #expect(throws: outside) { try sample.history.results.commit(result) }
        var strange = sample.result(0)
        strange.scores = [
            ImageScore(
                candidateID: sample.work.candidateIDs[0], image: ImageKey(prompt: 1, seed: 1), scorer: "x", value: 1)
        ]
        #expect(throws: HistoryError.self) { try sample.history.results.commit(strange) }
        #expect(try sample.integer("SELECT count(*) FROM image_scores") == 0)
        #expect(try sample.history.tasks.task(sample.work.taskIDs[0]).state == .pending)
    }

    @Test(arguments: [Double.nan, .infinity, -.infinity]) func valuesThatAreNotFiniteAreRejected(value: Double) throws {
        let sample = try SampleHistory()
        let error = try #require(throws: HistoryError.self) {
            try sample.history.results.commit(sample.result(0, value: value))
        }
        guard case .refused = error else {
            Issue.record("\(error)")
            return
        }
        #expect(try sample.integer("SELECT count(*) FROM image_timings") == 0)
    }

    @Test func unsettledTasksAreDoneAndWithoutEvaluation() throws {
        let sample = try SampleHistory()
        let other = try sample.history.workers.upsert(sampleWorker("w2"))
        func unsettled() throws -> [[Int64]] {
            try sample.history.results.unsettledTasks(of: sample.run, on: RunHistory.calibration).map {
                [$0.task.id, $0.workerID]
            }
        }
        #expect(try unsettled() == [])
        _ = try sample.history.results.commit(sample.result(0))
        _ = try sample.history.results.commit(sample.result(1, worker: other))
        #expect(try unsettled() == [[sample.work.taskIDs[0], sample.worker], [sample.work.taskIDs[1], other]])
        try sample.history.search.recordEvaluation(
            of: sample.work.candidateIDs[0], totals: totals(cost: 0.5, quality: 1))
        #expect(try unsettled() == [[sample.work.taskIDs[1], other]])
    }

    @Test func rechecksOfARunComeOldestFirst() throws {
        let sample = try SampleHistory()
        let other = try sample.history.workers.upsert(sampleWorker("w2"))
        let rechecks = sample.work.taskIDs.map {
            RecheckRecord(
                taskID: $0, workerID: other, checkedWorkerID: sample.worker, agrees: $0 == 1, largestDifference: 0.5)
        }
        try sample.history.results.recordRecheck(rechecks[1], at: 10)
        try sample.history.results.recordRecheck(rechecks[0], at: 20)
        #expect(try sample.history.results.rechecks(of: sample.run) == [rechecks[1], rechecks[0]])
        #expect(try sample.history.results.rechecks(of: sample.run + 1) == [])
    }

    @Test func quarantineReopensTasksOfUnfinishedCandidates() throws {
        let sample = try SampleHistory()
        for index in 0...1 { _ = try sample.history.results.commit(sample.result(index)) }
        try sample.history.search.recordEvaluation(
            of: sample.work.candidateIDs[0], totals: totals(cost: 0.5, quality: 1))
        let (tasks, kept) = try sample.history.workers.quarantine(
            sample.worker, reason: "differs", run: sample.run, at: 200)
        #expect(tasks.map(\.id) == [sample.work.taskIDs[1]] && tasks.map(\.state) == [.pending] && kept == 1)
        #expect(try sample.history.results.measurements(of: sample.work.candidateIDs[0]).scores.count == 2)
        #expect(try sample.history.results.measurements(of: sample.work.candidateIDs[1]).scores.isEmpty)
        #expect(try sample.history.workers.quarantineReason(of: sample.worker) == "differs")
    }

    private func contents(_ history: RunHistory) throws -> [QueryResult] {
        try ["tasks", "leases", "image_scores", "image_timings", "workers"].map {
            try history.query("SELECT * FROM \($0)")
        }
    }
}
