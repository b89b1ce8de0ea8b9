import Foundation
import TestSupport
import Testing

/// With multiply-adds as cost the search does not depend on who computed what, when, or how often it was killed.
@Suite struct DeterminismTests {
    @Test func oneTwoAndThreeWorkersAndKillsGiveTheSamePopulation() throws {
        let reference = try SmallRun(generations: 6)
        let undisturbed = try reference.begin(workers: 1)
        #expect(undisturbed.wait() == 0, "\(undisturbed.errors)")
        let expected = try reference.decisions()
        #expect(expected.count > 36)
        #expect(try reference.count("SELECT count(*) FROM pareto_front") > 0)

        for workers in [2, 3] {
            let run = try SmallRun(generations: 6)
            let process = try run.begin(workers: workers, ["--worker-threads", "\(workers)"])
            #expect(process.wait() == 0, "\(process.errors)")
            #expect(try run.decisions() == expected, "\(workers) workers of \(workers) threads")
        }

        let stormy = try SmallRun(generations: 6)
        let killCount = try killAndResume(stormy)
        #expect(killCount >= 4, "the run ended after \(killCount) kills")
        #expect(try stormy.decisions() == expected)
        #expect(try stormy.count("SELECT count(*) FROM tasks WHERE state <> 'done'") == 0)
        // Every image of every candidate once: nothing lost, nothing counted twice.
        #expect(
            try stormy.count("SELECT count(*) FROM image_scores WHERE scorer = 'psnr'")
                == stormy.count("SELECT 3 * count(*) FROM candidates"))
        #expect(
            try stormy.count("SELECT count(*) FROM image_timings")
                == stormy.count("SELECT 3 * count(*) FROM candidates"))
    }

    @Test func thePaperPresetEvaluatesNoGenomeTwice() throws {
        let run = try SmallRun(generations: 8)
        let process = try run.begin(workers: 1, ["--set", "search.preset=ecad-paper", "--set", "model.steps=2"])
        #expect(process.wait() == 0, "\(process.errors)")
        #expect(try run.count("SELECT count(*) FROM generations WHERE finished_at IS NOT NULL") == 8)
        #expect(
            try run.count("SELECT count(*) FROM candidates")
                == run.count("SELECT count(DISTINCT canonical_hash) FROM candidates"))
        let left = try FileManager.default.contentsOfDirectory(atPath: run.runFolder)
        #expect(!left.contains { $0.hasSuffix(".spool") }, "nothing unacknowledged is left: \(left)")
        // Resuming a complete run shows its end again and asks no worker for anything.
        let again = try run.resume(port: 0)
        #expect(again.wait() == 0, "\(again.errors)")
        #expect(again.output == process.output)
    }

    /// Kills the coordinator or a worker at a random moment after every few tasks, starting each anew, until the run is
    /// complete.
    private func killAndResume(_ run: SmallRun) throws -> Int {
        let port = freePort()
        var workers = [try run.worker(port: port, name: "w-0"), try run.worker(port: port, name: "w-1")]
        var coordinator = try ProgramRun(
            "ecad-coordinator",
            ["run", "--config", run.configuration, "--run-dir", run.runFolder, "--bind", "tcp://127.0.0.1:\(port)"])
        var killCount = 0
        var nextKill = Int64(1)
        let deadline = Date().addingTimeInterval(180)
        while coordinator.isRunning, Date() < deadline {
            Thread.sleep(forTimeInterval: 0.01)
            let done = (try? run.count("SELECT count(*) FROM tasks WHERE state = 'done'")) ?? 0
            guard done >= nextKill else { continue }
            Thread.sleep(forTimeInterval: Double.random(in: 0...0.15))
            guard coordinator.isRunning else { break }
            if killCount % 2 == 0 {
                coordinator.kill()
                coordinator = try run.resume(port: port)
            } else {
                let victim = Int.random(in: 0..<2)
                workers[victim].kill()
                workers[victim] = try run.worker(port: port, name: "w-\(victim)")
            }
            killCount += 1
            nextKill = done + 2
        }
        #expect(coordinator.wait(seconds: 60) == 0, "\(coordinator.errors)")
        for worker in workers { _ = worker.wait(seconds: 20) }
        return killCount
    }
}
