import Foundation
import TestSupport
import Testing

/// Workers that are told to shut down, and coordinators that are restarted.
@Suite struct DrainTests {
    private let small: SmallRun
    private let port = freePort()

    init() throws { small = try SmallRun(generations: 300) }

    private func coordinator() throws -> ProgramRun {
        try ProgramRun(
            "ecad-coordinator",
            ["run", "--config", small.configuration, "--run-dir", small.runFolder, "--bind", "tcp://127.0.0.1:\(port)"])
    }

    private func waitForTasks(_ count: Int64) -> Bool {
        let deadline = Date().addingTimeInterval(120)
        while Date() < deadline {
            if let done = try? small.count("SELECT count(*) FROM tasks WHERE state = 'done'"), done >= count {
                return true
            }
            Thread.sleep(forTimeInterval: 0.05)
        }
        return false
    }

    @Test(arguments: [SIGTERM, SIGUSR1])
    func endedWorkerLeavesNoLeaseAndNoResult(_ signal: Int32) throws {
        let coordinator = try coordinator()
        let worker = try small.worker(port: port, name: "w")
        #expect(waitForTasks(3))
        kill(worker.processID, signal)
        #expect(worker.wait() == 0, "\(worker.errors)")
        #expect(worker.errors.contains("shutting down"))
        #expect(coordinator.waitForError(containing: "w: left: shutting down", seconds: 120), "\(coordinator.errors)")
        // The line is logged before the transaction is committed.
        #expect(small.eventually("SELECT count(*) FROM leases WHERE ended_at IS NULL", is: 0))
        #expect(try small.count("SELECT count(*) FROM leases WHERE outcome NOT IN ('done', 'returned')") == 0)
        let spool = try FileManager.default.contentsOfDirectory(atPath: small.folder.file("spool-w"))
        #expect(!spool.contains { $0.hasSuffix(".result") }, "\(spool)")
        coordinator.terminate()
        _ = coordinator.wait()
    }

    @Test func workerWaitsForARestartedCoordinator() throws {
        let first = try coordinator()
        let worker = try small.worker(port: port, name: "w")
        #expect(waitForTasks(3))
        first.terminate()
        #expect(first.wait() == 1)
        #expect(worker.waitForError(containing: "waiting for the coordinator", seconds: 120), "\(worker.errors)")
        #expect(worker.isRunning)
        let done = try small.count("SELECT count(*) FROM tasks WHERE state = 'done'")
        let second = try small.resume(port: port)
        #expect(waitForTasks(done + 3))
        second.terminate()
        _ = second.wait()
        worker.terminate()
        #expect(worker.wait() == 0, "\(worker.errors)")
    }

    @Test func workerWithTooLittleTimeGetsNoTask() throws {
        let coordinator = try coordinator()
        let unlimited = try small.worker(port: port, name: "unlimited")
        #expect(waitForTasks(3))
        // One second is less than the coordinator's safety margin.
        let late = try small.worker(port: port, name: "late", ["--walltime", "1"])
        #expect(late.wait() == 0, "\(late.errors)")
        #expect(late.errors.contains("less time is left than a task takes"), "\(late.errors)")
        #expect(
            try small.count(
                "SELECT count(*) FROM leases l JOIN workers w ON w.id = l.worker_id WHERE w.name = 'late'") == 0)
        unlimited.terminate()
        _ = unlimited.wait()
        coordinator.terminate()
        _ = coordinator.wait()
    }

    // MARK: - Spool

    /// Containers set HOME for a user id that the user database does not know, or knows with another directory.
    @Test func spoolIsInTheHomeDirectoryOfTheEnvironment() throws {
        let folder = try TemporaryFolder()
        let shell = Process()
        shell.executableURL = URL(fileURLWithPath: "/bin/sh")
        shell.arguments = [
            "-c",
            "unset XDG_STATE_HOME; HOME=\"$1\" exec \"$0\" run --coordinator tcp://127.0.0.1:1 --models \"$2\" --name w "
                + "--coordinator-timeout 0.2 2>/dev/null",
            "\(ProgramRun.productFolder)/ecad-worker", folder.path, SmallRun.model,
        ]
        try shell.run()
        shell.waitUntilExit()
        #expect(shell.terminationStatus == 1)
        #expect(FileManager.default.fileExists(atPath: folder.file(".local/state/ecad-worker/w")))
    }

    @Test func spoolThatCannotBeCreatedIsNamedWithTheRemedy() throws {
        let small = try SmallRun()
        let file = try small.folder.write("", to: "file")
        let worker = try ProgramRun(
            "ecad-worker",
            ["run", "--coordinator", "tcp://127.0.0.1:1", "--models", SmallRun.model, "--spool", "\(file)/spool"])
        #expect(worker.wait() == 1)
        #expect(
            worker.errors.contains("\(file): cannot store results: cannot be created: it is not a directory; choose "),
            "\(worker.errors)")
    }
}
