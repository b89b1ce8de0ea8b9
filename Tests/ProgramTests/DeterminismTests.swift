import Foundation
import TestSupport
import Testing

/// With multiply-adds as cost the search does not depend on who computed what, when, or how often it was killed.
@Suite struct DeterminismTests {
    @Test func oneTwoAndThreeWorkersAndKillsGiveTheSamePopulation() throws {
        let reference = try SmallRun()
        let undisturbed = try reference.begin(workers: 1)
        #expect(undisturbed.wait() == 0, "\(undisturbed.errors)")
        let expected = try reference.decisions()
        #expect(expected.count > 18)
        #expect(try reference.count("SELECT count(*) FROM pareto_front") > 0)

        for workers in [2, 3] {
            let run = try SmallRun()
            let process = try run.begin(workers: workers)
            #expect(process.wait() == 0, "\(process.errors)")
            #expect(try run.decisions() == expected, "\(workers) workers")
        }

        let stormy = try SmallRun()
        let killCount = try killAndResume(stormy)
        #expect(killCount >= 4, "the run ended after \(killCount) kills")
        #expect(try stormy.decisions() == expected)
        #expect(try stormy.count("SELECT count(*) FROM tasks WHERE state <> 'done'") == 0)
        // Every image of every candidate once: nothing lost, nothing counted twice.
        #expect(
            try stormy.count("SELECT count(*) FROM image_scores")
                == stormy.count("SELECT 3 * count(*) FROM candidates"))
        #expect(
            try stormy.count("SELECT count(*) FROM image_timings")
                == stormy.count("SELECT 3 * count(*) FROM candidates"))
    }

    /// Kills the coordinator and the workers again and again, starting each anew, until the run is complete.
    private func killAndResume(_ run: SmallRun) throws -> Int {
        let port = freePort()
        var generator = SystemRandomNumberGenerator()
        var killCount = 0
        var workers = [try run.worker(port: port, name: "w-0"), try run.worker(port: port, name: "w-1")]
        var coordinator = try ProgramRun(
            "ecad-coordinator",
            ["run", "--config", run.configuration, "--run-dir", run.runFolder, "--bind", "tcp://127.0.0.1:\(port)"])
        for _ in 0..<200 {
            let pause = Double.random(in: 0.3...1.2, using: &generator)
            let deadline = Date().addingTimeInterval(pause)
            while Date() < deadline, coordinator.isRunning { Thread.sleep(forTimeInterval: 0.02) }
            if !coordinator.isRunning { break }
            if killCount % 3 == 2 {
                // Killed before the run was entered in the history, there is nothing to resume yet.
                guard FileManager.default.fileExists(atPath: "\(run.runFolder)/history.sqlite"),
                    (try? run.count("SELECT count(*) FROM generations")) ?? 0 > 0
                else { continue }
                coordinator.kill()
                coordinator = try run.resume(port: port)
            } else {
                let victim = Int.random(in: 0..<2, using: &generator)
                workers[victim].kill()
                workers[victim] = try run.worker(port: port, name: "w-\(victim)")
            }
            killCount += 1
            // The storm passes, so that the run ends.
            if killCount >= 9 { break }
        }
        #expect(coordinator.wait(seconds: 180) == 0, "\(coordinator.errors)")
        for worker in workers { _ = worker.wait(seconds: 20) }
        return killCount
    }
}
