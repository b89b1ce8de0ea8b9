import Foundation
import History
import ModelConfiguration
import Schedules
import TestSupport
import Testing

/// `ecad-coordinator benchmark` with real workers.
@Suite struct BenchmarkTests {
    private struct Report: Decodable {
        struct Row: Decodable {
            struct Score: Decodable {
                let mean, p5, worst: Double
                let images: Int
            }
            let schedule, origin: String
            let latencyRatio: Double?
            let macs: Int64?
            let scores: [String: Score]
        }
        let promptSet, engine, precision, runEngine, runPrecision: String
        let images: Int
        let schedules: [Row]
    }

    private func benchmark(_ run: SmallRun, _ arguments: [String], workers: Int = 1) throws -> ProgramRun {
        try ProgramRun(
            "ecad-coordinator",
            ["benchmark", "--run-dir", run.runFolder, "--bind", "tcp://127.0.0.1:0", "--workers", "\(workers)"]
                + ["--worker-threads", "1", "--json"] + arguments)
    }

    private func report(_ program: ProgramRun) throws -> Report {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Report.self, from: Data(program.output.utf8))
    }

    private func images(of run: SmallRun) throws -> [[QueryValue]] {
        try RunHistory.openReadOnly(in: run.runFolder).query(
            """
            SELECT label, group_concat(image, ' ') FROM (
                SELECT c.id, c.label, p.prompt_index || '/' || s.seed AS image
                FROM image_scores s JOIN prompts p ON p.id = s.prompt_id JOIN candidates c ON c.id = s.candidate_id
                WHERE p.evaluation_set = 'other' AND s.scorer = 'psnr' ORDER BY c.id, p.prompt_index, s.seed)
            GROUP BY id ORDER BY id
            """
        ).rows
    }

    @Test func allSchedulesGenerateTheSameImagesOnce() throws {
        let run = try SmallRun(generations: 2)
        #expect(try run.begin(workers: 1).wait() == 0)
        let decisions = try run.decisions()
        let prompts = try run.folder.write(
            "Prompts,Category\n\"a cat, a dog\",Counting\nsome words,Text\na red cube,Colors\n", to: "other.csv")
        let shape = try ModelDescription(modelFolder: SmallRun.model, height: 16, width: 16).architecture.shape(
            stepCount: 5)
        let file = run.folder.file("gated.json")
        try ScheduleFile(schedule: Heuristic.tgate(.init(gateStep: 2, interval: 1)).schedule(for: shape)).write(
            to: file)

        let first = try benchmark(run, ["--prompts", prompts, "--schedule", file, "--seeds", "2"])
        #expect(first.wait() == 0, "\(first.errors)")
        let initial = try report(first)
        #expect(initial.promptSet == "other" && initial.images == 6)
        #expect([initial.engine, initial.precision] == ["native", "float32"])
        #expect([initial.runEngine, initial.runPrecision] == ["native", "float32"])
        #expect(Set(initial.schedules.map(\.schedule)) == ["uncached", "gated.json"])
        let uncached = try #require(initial.schedules.first { $0.schedule == "uncached" })
        #expect(uncached.scores["psnr"]?.mean == 100 && uncached.scores["psnr"]?.images == 6)
        // After the gate, steps run without guidance, at half the multiply-adds.
        let gated = try #require(initial.schedules.first { $0.schedule == "gated.json" })
        #expect(try #require(gated.macs) < #require(uncached.macs) * 3 / 4)
        #expect(try #require(gated.scores["psnr"]).mean < 100)
        #expect(gated.latencyRatio != nil)

        // Existing measurements are reused; front and heuristics are measured on the same images.
        let tasksBefore = try run.count("SELECT count(*) FROM tasks WHERE evaluation_set = 'other'")
        let second = try benchmark(
            run, ["--prompts", prompts, "--schedule", file, "--seeds", "2", "--front", "--heuristics"], workers: 2)
        #expect(second.wait() == 0, "\(second.errors)")
        let extended = try report(second)
        #expect(extended.schedules.contains { $0.origin == "front" })
        #expect(extended.schedules.contains { $0.schedule.hasPrefix("fora-") })
        #expect(extended.schedules.contains { $0.schedule.hasPrefix("tgate-") })
        let measured = try images(of: run)
        #expect(
            measured.count == extended.schedules.count
                && Set(measured.map { $0[1] }) == [.text("0/0 0/1 1/0 1/1 2/0 2/1")])
        #expect(
            try run.count(
                "SELECT count(*) FROM tasks WHERE evaluation_set = 'other' AND id IN (SELECT task_id FROM task_candidates "
                    + "JOIN candidates c ON c.id = candidate_id WHERE c.label IN ('uncached', 'gated.json'))")
                == tasksBefore)
        #expect(
            try run.count("SELECT count(*) FROM benchmark_scores WHERE scorer = 'psnr'")
                == Int64(extended.schedules.count))
        // The search is unaffected.
        let searchedCandidates = try RunHistory.openReadOnly(in: run.runFolder).query(
            "SELECT count(*) FROM candidates WHERE generation IS NOT NULL")
        #expect(searchedCandidates.rows == [[.integer(try run.count("SELECT sum(evaluations) FROM generations"))]])
        #expect(try run.count("SELECT count(*) FROM pareto_front") > 0)
        #expect(decisions.count == (try run.decisions()).count - extended.schedules.count)
    }

    @Test func membersOfTheFrontAreSpreadOverIt() throws {
        let run = try SmallRun(generations: 3)
        #expect(try run.begin(workers: 1).wait() == 0)
        let prompts = try run.folder.write("a cat\n", to: "other.txt")
        let front = try RunHistory.openReadOnly(in: run.runFolder).query("SELECT candidate_id FROM pareto_front").rows
            .compactMap { row -> String? in
                guard case .integer(let id) = row[0] else { return nil }
                return "candidate \(id)"
            }
        try #require(front.count > 3)
        let arguments = ["--prompts", prompts, "--front"]
        let few = try benchmark(run, arguments + ["--front-members", "3"])
        #expect(few.wait() == 0, "\(few.errors)")
        let members = try report(few).schedules.filter { $0.origin == "front" }.map(\.schedule)
        #expect(Set(members) == [front[0], front[(front.count - 1) / 2], front[front.count - 1]])
        // A limit above the front's length selects all of it.
        let all = try benchmark(run, arguments + ["--front-members", "10000"])
        #expect(all.wait() == 0, "\(all.errors)")
        #expect(Set(try report(all).schedules.filter { $0.origin == "front" }.map(\.schedule)) == Set(front))
        let alone = try benchmark(run, ["--prompts", prompts, "--heuristics", "--front-members", "3"])
        #expect(alone.wait() == 2 && alone.errors.contains("--front-members 3 has no effect without --front"))
        let one = try benchmark(run, arguments + ["--front-members", "1"])
        #expect(one.wait() == 2 && one.errors.contains("--front-members"), "\(one.errors)")
    }

    @Test func killedBenchmarkResumes() throws {
        let run = try SmallRun(generations: 1)
        #expect(try run.begin(workers: 1).wait() == 0)
        let prompts = try run.folder.write(
            (0..<30).map { "prompt number \($0)" }.joined(separator: "\n"), to: "other.txt")
        let arguments = ["--prompts", prompts, "--front", "--heuristics"]
        let killed = try benchmark(run, arguments)
        let deadline = Date().addingTimeInterval(120)
        func done() throws -> Int64 {
            try run.count("SELECT count(*) FROM tasks WHERE evaluation_set = 'other' AND state = 'done'")
        }
        while try done() < 2, Date() < deadline { Thread.sleep(forTimeInterval: 0.05) }
        killed.kill()
        #expect(try done() >= 2)
        let second = try benchmark(run, arguments, workers: 2)
        #expect(second.wait() == 0, "\(second.errors)")
        let tasks = try run.count("SELECT count(*) FROM tasks WHERE evaluation_set = 'other'")
        let unfinished = try RunHistory.openReadOnly(in: run.runFolder).query(
            "SELECT id, state, attempts, failure FROM tasks WHERE evaluation_set = 'other' AND state <> 'done'")
        #expect(try done() == tasks, "\(unfinished.rows)")
        let counts = try RunHistory.openReadOnly(in: run.runFolder).query(
            "SELECT DISTINCT images FROM benchmark_scores WHERE prompt_set = 'other'")
        #expect(counts.rows == [[.integer(30)]])
        #expect(
            try run.count(
                "SELECT count(*) FROM image_timings t JOIN prompts p ON p.id = t.prompt_id WHERE p.evaluation_set = 'other'"
            )
                == run.count("SELECT sum(images) FROM benchmark_scores WHERE scorer = 'psnr'"))
    }

    @Test func invalidBenchmarksGiveOneLineErrors() throws {
        let run = try SmallRun(generations: 1)
        #expect(try run.begin(workers: 1).wait() == 0)
        let prompts = try run.folder.write("one\n", to: "other.txt")
        let empty = try run.folder.write("\n", to: "empty.txt")
        let foreign = run.folder.file("foreign.json")
        let shape = try ModelDescription(modelFolder: SmallRun.model, height: 16, width: 16).architecture.shape(
            stepCount: 7)
        try ScheduleFile(schedule: Heuristic.fora(interval: 2).schedule(for: shape)).write(to: foreign)
        for (arguments, status, part) in [
            (["--prompts", prompts, "--front", "--engine", "gpu"], 2, "'gpu' is invalid"),
            (
                ["--prompts", prompts, "--front", "--engine", "torch"], 1,
                "--workers 1 starts workers with the native engine"
            ),
            (["--prompts", prompts], 2, "nothing to measure"),
            (["--prompts", prompts, "--front", "--seeds", "0"], 2, "--seeds 0"),
            (["--prompts", prompts, "--front", "--set", "model.steps=3"], 2, "only scorers.NAME=DIR"),
            (["--prompts", prompts, "--front", "--set", "scorers.clip=/nowhere"], 1, "/nowhere"),
            (["--prompts", empty, "--front"], 1, "empty.txt: no prompts"),
            (["--prompts", "/nowhere.txt", "--front"], 1, "/nowhere.txt: cannot be read"),
            (["--prompts", prompts, "--schedule", foreign], 1, "foreign.json: the schedule is for"),
            (["--prompts", prompts, "--schedule", foreign, foreign], 1, "foreign.json"),
            (["--prompts", prompts, "--name", "calibration", "--front"], 1, "reserved for the search"),
        ] {
            let program = try benchmark(run, arguments)
            #expect(program.wait() == Int32(status), "\(arguments): \(program.errors)")
            #expect(program.errors.contains(part), "\(program.errors)")
        }
    }

    @Test func scorerGivenTwiceIsRejected() throws {
        let run = try SmallRun(generations: 1)
        let clip = "\(Fixtures.folder)/clip/model"
        #expect(try run.begin(workers: 1, ["--set", "scorers.clip=\(clip)"]).wait() == 0)
        let prompts = try run.folder.write("some words\n", to: "other.txt")
        let refused = try benchmark(
            run, ["--prompts", prompts, "--front", "--scorer", clip, "--set", "scorers.clip=/elsewhere"])
        #expect(refused.wait() == 1)
        #expect(
            refused.errors.contains("both are the model of scorers.clip; expected one of them"), "\(refused.errors)")
    }
}
