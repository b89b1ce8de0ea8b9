import Testing

@testable import History

@Suite struct SearchTests {
    @Test func storedRunEqualsTheInsertedOne() throws {
        let sample = try SampleHistory()
        let run = try sample.history.runs.snapshot().run
        let entered = sampleRun()
        #expect(run.name == entered.name && run.configuration == entered.configuration && run.shape == entered.shape)
        #expect(run.modelHash == "model" && run.seed == 7 && run.geneCount == 12 && run.reference == entered.reference)
        #expect(run.costObjective == "latency" && run.qualityObjective == "image-reward")
        #expect(run.status == .running && run.createdAt == 100 && run.finishedAt == nil)
        let genes = try sample.history.query("SELECT step, block, component FROM genes ORDER BY gene").rows
        #expect(
            genes == sampleGenes.map { [.integer(Int64($0.step)), .integer(Int64($0.block)), .text($0.component)] })
        #expect(try sample.history.runs.prompts(of: sample.run) == samplePrompts)
    }

    @Test func statusAndConfigurationCanBeUpdated() throws {
        let sample = try SampleHistory()
        try sample.history.runs.setStatus(.finished, of: sample.run, at: 500)
        #expect(try sample.history.runs.snapshot().run.finishedAt == 500)
        try sample.history.runs.setConfiguration("[search]\ngenerations = 9\n", of: sample.run)
        try sample.history.runs.setStatus(.running, of: sample.run)
        let run = try sample.history.runs.snapshot(sample.run).run
        #expect(run.finishedAt == nil && run.configuration.contains("9"))
        #expect(throws: HistoryError.noSuchRecord(kind: "run", identity: "5")) {
            try sample.history.runs.setStatus(.failed, of: 5)
        }
    }

    @Test func candidatesKeepTheOrderOfTheAsk() throws {
        let sample = try SampleHistory()
        let parents = sample.work.candidateIDs
        _ = try sample.history.search.beginGeneration(
            1, of: sample.run, searchState: [2],
            candidates: [
                sampleCandidate(9, genome: [1, 0x02], parents: (parents[1], parents[0]), operator: "crossover"),
                sampleCandidate(4),
            ], tasks: [])
        let snapshot = try sample.history.runs.snapshot()
        #expect(snapshot.generation?.number == 1)
        #expect(snapshot.candidates.map(\.canonicalHash) == ["c9", "c4"])
        #expect(snapshot.candidates[0].genome == [1, 0x02])
        #expect(snapshot.candidates[0].parentA == parents[1] && snapshot.candidates[0].parentB == parents[0])
        #expect(snapshot.candidates[0].operator == "crossover" && snapshot.candidates[0].macs == 9000)
        #expect(try sample.history.search.candidates(of: sample.run).count == 4)
    }

    @Test func generationIsInsertedEntirelyOrNotAtAll() throws {
        let sample = try SampleHistory()
        // The last candidate acts like one of generation 0.
        #expect(throws: HistoryError.self) {
            try sample.history.search.beginGeneration(
                1, of: sample.run, searchState: [2], candidates: [sampleCandidate(3), sampleCandidate(1)], tasks: [])
        }
        #expect(try sample.history.search.generations(of: sample.run).map(\.number) == [0])
        #expect(try sample.integer("SELECT count(*) FROM candidates") == 2)
        #expect(throws: HistoryError.genomeLength(expectedBytes: 2, foundBytes: 3, genes: 12)) {
            try sample.history.search.beginGeneration(
                1, of: sample.run, searchState: [2], candidates: [sampleCandidate(3, genome: [1, 2, 3])], tasks: [])
        }
    }

    @Test func newTotalsReplaceTheOldOnes() throws {
        let sample = try SampleHistory()
        let candidate = sample.work.candidateIDs[0]
        try sample.history.search.recordEvaluation(of: candidate, totals: totals(cost: 0.5, quality: 1))
        let better = totals(cost: 0.25, quality: 2, ratio: 0.3, modelled: 0.4)
        try sample.history.search.recordEvaluation(of: candidate, totals: better)
        #expect(try sample.history.search.candidate(candidate).evaluation == better)
        #expect(try sample.integer("SELECT count(*) FROM evaluations") == 1)
        #expect(throws: HistoryError.self) {
            try sample.history.search.recordEvaluation(of: candidate, totals: totals(cost: .nan, quality: 1))
        }
    }

    @Test func generationIsCompletedOnce() throws {
        let sample = try SampleHistory()
        try sample.history.search.recordEvaluation(
            of: sample.work.candidateIDs[0], totals: totals(cost: 0.5, quality: 1))
        func complete() throws {
            try sample.history.search.completeGeneration(
                0, of: sample.run, searchState: [9], hypervolume: 0.5, wallSeconds: 12, at: 130)
        }
        try complete()
        let generation = try #require(try sample.history.search.generations(of: sample.run).first)
        #expect(generation.searchState == [9] && generation.evaluations == 1 && generation.hypervolume == 0.5)
        #expect(generation.startedAt == 101 && generation.finishedAt == 130 && generation.wallSeconds == 12)
        #expect(throws: HistoryError.noSuchRecord(kind: "unfinished generation", identity: "0")) { try complete() }
    }

    @Test func workersKeepTheirIDAndEventsTheirOrder() throws {
        let sample = try SampleHistory()
        var joined = sampleWorker("w1")
        joined.threads = 8
        #expect(try sample.history.workers.upsert(joined, at: 150) == sample.worker)
        try sample.history.workers.addConnectedSeconds(40, to: sample.worker, at: 160)
        #expect(
            try sample.history.query(
                "SELECT name, threads, first_seen, last_seen, connected_seconds FROM workers ORDER BY id"
            ).rows.first == [.text("w1"), .integer(8), .real(100), .real(160), .real(40)])
        let first = try sample.history.events.record("joined", "w1 from host", run: sample.run, at: 1)
        let second = try sample.history.events.record("lost", "{}", at: 2)
        #expect(second > first)
        #expect(
            try sample.history.query("SELECT kind, run_id, at, text FROM events ORDER BY seq").rows == [
                [.text("joined"), .integer(sample.run), .real(1), .text("w1 from host")],
                [.text("lost"), .null, .real(2), .text("{}")],
            ])
    }

    @Test func thumbnailsOfCandidatesAndReferenceAreSeparate() throws {
        let sample = try SampleHistory()
        let candidate = sample.work.candidateIDs[0]
        for (owner, byte) in [(candidate, 1), (nil, 2), (candidate, 3), (nil, 4)] as [(Int64?, UInt8)] {
            try sample.history.results.storeThumbnail([byte], of: owner, image: sample.images[1], run: sample.run)
        }
        #expect(
            try sample.history.results.thumbnails(of: candidate, run: sample.run)
                == [Thumbnail(candidateID: candidate, image: sample.images[1], png: [3])])
        #expect(try sample.history.results.thumbnails(of: nil, run: sample.run).map(\.png) == [[4]])
        #expect(throws: HistoryError.noSuchRecord(kind: "prompt", identity: "3")) {
            try sample.history.results.storeThumbnail(
                [1], of: nil, image: ImageKey(prompt: 3, seed: 0), run: sample.run)
        }
    }

    @Test func thumbnailsAreStoredWithResultsAndPrunedToWhatFits() throws {
        let sample = try SampleHistory()
        let results = sample.history.results
        let candidates = sample.work.candidateIDs
        for index in candidates.indices {
            var result = sample.result(index)
            result.thumbnails = [
                Thumbnail(
                    candidateID: candidates[index], image: sample.images[0], png: Array(repeating: 1, count: 100)),
                Thumbnail(candidateID: nil, image: sample.images[0], png: [2]),
            ]
            #expect(try results.commit(result) == .committed)
        }
        func owners() throws -> [QueryValue] {
            try sample.history.query("SELECT candidate_id FROM thumbnails ORDER BY candidate_id").rows.map { $0[0] }
        }
        let all: [QueryValue] = [.null] + candidates.map { .integer($0) }
        #expect(try owners() == all)
        #expect(try results.storedReferences(of: sample.run) == [sample.images[0]])
        // Those of candidates without an evaluation stay: they may still come to the front.
        try results.pruneThumbnails(keeping: [], byteLimit: 0, of: sample.run)
        #expect(try owners() == all)
        for candidate in candidates {
            try sample.history.search.recordEvaluation(of: candidate, totals: totals(cost: 1, quality: 1))
        }
        try results.pruneThumbnails(keeping: candidates, byteLimit: 200, of: sample.run)
        #expect(try owners() == all)
        // The first ones have precedence, and the uncached images stay.
        try results.pruneThumbnails(keeping: candidates.reversed(), byteLimit: 199, of: sample.run)
        #expect(try owners() == [.null, .integer(candidates[1])])
        try results.pruneThumbnails(keeping: [candidates[0]], byteLimit: 1000, of: sample.run)
        #expect(try owners() == [.null])
    }
}
