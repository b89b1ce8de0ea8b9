import Foundation
import History
import Schedules
import TestSupport
import Testing

/// Extended, forked, steady-state and warm-started runs.
@Suite struct ContinuationTests {
    private func coordinator(_ arguments: [String]) throws -> ProgramRun {
        try ProgramRun("ecad-coordinator", arguments + ["--bind", "tcp://127.0.0.1:0"])
    }

    private func genomes(_ folder: String) throws -> [[QueryValue]] {
        try RunHistory.openReadOnly(in: folder).query(
            "SELECT generation, hex(genome) FROM candidates WHERE run_id = 1 ORDER BY id"
        ).rows
    }

    private func count(_ sql: String, in folder: String) throws -> Int64 {
        guard case .integer(let number) = try RunHistory.openReadOnly(in: folder).query(sql).rows.first?.first else {
            return -1
        }
        return number
    }

    @Test func extendedRunEqualsALongerRun() throws {
        let long = try SmallRun(generations: 5)
        #expect(try long.begin(workers: 1).wait() == 0)
        let short = try SmallRun(generations: 3)
        // A stop rule that ended the run no longer applies after extend.
        #expect(try short.begin(workers: 1, ["--set", "stop.evaluations=18"]).wait() == 0)
        let done = try short.count("SELECT count(*) FROM generations")
        #expect(done == 3)
        let extended = try coordinator(
            ["extend", "--run-dir", short.runFolder, "--generations", "2", "--workers", "1"])
        #expect(extended.wait() == 0, "\(extended.errors)")
        #expect(try short.decisions() == long.decisions())
    }

    @Test func forkWithTheSameSettingsReusesAllEvaluations() throws {
        let run = try SmallRun(generations: 5)
        #expect(try run.begin(workers: 1).wait() == 0)
        let target = run.folder.file("fork")
        // All evaluations and the contact sheet are in the history.
        let fork = try coordinator(
            ["fork", "--run-dir", run.runFolder, "--from", "1", "--into", target, "--workers", "1"])
        #expect(fork.wait() == 0, "\(fork.errors)")
        #expect(try genomes(target) == genomes(run.runFolder))
        #expect(try count("SELECT count(*) FROM tasks WHERE run_id = 1 AND generation > 1", in: target) == 0)
        #expect(
            try count(
                "SELECT count(*) FROM evaluations e JOIN candidates c ON c.id = e.candidate_id AND c.run_id = 1",
                in: target)
                == run.count("SELECT count(*) FROM evaluations"))
        #expect(
            try RunHistory.openReadOnly(in: target).query(
                "SELECT hypervolume FROM hypervolume_history WHERE run_id = 1"
            ).rows
                == RunHistory.openReadOnly(in: run.runFolder).query("SELECT hypervolume FROM hypervolume_history").rows)
    }

    @Test func forkWithOtherSettingsEvaluatesNewCandidatesOnly() throws {
        let run = try SmallRun(generations: 3)
        #expect(try run.begin(workers: 1).wait() == 0)
        let target = run.folder.file("fork")
        let fork = try coordinator([
            "fork", "--run-dir", run.runFolder, "--from", "1", "--into", target, "--workers", "1", "--set",
            "search.population=9", "--set", "search.seed=8", "--set", "search.mode=steady-state",
        ])
        #expect(fork.wait() == 0, "\(fork.errors)")
        #expect(
            (1...9).contains(
                try count("SELECT count(*) FROM candidates WHERE run_id = 1 AND generation = 2", in: target)))
        #expect(
            try count(
                "SELECT count(*) FROM candidates a JOIN candidates b USING (canonical_hash) JOIN tasks t JOIN task_candidates tc ON tc.task_id = t.id AND tc.candidate_id = b.id WHERE a.run_id <> 1 AND b.run_id = 1 AND b.generation > 1",
                in: target) == 0)
        for (arguments, part) in [
            (["--from", "1", "--set", "model.guidance_scale=2"], "search.warm_start"),
            (["--from", "1", "--set", "search.seeding=[\"random\"]"], "search.seeding is only allowed for a new run"),
            (["--from", "1", "--set", "tasks.seconds=5"], "tasks.seconds is only allowed without tasks.schedules"),
            (["--from", "7"], "leaves none after generation 7"),
            (["--from", "2", "--set", "search.generations=9"], "exists"),
        ] {
            let rejected = try coordinator(["fork", "--run-dir", run.runFolder, "--into", target] + arguments)
            #expect(rejected.wait() == 1 && rejected.errors.contains(part), "\(rejected.errors)")
        }
    }

    @Test func steadyStateEvaluatesEveryGenomeOnceDespiteCrashes() throws {
        let run = try SmallRun(generations: 6)
        let port = freePort()
        var workers = [try run.worker(port: port, name: "w-0"), try run.worker(port: port, name: "w-1")]
        var coordinator = try ProgramRun(
            "ecad-coordinator",
            [
                "run", "--config", run.configuration, "--run-dir", run.runFolder, "--bind", "tcp://127.0.0.1:\(port)",
                "--set", "search.mode=steady-state", "--set", "tasks.schedules=1",
            ])
        var killCount = 0
        var nextKill = Int64(5)
        let deadline = Date().addingTimeInterval(300)
        while coordinator.isRunning, Date() < deadline {
            Thread.sleep(forTimeInterval: 0.01)
            let done = (try? run.count("SELECT count(*) FROM tasks WHERE state = 'done'")) ?? 0
            guard done >= nextKill, coordinator.isRunning else { continue }
            if killCount % 2 == 0 {
                coordinator.kill()
                coordinator = try run.resume(port: port)
            } else {
                workers[0].kill()
                workers[0] = try run.worker(port: port, name: "w-0")
            }
            killCount += 1
            nextKill = done + 9
        }
        #expect(coordinator.wait() == 0, "\(coordinator.errors)")
        for worker in workers { _ = worker.wait() }
        #expect(killCount >= 3)
        // Of 36 offspring, those with an evaluated genome reuse its result.
        let candidates = try run.count("SELECT count(*) FROM candidates")
        #expect((25...36).contains(candidates))
        #expect(try run.count("SELECT count(*) FROM evaluations") == candidates)
        #expect(try run.count("SELECT count(DISTINCT canonical_hash) FROM candidates") == candidates)
        #expect(try run.count("SELECT count(*) FROM image_scores WHERE scorer = 'psnr'") == 3 * candidates)
        #expect(try run.count("SELECT count(*) FROM tasks WHERE state <> 'done'") == 0)
        #expect(try run.count("SELECT count(*) FROM generations WHERE finished_at IS NOT NULL") == 6)
        #expect(try run.count("SELECT sum(evaluations) FROM generations") == candidates)
        let hypervolumes = try RunHistory.openReadOnly(in: run.runFolder).query(named: "hypervolume_history").rows
            .compactMap {
                if case .real(let hypervolume) = $0[4] { hypervolume } else { nil }
            }
        #expect(hypervolumes.count == 6 && hypervolumes == hypervolumes.sorted())
    }

    @Test func searchWithAGivenCostTableDoesNotDependOnTheWorkers() throws {
        let phase = CostTable.Phase(
            step: 1e-4,
            components: [
                "attn1": .init(compute: 2e-4), "attn2": .init(compute: 1e-4, keep: 1e-6), "ff": .init(compute: 3e-4),
            ])
        let table = CostTable(imageCount: 2, full: phase)
        var decisions: [[[QueryValue]]] = []
        for workers in [2, 3] {
            let run = try SmallRun(generations: 4)
            let path = try run.folder.write(table.json, to: "costs.json")
            let process = try run.begin(
                workers: workers, ["--set", "objectives.cost=latency", "--set", "objectives.cost_table=\(path)"])
            #expect(process.wait() == 0, "\(process.errors)")
            decisions.append(try run.decisions())
            #expect(
                try run.count("SELECT count(*) FROM evaluations WHERE cost = modelled_ratio AND latency_ratio > 0")
                    == run.count("SELECT count(*) FROM candidates"))
            #expect(
                try run.count("SELECT count(*) FROM latency_model_error")
                    == run.count("SELECT count(*) FROM candidates"))
        }
        #expect(decisions[0] == decisions[1])
    }

    @Test func workersMeasureTheCostTable() throws {
        let run = try SmallRun(generations: 2)
        let process = try run.begin(workers: 2, ["--set", "objectives.cost=latency"])
        #expect(process.wait() == 0, "\(process.errors)")
        #expect(try run.count("SELECT count(*) FROM cost_tables WHERE is_objective = 1") == 1)
        #expect((1...2).contains(try run.count("SELECT count(*) FROM cost_tables")))
        #expect(
            try run.count(
                "SELECT count(*) FROM cost_tables WHERE worker_id IS NOT NULL AND worker_class LIKE '%, 1 thread, %'")
                == run.count("SELECT count(*) FROM cost_tables"))
        #expect(
            try run.count("SELECT count(*) FROM evaluations WHERE cost = modelled_ratio AND cost > 0 AND cost <= 1")
                == run.count("SELECT count(*) FROM candidates"))
    }

    @Test func warmStartSeedsTheFrontOfAnotherRun() throws {
        let first = try SmallRun(generations: 3)
        #expect(try first.begin(workers: 1).wait() == 0)
        let second = try SmallRun(generations: 1)
        let process = try second.begin(
            workers: 1, ["--set", "model.steps=8", "--set", "search.warm_start=\(first.runFolder)"])
        #expect(process.wait() == 0, "\(process.errors)")
        #expect(try second.count("SELECT count(*) FROM candidates") == 6)
        #expect(try second.count("SELECT count(*) FROM candidates WHERE origin LIKE 'warm-start:%'") > 0)
    }

    @Test func flatHypervolumeEndsTheRun() throws {
        let run = try SmallRun(generations: 50)
        let process = try run.begin(workers: 1, ["--set", "stop.flat_generations=2", "--set", "stop.flat_gain=0.9"])
        #expect(process.wait() == 0, "\(process.errors)")
        #expect(try run.count("SELECT count(*) FROM generations") < 20)
        #expect(
            try run.count("SELECT count(*) FROM events WHERE kind = 'ended' AND text LIKE '%stop.flat_generations%'")
                == 1)
    }
}
