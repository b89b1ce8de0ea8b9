import Foundation
import History
import Tensors
import TestSupport
import Testing

/// With MACs as cost, the search depends neither on the workers nor on crashes.
@Suite struct DeterminismTests {
    @Test func numberOfWorkersAndCrashesDoNotAffectTheSearch() throws {
        let reference = try SmallRun(generations: 6)
        let uninterrupted = try reference.begin(workers: 1)
        #expect(uninterrupted.wait() == 0, "\(uninterrupted.errors)")
        let expected = try reference.decisions()
        #expect(expected.count > 36)
        #expect(try reference.count("SELECT count(*) FROM pareto_front") > 0)

        for workers in [2, 3] {
            let run = try SmallRun(generations: 6)
            let process = try run.begin(workers: workers, ["--worker-threads", "\(workers)"])
            #expect(process.wait() == 0, "\(process.errors)")
            #expect(try run.decisions() == expected, "\(workers) workers of \(workers) threads")
        }

        let killed = try SmallRun(generations: 6)
        let killCount = try killAndResume(killed)
        #expect(killCount >= 4, "the run ended after \(killCount) kills")
        #expect(try killed.decisions() == expected)
        #expect(try killed.count("SELECT count(*) FROM tasks WHERE state <> 'done'") == 0)
        // Each image of each candidate exactly once.
        #expect(
            try killed.count("SELECT count(*) FROM image_scores WHERE scorer = 'psnr'")
                == killed.count("SELECT 3 * count(*) FROM candidates"))
        #expect(
            try killed.count("SELECT count(*) FROM image_timings")
                == killed.count("SELECT 3 * count(*) FROM candidates"))
    }

    @Test(.enabled(if: CPU.hasBFloat16)) func runInBFloat16DependsOnNeitherWorkersNorThreads() throws {
        func decisions(workers: Int, _ precision: String) throws -> [[QueryValue]] {
            let run = try SmallRun(generations: 4)
            let process = try run.begin(
                workers: workers, ["--set", "model.precision=\(precision)", "--worker-threads", "\(workers)"])
            #expect(process.wait() == 0, "\(process.errors)")
            #expect(try run.count("SELECT count(*) FROM pareto_front") > 1)
            return try run.decisions()
        }
        let narrow = try decisions(workers: 1, "bfloat16")
        #expect(try decisions(workers: 2, "bfloat16") == narrow)
        #expect(try decisions(workers: 1, "float32") != narrow)
    }

    @Test func paperPresetEvaluatesNoGenomeTwice() throws {
        let run = try SmallRun(generations: 8)
        let process = try run.begin(workers: 1, ["--set", "search.preset=ecad-paper", "--set", "model.steps=2"])
        #expect(process.wait() == 0, "\(process.errors)")
        #expect(try run.count("SELECT count(*) FROM generations WHERE finished_at IS NOT NULL") == 8)
        #expect(
            try run.count("SELECT count(*) FROM candidates")
                == run.count("SELECT count(DISTINCT canonical_hash) FROM candidates"))
        let left = try FileManager.default.contentsOfDirectory(atPath: run.runFolder)
        #expect(!left.contains { $0.hasSuffix(".spool") }, "unacknowledged results remain: \(left)")
        // Resuming a finished run prints its result again without workers.
        let again = try run.resume(port: 0)
        #expect(again.wait() == 0, "\(again.errors)")
        #expect(again.output == process.output)
    }

    /// Kills and restarts the coordinator or a worker at a random time after every few tasks until the run finishes.
    ///
    /// - Returns: The number of kills.
    private func killAndResume(_ run: SmallRun) throws -> Int {
        let port = freePort()
        var workers = [try run.worker(port: port, name: "w-0"), try run.worker(port: port, name: "w-1")]
        var coordinator = try ProgramRun(
            "ecad-coordinator",
            ["run", "--config", run.configuration, "--run-dir", run.runFolder, "--bind", "tcp://127.0.0.1:\(port)"])
        var killCount = 0
        var nextKill = Int64(1)
        let deadline = Date().addingTimeInterval(600)
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
        #expect(coordinator.wait() == 0, "\(coordinator.errors)")
        for worker in workers { _ = worker.wait(seconds: 20) }
        return killCount
    }
}
