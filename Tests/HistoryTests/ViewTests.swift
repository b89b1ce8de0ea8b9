import GRDB
import Testing

@testable import History

@Suite struct ViewTests {
    /// Candidates on the front and off it, entered in two generations; objectives chosen by hand.
    ///
    /// By cost: 0.2/1, 0.2/3 (dominates the first), 0.4/3 (dominated by an equal quality), 0.5/5, 0.5/5 (an equal: both
    /// stay), 0.8/4, 1.0/9.
    private func searched() throws -> (SampleHistory, [Int64]) {
        let sample = try SampleHistory()
        let more = try sample.history.search.beginGeneration(
            1, of: sample.run, searchState: [1],
            candidates: (3...7).map { sampleCandidate($0, genome: $0 == 5 ? [0x01, 0x08] : [0xF0, 0x0F]) }, tasks: [])
        let candidates = sample.work.candidateIDs + more.candidateIDs
        let points = [(0.2, 1.0), (0.2, 3), (0.4, 3), (0.5, 5), (0.5, 5), (0.8, 4), (1.0, 9)]
        for (candidate, point) in zip(candidates, points) {
            try sample.history.search.recordEvaluation(of: candidate, totals: totals(cost: point.0, quality: point.1))
        }
        return (sample, candidates)
    }

    @Test func frontHasTheNonDominatedCandidatesSlowestFirst() throws {
        let (sample, candidates) = try searched()
        let front = try sample.history.search.front(of: sample.run)
        #expect(front.map(\.candidateID) == [candidates[6], candidates[3], candidates[4], candidates[1]])
        #expect(front.map(\.speedup) == [1, 2, 2, 5])
        #expect(front.map(\.generation) == [1, 1, 1, 0])
        #expect(front[0].macs == 5 && front[0].images == 3 && front[0].quality == 9 && front[0].cost == 1)
    }

    @Test func frontReportsTheModelledRatioIfTheCostIsModelledLatency() throws {
        let sample = try SampleHistory()
        let ids = sample.work.candidateIDs
        try sample.history.search.recordEvaluation(
            of: ids[0], totals: totals(cost: 0.5, quality: 1, ratio: 0.4, modelled: 0.5))
        try sample.history.search.recordEvaluation(of: ids[1], totals: totals(cost: 0.25, quality: 0.5, ratio: 0.2))
        func ratios() throws -> [Double?] { try sample.history.search.front(of: sample.run).map(\.latencyRatio) }
        #expect(try ratios() == [0.5, 0.2])
        #expect(try sample.history.search.front(of: sample.run).map(\.measuredRatio) == [0.4, 0.2])
        try sample.history.database.write { try $0.execute(sql: "UPDATE runs SET cost_objective = 'measured'") }
        #expect(try ratios() == [0.4, 0.2])
    }

    @Test func errorModelComparesPredictionsWithResults() throws {
        let sample = try SampleHistory()
        var predicted = sampleCandidate(10)
        predicted.prediction = CandidatePrediction(logError: -6.5, quality: 28, deviation: 1.5)
        var seed = sampleCandidate(11)
        seed.prediction = CandidatePrediction(logError: 0.25)
        let work = try sample.history.search.beginGeneration(
            1, of: sample.run, searchState: [1], candidates: [predicted, seed, sampleCandidate(12)],
            tasks: [NewTask(candidates: [0], images: sample.images)])
        let id = work.candidateIDs[0]
        var result = sample.result(0)
        result.taskID = work.taskIDs[0]
        result.scores = zip(sample.images, [20.0, 40]).map {
            ImageScore(candidateID: id, image: $0, scorer: "psnr", value: $1)
        }
        result.timings = result.timings.map {
            ImageTiming(
                candidateID: id, image: $0.image, denoiseSeconds: 1, referenceSeconds: 2, decodeSeconds: 0)
        }
        _ = try sample.history.results.commit(result)
        try sample.history.search.recordEvaluation(of: id, totals: totals(cost: 0.5, quality: 30))
        let view = try sample.history.query(named: "error_model")
        // Candidates without a prediction are left out; those without a result are open.
        #expect(view["candidate_id"] == work.candidateIDs[..<2].map { .integer($0) })
        #expect(view["predicted"] == [.real(28), .null] && view["measured"] == [.real(30), .null])
        #expect(view["residual"] == [.real(2), .null] && view["deviation"] == [.real(1.5), .null])
        #expect(view["predicted_log_error"] == [.real(-6.5), .real(0.25)])
        // The mean PSNR is 30 dB: an error of 0.001.
        let logError = try #require(view.numbers("log_error")[0])
        #expect(abs(logError - -6.907755278982137) < 1e-12)
        let stored = try sample.history.search.candidates(of: sample.run).map(\.prediction)
        #expect(stored == [nil, nil, predicted.prediction, seed.prediction, nil])
    }

    @Test func promptScoresAreMeansOverSeeds() throws {
        let sample = try SampleHistory()
        let images = [0, 1, 2].flatMap { prompt in [5, 6].map { ImageKey(prompt: prompt, seed: $0) } }
        let work = try sample.history.search.beginGeneration(
            1, of: sample.run, searchState: [1], candidates: [sampleCandidate(10), sampleCandidate(11)],
            tasks: [NewTask(candidates: [0, 1], images: images)])
        var result = sample.result(0)
        result.taskID = work.taskIDs[0]
        result.timings = []
        result.scores = images.enumerated().map { index, image in
            ImageScore(
                candidateID: work.candidateIDs[0], image: image, scorer: index < 3 ? "psnr" : "former",
                value: Double(index * index))
        }
        result.scores.append(
            ImageScore(candidateID: work.candidateIDs[1], image: images[0], scorer: "psnr", value: 9))
        _ = try sample.history.results.commit(result)
        func scores() throws -> [Int64: [Double]] {
            try sample.history.results.promptScores(of: sample.run, scorer: ["psnr", "former"])
        }
        #expect(try scores().isEmpty, "nothing is evaluated")
        for id in work.candidateIDs {
            try sample.history.search.recordEvaluation(of: id, totals: totals(cost: 0.5, quality: 1))
        }
        // The second candidate lacks two prompts.
        #expect(try scores() == [work.candidateIDs[0]: [0.5, 6.5, 20.5]])
    }

    @Test func frontEqualsItsDefinitionOnRandomPointsWithTies() throws {
        let sample = try SampleHistory()
        var random = SystemRandomNumberGenerator()
        let points = (0..<400).map { _ in
            (
                cost: Double(Int.random(in: 1...40, using: &random)),
                quality: Double(Int.random(in: -20...20, using: &random))
            )
        }
        let work = try sample.history.search.beginGeneration(
            1, of: sample.run, searchState: [1], candidates: points.indices.map { sampleCandidate($0 + 10) }, tasks: [])
        for (candidate, point) in zip(work.candidateIDs, points) {
            try sample.history.search.recordEvaluation(
                of: candidate, totals: totals(cost: point.cost, quality: point.quality))
        }
        let expected = zip(work.candidateIDs, points).filter { _, point in
            !points.contains {
                $0.cost <= point.cost && $0.quality >= point.quality
                    && ($0.cost < point.cost || $0.quality > point.quality)
            }
        }
        let front = try sample.history.search.front(of: sample.run)
        #expect(Set(front.map(\.candidateID)) == Set(expected.map(\.0)))
        #expect(front.compactMap(\.speedup) == front.compactMap(\.speedup).sorted())
    }

    @Test func runsAndEvaluationSetsHaveSeparateFronts() throws {
        let (sample, candidates) = try searched()
        let other = try sample.history.runs.create(sampleRun())
        let work = try sample.history.search.beginGeneration(
            0, of: other, searchState: [1], candidates: [sampleCandidate(1)], tasks: [])
        let best = totals(cost: 0.01, quality: 99)
        try sample.history.search.recordEvaluation(of: work.candidateIDs[0], totals: best)
        try sample.history.search.recordEvaluation(of: candidates[0], on: "validation", totals: best)
        #expect(try sample.history.search.front(of: sample.run).count == 4)
        #expect(try sample.history.search.front(of: other).map(\.candidateID) == work.candidateIDs)
    }

    @Test func hypervolumeHistoryAccumulatesEvaluationsAndSeconds() throws {
        let (sample, _) = try searched()
        try sample.history.search.completeGeneration(
            0, of: sample.run, searchState: [1], hypervolume: 0.25, wallSeconds: 10)
        #expect(try sample.history.query(named: "hypervolume_history").rows.count == 1)
        try sample.history.search.completeGeneration(
            1, of: sample.run, searchState: [1], hypervolume: 0.5, wallSeconds: 30)
        let history = try sample.history.query(named: "hypervolume_history")
        #expect(history.numbers("generation") == [0, 1])
        #expect(history.numbers("evaluations") == [2, 7])
        #expect(history.numbers("wall_seconds") == [10, 40])
        #expect(history.numbers("hypervolume") == [0.25, 0.5])
    }

    @Test func candidateScoresEqualNumpy() throws {
        let sample = try SampleHistory()
        let seeds = (0..<5).map { ImageKey(prompt: $0 % 3, seed: Int64($0)) }
        let work = try sample.history.search.beginGeneration(
            1, of: sample.run, searchState: [1], candidates: [sampleCandidate(3)],
            tasks: [NewTask(candidates: [0], images: seeds)])
        let candidate = work.candidateIDs[0]
        // numpy.percentile([3, -1, 4, 1, 5], 5) == -0.6, std(ddof=1) / sqrt(5) == 1.0770329614269007
        let values = [3.0, -1, 4, 1, 5]
        var scores = zip(seeds, values).map {
            ImageScore(candidateID: candidate, image: $0, scorer: "image-reward", value: $1)
        }
        scores.append(ImageScore(candidateID: candidate, image: seeds[2], scorer: "psnr", value: 31.5))
        _ = try sample.history.results.commit(
            TaskResult(taskID: work.taskIDs[0], workerID: sample.worker, scores: scores, timings: [], seconds: 1))
        let view = try sample.history.query(
            "SELECT * FROM candidate_scores WHERE candidate_id = ?", [.integer(candidate)])
        #expect(view["scorer"] == [.text("image-reward"), .text("psnr")])
        #expect(view.numbers("mean") == [2.4, 31.5])
        let error = try #require(view.numbers("standard_error")[0])
        #expect(abs(error - 1.0770329614269007) < 1e-14)
        #expect(view.numbers("standard_error")[1] == nil)
        let p5 = try #require(view.numbers("p5")[0])
        #expect(abs(p5 + 0.6) < 1e-14)
        #expect(view.numbers("p5")[1] == 31.5)
        #expect(view.numbers("worst") == [-1, 31.5])
        #expect(view["worst_prompt"] == [.text("a blue ball"), .text("a green cone")])
        #expect(view.numbers("images") == [5, 1])
    }

    /// A run whose search has evaluated the uncached schedule, and whose benchmark has evaluated it again.
    @Test func lossesOfTheSearchAndOfABenchmarkAreRelativeToTheirOwnUncachedImages() throws {
        let sample = try SampleHistory()
        let uncached = try sample.history.search.beginGeneration(
            1, of: sample.run, searchState: [1],
            candidates: [sampleCandidate(3, genome: [0xFF, 0x0F]), sampleCandidate(4, genome: [0x01, 0x00])],
            tasks: [NewTask(candidates: [0, 1], images: [ImageKey(prompt: 0, seed: 0)])])
        let entries = [(5, [0xFF, 0x0F]), (6, [0x03, 0x00])].map { number, genome in
            NewBenchmarkEntry(label: "\(number)", candidate: sampleCandidate(number, genome: genome.map { UInt8($0) }))
        }
        let benchmark = try sample.history.benchmarks.begin(
            on: "unseen", of: sample.run, prompts: ["a dog"], entries: entries,
            tasks: [NewTask(candidates: [0, 1], images: [ImageKey(prompt: 0, seed: 0)])])
        for (work, values) in [(uncached, [2.0, 1.5]), (benchmark, [7.0, 3.0])] {
            let scores = zip(work.candidateIDs, values).map {
                ImageScore(candidateID: $0, image: ImageKey(prompt: 0, seed: 0), scorer: "clip", value: $1)
            }
            let result = TaskResult(
                taskID: work.taskIDs[0], workerID: sample.worker, scores: scores, timings: [], seconds: 1)
            #expect(try sample.history.results.commit(result) == .committed)
        }
        // Those of `SampleHistory` have all genes as well, but no scores.
        let view = try sample.history.query(
            "SELECT * FROM prompt_loss WHERE scorer = 'clip' ORDER BY candidate_id")
        #expect(view.numbers("uncached") == [2, 2, 7, 7])
        #expect(view.numbers("loss") == [0, 0.5, 0, 4])
        #expect(view["evaluation_set"] == ["calibration", "calibration", "unseen", "unseen"].map(QueryValue.text))
    }

    @Test func workerUtilisationCountsCommittedResults() throws {
        let sample = try SampleHistory()
        let other = try sample.history.workers.upsert(sampleWorker("w2"))
        _ = try sample.history.results.commit(sample.result(0))
        let lease = try sample.history.tasks.lease(sample.work.taskIDs[1], to: other, expiresAt: 1)
        try sample.history.tasks.endLease(lease, outcome: .failed)
        _ = try sample.history.results.commit(sample.result(1))
        try sample.history.workers.addConnectedSeconds(48, to: sample.worker)
        let view = try sample.history.query(named: "worker_utilisation")
        #expect(view["name"] == [.text("w1"), .text("w2")])
        #expect(view["worker_id"] == [.integer(sample.worker), .integer(other)])
        #expect(view.numbers("evaluations") == [2, 0])
        #expect(view.numbers("images") == [4, 0])
        #expect(view.numbers("busy_seconds") == [12, 0])
        #expect(view.numbers("connected_seconds") == [48, 0])
        #expect(view.numbers("utilisation") == [0.25, nil])
        #expect(view.numbers("failures") == [0, 1])
    }

    @Test func lineageHasOneRowPerParent() throws {
        let sample = try SampleHistory()
        let ids = sample.work.candidateIDs
        let work = try sample.history.search.beginGeneration(
            1, of: sample.run, searchState: [1],
            candidates: [
                sampleCandidate(3, parents: (ids[0], ids[1]), operator: "crossover", origin: "offspring"),
                sampleCandidate(4, parents: (ids[1], ids[1]), operator: "mutation", origin: "offspring"),
            ], tasks: [])
        let view = try sample.history.query("SELECT * FROM lineage ORDER BY candidate_id, parent_id")
        let children = work.candidateIDs
        #expect(view["candidate_id"] == [ids[0], ids[1], children[0], children[0], children[1]].map { .integer($0) })
        #expect(view["parent_id"] == [.null, .null] + [ids[0], ids[1], ids[1]].map { .integer($0) })
        #expect(view["operator"].last == .text("mutation") && view["origin"].first == .text("random"))
    }

    @Test func geneUsageIsTheRecomputeShareOfTheFront() throws {
        // The front's genomes: twice F0 0F (candidates 4 and 7), once 01 08 (5), once FF 0F (2).
        let (sample, _) = try searched()
        let view = try sample.history.query("SELECT * FROM gene_usage WHERE run_id = ?", [.integer(sample.run)])
        #expect(
            view.numbers("recompute_share") == [0.5, 0.25, 0.25, 0.25, 0.75, 0.75, 0.75, 0.75, 0.75, 0.75, 0.75, 1])
        #expect(view.numbers("step") == sampleGenes.map { Double($0.step) })
        #expect(view.numbers("block") == sampleGenes.map { Double($0.block) })
        #expect(view["component"] == sampleGenes.map { .text($0.component) })
    }

    @Test func latencyModelErrorComparesModelledAndMeasuredRatios() throws {
        let sample = try SampleHistory()
        let ids = sample.work.candidateIDs
        try sample.history.search.recordEvaluation(
            of: ids[0], totals: totals(cost: 0.5, quality: 1, ratio: 0.4, modelled: 0.5))
        try sample.history.search.recordEvaluation(of: ids[1], totals: totals(cost: 0.5, quality: 1, ratio: 0.4))
        let view = try sample.history.query(named: "latency_model_error")
        #expect(view["candidate_id"] == [.integer(ids[0])])
        #expect(view.numbers("modelled_ratio") == [0.5] && view.numbers("measured_ratio") == [0.4])
        #expect(view.numbers("relative_error") == [0.25])
    }
}
