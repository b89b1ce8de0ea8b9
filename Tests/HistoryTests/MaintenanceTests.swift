import Foundation
import GRDB
import TestSupport
import Testing

@testable import History

@Suite struct MaintenanceTests {
    @Test func checkpointEmptiesTheLogUnlessAReaderBlocksIt() throws {
        let sample = try SampleHistory()
        #expect(sample.history.walBytes > 0)
        let reader = try RunHistory.openReadOnly(in: sample.folder.path)
        try reader.read { db in
            _ = try Int.fetchOne(db, sql: "SELECT count(*) FROM runs")
            try sample.history.events.record("note", "while a reader holds an old state")
            #expect(try sample.history.checkpoint() == false)
        }
        #expect(try sample.history.checkpoint() == true)
        #expect(sample.history.walBytes == 0)
    }

    @Test func programThatKeepsATransactionOpenIsNamed() throws {
        let sample = try SampleHistory()
        // Other locks of the host: their table is longer than a page of memory.
        let other = open(sample.folder.file("other"), O_RDWR | O_CREAT, 0o600)
        defer { close(other) }
        for byte in 0..<200 {
            var lock = flock()
            (lock.l_type, lock.l_start, lock.l_len) = (Int16(F_WRLCK), off_t(2 * byte), 1)
            #expect(fcntl(other, F_SETLK, &lock) == 0)
        }
        #expect(sample.history.readers == [])
        let (reader, input, output) = (Process(), Pipe(), Pipe())
        reader.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        reader.arguments = [
            "python3", "-c",
            """
            from sqlite3 import connect
            from sys import argv, stdin
            db = connect("file:" + argv[1] + "?mode=ro", uri=True, isolation_level=None)
            db.execute("BEGIN")
            print(db.execute("SELECT count(*) FROM runs").fetchone()[0], flush=True)
            stdin.readline()
            db.execute("COMMIT")
            print("ended", flush=True)
            stdin.readline()
            """, sample.history.file,
        ]
        reader.standardInput = input
        reader.standardOutput = output
        try reader.run()
        /// A line may arrive in pieces.
        func line() -> String {
            var bytes = Data()
            while bytes.last != UInt8(ascii: "\n"), case let more = output.fileHandleForReading.availableData,
                !more.isEmpty
            {
                bytes += more
            }
            return String(decoding: bytes, as: UTF8.self)
        }
        #expect(line() == "1\n")
        #expect(sample.history.readers == ["python3 (pid \(reader.processIdentifier))"])
        input.fileHandleForWriting.write(Data("\n".utf8))
        #expect(line() == "ended\n")
        // The connection is open, but reads nothing.
        #expect(sample.history.readers == [])
        input.fileHandleForWriting.write(Data("\n".utf8))
        reader.waitUntilExit()
    }

    @Test func readersAreFoundByTheirLocks() {
        let locks = """
            1: POSIX  ADVISORY  READ 812 fd:00:4321 124 124
            2: POSIX  ADVISORY  READ 813 fd:00:4321 128 128
            3: POSIX  ADVISORY  WRITE 814 fd:00:4321 120 120
            4: FLOCK  ADVISORY  WRITE 815 fd:00:4321 0 EOF
            5: POSIX  ADVISORY  READ 816 fd:00:9 124 124
            6: -> POSIX  ADVISORY  READ 817 fd:00:4321 124 124
            7: POSIX  ADVISORY  READ 0 00:2b:4321 123 123
            8: POSIX  ADVISORY  READ 812 fd:00:4321 127 EOF
            9: garbage

            """
        #expect(SnapshotReaders.processes(in: locks, inode: 4321) == [0, 812])
        #expect(SnapshotReaders.name(of: 0) == "a process of another container")
    }

    @Test func openReaderDuringTenThousandResultsDelaysNothing() throws {
        let count = 10_000
        let folder = try TemporaryFolder()
        // Not durable: the test is of locks and of the log, not of the disk.
        let history = try RunHistory.create(in: folder.path, isDurable: false)
        let run = try history.runs.create(sampleRun())
        let worker = try history.workers.upsert(sampleWorker("w"))
        let images = [ImageKey(prompt: 0, seed: 0), ImageKey(prompt: 1, seed: 0)]
        let work = try history.search.beginGeneration(
            0, of: run, searchState: [1], candidates: (0..<count).map { sampleCandidate($0) },
            tasks: (0..<count).map { NewTask(candidates: [$0], images: images) })
        try history.checkpoint()
        let reader = try RunHistory.openReadOnly(in: folder.path)
        try reader.read { db in
            #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM image_scores") == 0)
            // As many results at a time as the coordinator finds when it looks.
            for first in stride(from: 0, to: count, by: 20) {
                try history.transaction { () throws -> Void in
                    for index in first..<(first + 20) {
                        let candidate = work.candidateIDs[index]
                        let scores = images.map {
                            ImageScore(candidateID: candidate, image: $0, scorer: "psnr", value: Double(index))
                        }
                        let result = TaskResult(
                            taskID: work.taskIDs[index], workerID: worker, scores: scores, timings: [], seconds: 1)
                        #expect(try history.results.commit(result) == .committed)
                    }
                }
            }
            // A writer that a reader blocked would have failed after `busySeconds`. The reader still sees its snapshot.
            #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM image_scores") == 0)
            #expect(try history.checkpoint() == false)
            // The log holds the changed pages of each transaction: it grows with the results, by some kilobytes each.
            #expect(history.walBytes < count * 16_384, "\(history.walBytes / count) bytes per result")
        }
        #expect(try reader.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM image_scores") } == 2 * count)
        #expect(try history.checkpoint() == true)
        #expect(history.walBytes == 0)
    }

    @Test(arguments: [false, true]) func backupIsACompleteHistory(byReader: Bool) throws {
        let sample = try SampleHistory()
        let copy = try TemporaryFolder()
        let history = byReader ? try RunHistory.openReadOnly(in: sample.folder.path) : sample.history
        try history.backup(to: copy.file("history.sqlite"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: copy.path) == ["history.sqlite"])
        let opened = try RunHistory.openReadOnly(in: copy.path)
        #expect(try opened.runs.snapshot() == sample.history.runs.snapshot())
        #expect(throws: HistoryError.alreadyExists(file: copy.file("history.sqlite"))) {
            try history.backup(to: copy.file("history.sqlite"))
        }
        #expect(throws: HistoryError.self) { try history.backup(to: copy.file("none/history.sqlite")) }
    }

    @Test func forkKeepsTheRunUpToItsGeneration() throws {
        let sample = try SampleHistory()
        let ids = sample.work.candidateIDs
        _ = try sample.history.results.commit(sample.result(0))
        _ = try sample.history.results.commit(sample.result(1))
        try sample.history.search.completeGeneration(
            0, of: sample.run, searchState: Array("told".utf8), hypervolume: 0.5, wallSeconds: 1)
        let later = try sample.history.search.beginGeneration(
            1, of: sample.run, searchState: [1], candidates: [sampleCandidate(3, parents: (ids[0], nil))],
            tasks: [NewTask(candidates: [0], images: sample.images)])
        _ = try sample.history.tasks.lease(later.taskIDs[0], to: sample.worker, expiresAt: 1)
        try sample.history.runs.setStatus(.stopped, of: sample.run)

        let target = try TemporaryFolder()
        #expect(throws: HistoryError.noSuchRecord(kind: "finished generation", identity: "1")) {
            try sample.history.runs.fork(sample.run, from: 1, into: target.path)
        }
        let fork = try sample.history.runs.fork(sample.run, from: 0, into: target.path, at: 900)
        let snapshot = try fork.runs.snapshot()
        #expect(snapshot.run.status == .running)
        #expect(snapshot.generation?.searchState == Array("told".utf8))
        #expect(snapshot.candidates.map(\.id) == ids)
        #expect(snapshot.openLeases.isEmpty)
        #expect(try fork.results.measurements(of: ids[0]).scores.count == 2)
        #expect(try fork.query("SELECT count(*) FROM tasks").rows == [[.integer(2)]])
        #expect(try fork.query("PRAGMA foreign_key_check").rows == [])
        #expect(try fork.query("SELECT kind FROM events ORDER BY seq DESC LIMIT 1").rows == [[.text("forked")]])
        #expect(try sample.history.runs.snapshot().generation?.number == 1)
        // The later candidate is not evaluated: it is dropped.
        #expect(try fork.query("SELECT count(*) FROM candidates").rows == [[.integer(2)]])
        #expect(throws: HistoryError.self) { try sample.history.runs.fork(sample.run, from: 0, into: target.path) }
    }

    @Test func evaluationsAfterTheForkPointAreReused() throws {
        let sample = try SampleHistory()
        for index in 0...1 {
            _ = try sample.history.results.commit(sample.result(index))
            try sample.history.search.recordEvaluation(
                of: sample.work.candidateIDs[index], totals: totals(cost: 0.5, quality: 1))
        }
        try sample.history.runs.setConfiguration("", evaluationKey: "same", of: sample.run)
        try sample.history.search.completeGeneration(
            0, of: sample.run, searchState: [], hypervolume: 0.5, wallSeconds: 1)
        let later = try sample.history.search.beginGeneration(
            1, of: sample.run, searchState: [1], candidates: [sampleCandidate(3)],
            tasks: [NewTask(candidates: [0], images: sample.images)])
        let scores = sample.images.map {
            ImageScore(candidateID: later.candidateIDs[0], image: $0, scorer: "image-reward", value: 0.25)
        }
        let timings = sample.images.map {
            ImageTiming(
                candidateID: later.candidateIDs[0], image: $0, denoiseSeconds: 1, referenceSeconds: 2, decodeSeconds: 3)
        }
        _ = try sample.history.results.commit(
            TaskResult(
                taskID: later.taskIDs[0], workerID: sample.worker, scores: scores, timings: timings, seconds: 1))
        try sample.history.search.recordEvaluation(of: later.candidateIDs[0], totals: totals(cost: 0.5, quality: 1))

        let target = try TemporaryFolder()
        let fork = try sample.history.runs.fork(sample.run, from: 0, into: target.path)
        #expect(try fork.runs.snapshot().run.id == sample.run)
        #expect(try fork.search.candidates(of: sample.run).count == 2)
        #expect(
            try fork.search.reusableMeasurements(["c1", "c3"], evaluationKey: "other", excluding: sample.run) == [:])
        let known = try fork.search.reusableMeasurements(["c1", "c3"], evaluationKey: "same", excluding: sample.run)
        #expect(known == ["c3": later.candidateIDs[0]])
        var again = sampleCandidate(3)
        again.measuredAs = known["c3"]
        let work = try fork.search.beginGeneration(1, of: sample.run, searchState: [2], candidates: [again], tasks: [])
        let measured = try fork.results.measurements(of: work.candidateIDs[0])
        #expect(measured.scores.map(\.value) == [0.25, 0.25] && measured.scores.map(\.image) == sample.images)
        #expect(measured.timings.map(\.referenceSeconds) == [2, 2])
        #expect(try fork.query("PRAGMA foreign_key_check").rows == [])
        // A fork of the fork leaves both behind.
        try fork.search.completeGeneration(1, of: sample.run, searchState: [3], hypervolume: 0.5, wallSeconds: 1)
        let second = try TemporaryFolder()
        let twice = try fork.runs.fork(sample.run, from: 0, into: second.path)
        #expect(
            try twice.query("SELECT id FROM runs ORDER BY id").rows
                == [sample.run - 2, sample.run - 1, sample.run].map { [.integer($0)] })
    }

    @Test func objectivesUseTheFirstCostTable() throws {
        let sample = try SampleHistory()
        func enter(_ worker: Int64?, _ costs: String) throws -> Bool {
            try sample.history.runs.insertCostTable(
                NewCostTable(workerID: worker, costs: costs, uncachedSeconds: 2, fitError: 0.01), of: sample.run, at: 5)
        }
        #expect(try enter(sample.worker, #"{"a":1}"#))
        #expect(try !enter(sample.worker, #"{"a":1}"#))
        #expect(try !enter(sample.worker, #"{"a":2}"#))
        #expect(try !enter(nil, #"{"a":2}"#))
        let tables = try sample.history.runs.costTables(of: sample.run)
        #expect(tables.map(\.costs) == [#"{"a":1}"#, #"{"a":2}"#, #"{"a":2}"#])
        #expect(tables.map(\.isObjective) == [true, false, false])
        let rows = try sample.history.query("SELECT * FROM cost_tables ORDER BY id")
        #expect(
            rows["worker_class"]
                == Array(repeating: .text("CPU, OpenBLAS, 2 threads, 1.0"), count: 2) + [.text("configuration")])
        #expect(rows.numbers("uncached_seconds")[0] == 2 && rows.numbers("fit_error")[0] == 0.01)
        #expect(rows.numbers("measured_at")[0] == 5)
        #expect(throws: HistoryError.self) { try enter(sample.worker, "no JSON") }
    }

    @Test func benchmarksAreSeparateFromTheSearch() throws {
        let sample = try SampleHistory()
        let prompts = ["a tall tower", "a small house"]
        let entries = [
            NewBenchmarkEntry(label: "fora.json", candidate: sampleCandidate(1, origin: "fora")),
            NewBenchmarkEntry(label: "ours.json", candidate: sampleCandidate(8, origin: "file")),
        ]
        let images = [ImageKey(prompt: 0, seed: 0), ImageKey(prompt: 1, seed: 0)]
        let tasks = [NewTask(candidates: [0, 1], images: images)]
        let work = try sample.history.benchmarks.begin(
            on: "parti", of: sample.run, prompts: prompts, entries: entries, tasks: tasks)
        let scores = work.candidateIDs.enumerated().flatMap { index, id in
            images.map {
                ImageScore(candidateID: id, image: $0, scorer: "clip", value: Double(index) + Double($0.prompt))
            }
        }
        _ = try sample.history.results.commit(
            TaskResult(taskID: work.taskIDs[0], workerID: sample.worker, scores: scores, timings: [], seconds: 1))
        for (id, ratio) in zip(work.candidateIDs, [0.5, 0.25]) {
            try sample.history.search.recordEvaluation(
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
        #expect(try sample.history.search.front(of: sample.run).isEmpty)
        #expect(try sample.history.results.measurements(of: work.candidateIDs[0], on: "parti").scores.count == 2)

        let again = try sample.history.benchmarks.begin(
            on: "parti", of: sample.run, prompts: prompts, entries: entries, tasks: tasks)
        #expect(again.candidateIDs == work.candidateIDs && again.taskIDs != work.taskIDs)
        #expect(try sample.history.runs.snapshot().tasks.map(\.id) == sample.work.taskIDs + again.taskIDs)
        #expect(
            throws: HistoryError.refused(
                record: "evaluation set 'parti' already exists with other prompts; expected another --name")
        ) {
            try sample.history.benchmarks.begin(on: "parti", of: sample.run, prompts: ["x"], entries: [], tasks: [])
        }
        #expect(
            throws: HistoryError.refused(
                record: "evaluation set 'parti' is measured with native, float32, not with torch, float32")
        ) {
            try sample.history.benchmarks.begin(
                on: "parti", of: sample.run, prompts: prompts, entries: [], tasks: [], engine: "torch")
        }
        _ = try sample.history.benchmarks.begin(
            on: "parti-torch", of: sample.run, prompts: prompts, entries: [], tasks: [], engine: "torch",
            precision: "bfloat16")
        let sets = try sample.history.query("SELECT name, engine, precision FROM evaluation_sets ORDER BY name")
        #expect(sets["name"] == ["calibration", "parti", "parti-torch"].map { .text($0) })
        #expect(sets["precision"] == ["float32", "float32", "bfloat16"].map { .text($0) })
        let measured = try sample.history.query(
            "SELECT DISTINCT engine, precision FROM benchmark_summary WHERE prompt_set = 'parti'")
        #expect(measured.rows == [[.text("native"), .text("float32")]])
        _ = try sample.history.results.commit(sample.result(0))
        let measuredBy = try sample.history.query(
            "SELECT images, worker, engine, precision FROM measured_by WHERE evaluation_set = 'calibration'")
        #expect(measuredBy.rows == [[.integer(2), .text("w1"), .text("native"), .text("float32")]])
        #expect(throws: HistoryError.self) {
            try sample.history.benchmarks.begin(
                on: "parti", of: sample.run, prompts: prompts, entries: [], tasks: [], precision: "bfloat16")
        }
    }
}
