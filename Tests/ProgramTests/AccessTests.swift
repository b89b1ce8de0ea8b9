import Foundation
import History
import Messages
import TestSupport
import Testing
import Transport

/// Keys, encryption and `ecad-worker doctor`, with real processes and sockets.
@Suite struct AccessTests {
    private let small: SmallRun
    private let port = freePort()

    init() throws { small = try SmallRun(generations: 4) }

    private var keyFolder: String { "\(small.runFolder)/keys" }

    private func command(_ arguments: [String]) throws -> String {
        let run = try ProgramRun("ecad-coordinator", arguments)
        #expect(run.wait() == 0, "\(run.errors)")
        return run.output
    }

    private func key(_ name: String) throws -> String {
        let path = small.folder.file("\(name).key")
        _ = try command(["keys", "new", name, "--run-dir", small.runFolder, "-o", path])
        return path
    }

    private func coordinator(_ more: [String] = []) throws -> ProgramRun {
        let run = try ProgramRun(
            "ecad-coordinator",
            [
                "run", "--config", small.configuration, "--run-dir", small.runFolder, "--bind",
                "tcp://127.0.0.1:\(port)",
            ] + more)
        #expect(run.waitForError(containing: "listening"), "\(run.errors)")
        return run
    }

    private func doctor(_ port: Int, _ more: [String] = []) throws -> (status: Int32?, line: String) {
        let run = try ProgramRun("ecad-worker", ["doctor", "--coordinator", "tcp://127.0.0.1:\(port)"] + more)
        let status = run.wait()
        #expect(run.output.split(separator: "\n").count == 1, "\(run.output)\(run.errors)")
        return (status, run.output)
    }

    /// One line on both sides; local workers are the native engine.
    @Test func runsOfAnotherEngineRefuseThisWorker() throws {
        let local = try small.begin(workers: 1, ["--set", "model.engine=torch"])
        #expect(local.wait() == 1)
        #expect(
            local.errors.contains("--workers 1 starts workers with the native engine, the run's model.engine is torch"),
            "\(local.errors)")
        #expect(!FileManager.default.fileExists(atPath: small.runFolder + "/history.sqlite"))
        let running = try coordinator(["--insecure-plaintext", "--set", "model.engine=torch"])
        #expect(running.errors.contains("join with: ecad-torch-worker --coordinator"), "\(running.errors)")
        let diagnosis = try doctor(port)
        #expect(diagnosis.status == 1, "\(diagnosis)")
        #expect(diagnosis.line.contains("the run's model.engine is torch"), "\(diagnosis)")
        #expect(diagnosis.line.contains("join with ecad-torch-worker"), "\(diagnosis)")
        let worker = try small.worker(port: port, name: "w")
        #expect(worker.wait() == 1 && worker.errors.contains("join with ecad-torch-worker"), "\(worker.errors)")
        #expect(running.errors.contains("refused w: the worker's engine is native"), "\(running.errors)")
        let status = try command(["status", "--run-dir", small.runFolder])
        #expect(status.contains("engine       torch, float32"), "\(status)")
    }

    @Test func doctorDistinguishesConnectionProblems() throws {
        let good = try key("good")
        let revoked = try key("revoked")
        _ = try command(["keys", "revoke", "revoked", "--run-dir", small.runFolder])
        let unknown = small.folder.file("unknown.key")
        let folder = try KeyFolder.open(keyFolder)
        try WorkerKeyFile(
            name: "unknown", keys: try KeyPair.generate(), coordinator: try folder.coordinatorKeys().publicKey
        ).write(to: unknown)
        let elsewhere = small.folder.file("elsewhere.key")
        _ = try command(["keys", "new", "x", "--keys", small.folder.file("other-keys"), "-o", elsewhere])
        let coordinator = try coordinator()

        let healthy = try doctor(port, ["--key", good])
        #expect(healthy.status == 0 && healthy.line.hasPrefix("ok:"), "\(healthy)")
        #expect(healthy.line.contains("(native, float32)"), "\(healthy)")
        for (key, text) in [
            (revoked, "not authorized"), (unknown, "not authorized"), (elsewhere, "wrong key"), (nil, "key required"),
        ] {
            let failed = try doctor(port, key.map { ["--key", $0] } ?? [])
            #expect(failed.status == 1 && failed.line.contains(text), "\(failed)")
        }
        let closed = try doctor(freePort())
        #expect(closed.status == 1 && closed.line.contains("unreachable port"), "\(closed)")

        // A ZeroMQ program that is not a coordinator.
        let context = try SocketContext()
        let other = try CoordinatorSocket(listeningOn: Endpoint("tcp://127.0.0.1:0"), in: context, wakeup: Wakeup())
        let foreign = try doctor(Int(other.endpoint.port))
        #expect(foreign.status == 1 && foreign.line.contains("not an ECAD coordinator"), "\(foreign)")

        let areRecorded = try eventually { try small.count("SELECT sum(count) FROM refusals") >= 4 }
        #expect(areRecorded)
        #expect(try small.count("SELECT count(*) FROM workers") == 0, "no worker was accepted")
        #expect(try small.count("SELECT count(*) FROM leases") == 0, "no task was assigned")
        coordinator.terminate()
        _ = coordinator.wait()
    }

    @Test func probeFromAnotherReleaseIsRejected() throws {
        let coordinator = try coordinator()
        let context = try SocketContext()
        var socket = try WorkerSocket(
            connectingTo: Endpoint("tcp://127.0.0.1:\(port)"), as: .random(), in: context, wakeup: Wakeup())
        #expect(try socket.waitForConnection(timeout: .seconds(120)))
        var probe = Probe()
        probe.engineVersion = "9.9.9"
        #expect(try socket.send(WorkerMessage.encode(.probe(probe))))
        let answer = try #require(try socket.receive(timeout: .seconds(120)))
        guard case .refusal(let refusal) = try CoordinatorMessage.decode(answer) else {
            Issue.record("expected a refusal")
            return
        }
        #expect(refusal.reason.contains("wrong version") && refusal.reason.contains("9.9.9") && !refusal.retry)
        coordinator.terminate()
        _ = coordinator.wait()
    }

    @Test func encryptedRunEqualsAPlainOneAndUsesTheNamesOfKeys() throws {
        let plain = try SmallRun(generations: 4)
        let reference = try plain.begin(workers: 1)
        #expect(reference.wait() == 0, "\(reference.errors)")

        let key = try key("node-1")
        let coordinator = try coordinator()
        // The name of the key takes precedence. One worker, so that none is late for the run.
        let worker = try small.worker(port: port, name: "other", ["--key", key])
        #expect(coordinator.wait() == 0, "\(coordinator.errors)")
        #expect(worker.wait() == 0, "\(worker.errors)")
        #expect(try small.decisions() == plain.decisions())
        #expect(try small.count("SELECT count(*) FROM workers WHERE name = 'node-1'") == 1)
        #expect(try small.count("SELECT count(*) FROM workers") == 1)
    }

    @Test func localWorkersGetSessionKeys() throws {
        _ = try key("unused")
        let run = try small.begin(workers: 2)
        #expect(run.wait() == 0, "\(run.errors)")
        #expect(run.errors.contains("encrypted"))
        #expect(try small.count("SELECT count(*) FROM workers WHERE name LIKE 'local-%'") == 2)
    }

    @Test func revokedWorkerIsDisconnectedDuringARun() throws {
        let (bad, good) = (try key("bad"), try key("good"))
        let long = ["--set", "search.generations=400"]
        let coordinator = try coordinator(long)
        let worker = try small.worker(port: port, name: "a", ["--key", bad])
        #expect(try eventually { try small.count("SELECT count(*) FROM tasks WHERE state = 'done'") > 0 })
        _ = try command(["keys", "revoke", "bad", "--run-dir", small.runFolder])
        #expect(worker.wait() == 1)
        #expect(worker.errors.contains("revoked"), "\(worker.errors)")
        let other = try small.worker(port: port, name: "b", ["--key", good])
        #expect(
            try eventually {
                try small.count(
                    "SELECT count(*) FROM tasks t JOIN workers w ON w.id = t.worker_id WHERE w.name = 'good'") > 0
            }, "the run continues")
        #expect(try small.count("SELECT count(*) FROM leases WHERE ended_at IS NULL AND worker_id = 1") == 0)
        coordinator.terminate()
        _ = coordinator.wait()
        other.terminate()
        #expect(other.wait() == 0)
    }

    @Test func publicPortNeedsKeysOrAnExplicitOption() throws {
        let arguments = [
            "run", "--config", small.configuration, "--run-dir", small.runFolder, "--bind", "tcp://0.0.0.0:\(port)",
        ]
        let refused = try ProgramRun("ecad-coordinator", arguments)
        #expect(refused.wait() == 1)
        #expect(refused.errors.contains("keys new") && refused.errors.contains("--insecure-plaintext"))
        #expect(!FileManager.default.fileExists(atPath: small.runFolder))
    }

    private func eventually(_ condition: () throws -> Bool) throws -> Bool {
        let deadline = Date().addingTimeInterval(120)
        while Date() < deadline {
            if (try? condition()) == true { return true }
            Thread.sleep(forTimeInterval: 0.05)
        }
        return false
    }
}
