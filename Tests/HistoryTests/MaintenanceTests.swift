import Foundation
import GRDB
import Testing

@testable import History

@Suite struct MaintenanceTests {
    @Test func aCheckpointEmptiesTheLogUnlessAReaderIsInTheWay() throws {
        let sample = try SampleHistory()
        #expect(sample.history.walBytes > 0)
        let reader = try RunHistory.openReadOnly(in: sample.folder.path)
        try reader.read { db in
            _ = try Int.fetchOne(db, sql: "SELECT count(*) FROM runs")
            try sample.history.recordEvent("note", "while a reader holds an old state")
            #expect(try sample.history.checkpoint() == false)
        }
        #expect(try sample.history.checkpoint() == true)
        #expect(sample.history.walBytes == 0)
    }

    @Test(arguments: [false, true]) func aBackupIsAWholeHistory(byReader: Bool) throws {
        let sample = try SampleHistory()
        let copy = try TemporaryFolder()
        let history = byReader ? try RunHistory.openReadOnly(in: sample.folder.path) : sample.history
        try history.backup(to: copy.file("history.sqlite"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: copy.path) == ["history.sqlite"])
        let opened = try RunHistory.openReadOnly(in: copy.path)
        #expect(try opened.loadRun() == sample.history.loadRun())
        #expect(throws: HistoryError.alreadyExists(file: copy.file("history.sqlite"))) {
            try history.backup(to: copy.file("history.sqlite"))
        }
        #expect(throws: HistoryError.self) { try history.backup(to: copy.file("none/history.sqlite")) }
    }

    @Test func aForkKeepsTheRunUpToItsGeneration() throws {
        let sample = try SampleHistory()
        let ids = sample.work.candidateIDs
        _ = try sample.history.commitResult(sample.result(0))
        try sample.history.completeGeneration(
            0, of: sample.run, searchState: Array("told".utf8), hypervolume: 0.5, wallSeconds: 1)
        let later = try sample.history.beginGeneration(
            1, of: sample.run, searchState: [1], candidates: [sampleCandidate(3, parents: (ids[0], nil))],
            tasks: [NewTask(candidates: [0], images: sample.images)])
        _ = try sample.history.recordLease(of: later.taskIDs[0], to: sample.worker, expiresAt: 1)
        try sample.history.setStatus(.stopped, of: sample.run)

        let target = try TemporaryFolder()
        #expect(throws: HistoryError.noSuchRecord(kind: "finished generation", identity: "1")) {
            try sample.history.fork(sample.run, from: 1, into: target.path)
        }
        let fork = try sample.history.fork(sample.run, from: 0, into: target.path, at: 900)
        let snapshot = try fork.loadRun()
        #expect(snapshot.run.status == .running)
        #expect(snapshot.generation?.searchState == Array("told".utf8))
        #expect(snapshot.candidates.map(\.id) == ids)
        #expect(snapshot.openLeases.isEmpty)
        #expect(try fork.measurements(of: ids[0]).scores.count == 2)
        #expect(try fork.query("SELECT count(*) FROM tasks").rows == [[.integer(2)]])
        #expect(try fork.query("PRAGMA foreign_key_check").rows == [])
        #expect(try fork.events().last?.kind == "forked")
        #expect(try sample.history.loadRun().generation?.number == 1)
    }

    @Test func benchmarksStandApartFromTheSearch() throws {
        let sample = try SampleHistory()
        let prompts = ["a tall tower", "a small house"]
        let entries = [
            NewBenchmarkEntry(label: "fora.json", candidate: sampleCandidate(1, origin: "fora")),
            NewBenchmarkEntry(label: "ours.json", candidate: sampleCandidate(8, origin: "file")),
        ]
        let images = [ImageKey(prompt: 0, seed: 0), ImageKey(prompt: 1, seed: 0)]
        let tasks = [NewTask(candidates: [0, 1], images: images)]
        let work = try sample.history.beginBenchmark(
            on: "parti", of: sample.run, prompts: prompts, entries: entries, tasks: tasks)
        let scores = work.candidateIDs.enumerated().flatMap { index, id in
            images.map {
                ImageScore(candidateID: id, image: $0, scorer: "clip", value: Double(index) + Double($0.prompt))
            }
        }
        _ = try sample.history.commitResult(
            TaskResult(taskID: work.taskIDs[0], workerID: sample.worker, scores: scores, timings: [], seconds: 1))
        for (id, ratio) in zip(work.candidateIDs, [0.5, 0.25]) {
            try sample.history.finishEvaluation(
                of: id, on: "parti", totals: totals(cost: ratio, quality: 1, ratio: ratio))
        }
        let summary = try sample.history.query(named: "benchmark_summary")
        #expect(summary["schedule"] == [.text("fora.json"), .text("ours.json")])
        #expect(summary["prompt_set"] == [.text("parti"), .text("parti")])
        #expect(summary.numbers("mean") == [0.5, 1.5])
        #expect(summary.numbers("standard_error") == [0.5, 0.5])
        #expect(summary.numbers("speedup") == [2, 4])
        let scoresView = try sample.history.query("SELECT * FROM benchmark_scores ORDER BY schedule")
        #expect(scoresView["worst_prompt"] == [.text("a tall tower"), .text("a tall tower")])
        #expect(try sample.history.front(of: sample.run).isEmpty)
        #expect(try sample.history.measurements(of: work.candidateIDs[0], on: "parti").scores.count == 2)

        let again = try sample.history.beginBenchmark(
            on: "parti", of: sample.run, prompts: prompts, entries: entries, tasks: tasks)
        #expect(again.candidateIDs == work.candidateIDs && again.taskIDs != work.taskIDs)
        #expect(try sample.history.loadRun().tasks.map(\.id) == sample.work.taskIDs + again.taskIDs)
        #expect(throws: HistoryError.refused(record: "the evaluation set 'parti' is known with other prompts")) {
            try sample.history.beginBenchmark(on: "parti", of: sample.run, prompts: ["x"], entries: [], tasks: [])
        }
    }
}
