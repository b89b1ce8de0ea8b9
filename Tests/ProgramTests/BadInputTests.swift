import Foundation
import History
import Messages
import SwiftProtobuf
import TestSupport
import Testing
import Transport

/// Invalid input gives a one-line error and exit status 1 (2 for usage errors), and leaves histories unchanged.
@Suite struct BadInputTests {
    private func expectOneLine(_ run: ProgramRun, status: Int32, _ parts: [String]) {
        #expect(run.wait() == status)
        let lines = run.errors.split(separator: "\n").filter { $0.contains("error:") || $0.contains("Error:") }
        #expect(lines.count == 1, "\(run.errors)")
        for part in parts { #expect(run.errors.contains(part), "no \"\(part)\" in: \(run.errors)") }
    }

    @Test(arguments: [
        (["run"], "--config"), (["run", "--config", "x", "--run-dir", "y", "--workers", "-1"], "--workers"),
        (["run", "--config", "x", "--run-dir", "y", "--bind", "udp:1"], "--bind"), (["nonsense"], "nonsense"),
        (["query", "--run-dir", "x", "pareto_front", "--sql", "select 1"], "--sql"),
        (["keys", "new", "w"], "--run-dir"), (["keys", "authorize", "w", "not-hex", "--keys", "k"], "64 hexadecimal"),
        (["run", "--config", "x", "--run-dir", "y", "--keys", "k", "--insecure-plaintext"], "--insecure-plaintext"),
        (["simulate", "--config", "x", "--hosts", "0"], "--hosts"),
    ])
    func usageErrorsHaveStatusTwo(_ arguments: [String], _ part: String) throws {
        expectOneLine(try ProgramRun("ecad-coordinator", arguments), status: 2, [part])
    }

    @Test func workerUsageErrorsHaveStatusTwo() throws {
        expectOneLine(
            try ProgramRun("ecad-worker", ["run", "--coordinator", "head:5555", "--models", "m"]), status: 2,
            ["head:5555"])
        expectOneLine(
            try ProgramRun("ecad-worker", ["run", "--coordinator", "tcp://192.0.2.1:5555", "--models", "m"]), status: 2,
            ["192.0.2.1", "--key", "--insecure-plaintext"])
        expectOneLine(try ProgramRun("ecad", ["verify", "--model", "m"]), status: 2, ["--reference"])
    }

    @Test(arguments: [
        ("search.populaton=9", ["populaton", "search.population"]), ("search.population=\"x\"", ["search.population"]),
        ("search.population=2", ["search.population", "4 to"]), ("objectives.cost=time", ["objectives.cost", "macs"]),
        ("search.seeding=[\"flora\"]", ["flora", "fora"]), ("model.steps=2000", ["model.steps"]),
        ("model.path=nowhere", ["nowhere/model_index.json"]),
        ("model.steps=1000", ["model.steps is 1000", "scheduler_config.json gives distinct ones"]),
        ("model.height=101", ["model.height", "101", "a multiple of 4"]),
        ("prompts.calibration=none.txt", ["none.txt", "prompts"]), ("nonsense", ["nonsense", "section.key=value"]),
    ])
    func configurationErrorsNameTheKey(_ assignment: String, _ parts: [String]) throws {
        let small = try SmallRun()
        expectOneLine(try small.begin(workers: 1, ["--set", assignment]), status: 1, parts)
        #expect(!FileManager.default.fileExists(atPath: small.runFolder))
    }

    @Test func missingAndMalformedConfigurationFilesAreNamed() throws {
        let small = try SmallRun()
        let missing = ["run", "--config", small.folder.file("no.toml"), "--run-dir", small.runFolder]
        expectOneLine(try ProgramRun("ecad-coordinator", missing), status: 1, ["no.toml"])
        let broken = try small.folder.write("[model\npath = 3", to: "broken.toml")
        expectOneLine(
            try ProgramRun("ecad-coordinator", ["run", "--config", broken, "--run-dir", small.runFolder]), status: 1,
            ["broken.toml", "line 1"])
    }

    @Test func unreadableConfigurationsAreNamedWithTheReason() throws {
        let small = try SmallRun()
        let utf16 = small.folder.file("utf16.toml")
        try Data([0xFF, 0xFE, 0x5B, 0]).write(to: URL(fileURLWithPath: utf16))
        for (path, part) in [
            (small.folder.path, "cannot be read: is a directory"), (utf16, "is UTF-16; expected a run configuration"),
            (small.folder.file("none.toml"), "cannot be read: no such file or directory"),
        ] {
            expectOneLine(
                try ProgramRun("ecad-coordinator", ["run", "--config", path, "--run-dir", small.runFolder]), status: 1,
                ["\(path): \(part)"])
        }
    }

    /// Editors of Windows write a byte order mark and carriage returns.
    @Test func configurationMayHaveAByteOrderMark() throws {
        let small = try SmallRun(generations: 1)
        let text = try String(contentsOfFile: small.configuration, encoding: .utf8)
        let marked = "\u{FEFF}" + text.replacing("\n", with: "\r\n")
        try Data(marked.utf8).write(to: URL(fileURLWithPath: small.configuration))
        let run = try small.begin(workers: 1)
        #expect(run.wait() == 0, "\(run.errors)")
    }

    @Test func metricsPortInUseEndsTheCommandBeforeTheRunBegins() throws {
        let small = try SmallRun()
        let context = try SocketContext()
        let socket = try CoordinatorSocket(listeningOn: Endpoint("tcp://127.0.0.1:0"), in: context, wakeup: Wakeup())
        let address = "127.0.0.1:\(socket.endpoint.port)"
        expectOneLine(
            try small.begin(workers: 1, ["--metrics", address]), status: 1,
            ["cannot listen on \(address): the port is in use"])
        #expect(!FileManager.default.fileExists(atPath: small.runFolder))
    }

    @Test func modelOfAnotherScorerIsNamedBeforeTheRunBegins() throws {
        let small = try SmallRun()
        expectOneLine(
            try small.begin(workers: 1, ["--set", "scorers.image-reward=\(Fixtures.folder)/clip/model"]), status: 1,
            ["clip/model/config.json: model_type is \"clip\"; expected image-reward"])
        #expect(!FileManager.default.fileExists(atPath: small.runFolder))
    }

    @Test func emptyPromptFileIsNamed() throws {
        let small = try SmallRun()
        _ = try small.folder.write("\n  \n", to: "prompts.txt")
        expectOneLine(try small.begin(workers: 1), status: 1, ["prompts.txt", "no prompts"])
    }

    @Test func portInUseIsNamedAndLeavesNoRunDirectory() throws {
        let small = try SmallRun()
        let context = try SocketContext()
        let wakeup = try Wakeup()
        let socket = try CoordinatorSocket(listeningOn: Endpoint("tcp://127.0.0.1:0"), in: context, wakeup: wakeup)
        let run = try small.begin(workers: 1, ["--bind", "\(socket.endpoint)"])
        expectOneLine(run, status: 1, ["\(socket.endpoint)", "in use"])
        #expect(!FileManager.default.fileExists(atPath: small.runFolder))
    }

    @Test func existingRunIsNotOverwritten() throws {
        let small = try SmallRun(generations: 1)
        #expect(try small.begin(workers: 1).wait() == 0)
        let before = try small.decisions()
        expectOneLine(try small.begin(workers: 1), status: 1, ["history.sqlite"])
        #expect(try small.decisions() == before)
    }

    @Test func newerHistoryIsRejectedUnchanged() throws {
        let small = try SmallRun(generations: 1)
        #expect(try small.begin(workers: 1).wait() == 0)
        let file = "\(small.runFolder)/history.sqlite"
        let sqlite = Process()
        sqlite.executableURL = URL(fileURLWithPath: "/usr/bin/sqlite3")
        sqlite.arguments = [file, "PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE);"]
        sqlite.standardOutput = FileHandle.nullDevice
        try sqlite.run()
        sqlite.waitUntilExit()
        let before = FileManager.default.contents(atPath: file)
        expectOneLine(try small.resume(port: 0), status: 1, ["history.sqlite", "99"])
        #expect(FileManager.default.contents(atPath: file) == before)
        expectOneLine(
            try ProgramRun("ecad-coordinator", ["query", "--run-dir", small.runFolder, "pareto_front"]), status: 1,
            ["99"])
    }

    @Test func runDirectoryThatCannotBeCreatedIsNamed() throws {
        let small = try SmallRun()
        let blocker = try small.folder.write("a file", to: "blocker")
        let run = try ProgramRun(
            "ecad-coordinator",
            ["run", "--config", small.configuration, "--run-dir", "\(blocker)/run", "--bind", "tcp://127.0.0.1:0"])
        expectOneLine(run, status: 1, ["\(blocker)/run"])
    }

    @Test func truncatedCheckpointEndsTheRunAndIsNamed() throws {
        let small = try SmallRun()
        let model = try small.folder.copy(of: SmallRun.model, as: "model")
        let weights = "\(model)/transformer/diffusion_pytorch_model.safetensors"
        let bytes = FileManager.default.contents(atPath: weights) ?? Data()
        try bytes.prefix(bytes.count - 100).write(to: URL(fileURLWithPath: weights))
        expectOneLine(
            try small.begin(workers: 1, ["--set", "model.path=\(model)"]), status: 1,
            ["diffusion_pytorch_model.safetensors", "bytes"])
    }

    @Test func missingCheckpointEndsTheRunAndIsNamed() throws {
        let small = try SmallRun()
        let model = try small.folder.copy(of: SmallRun.model, as: "model")
        try FileManager.default.removeItem(atPath: "\(model)/vae/diffusion_pytorch_model.safetensors")
        expectOneLine(
            try small.begin(workers: 2, ["--set", "model.path=\(model)"]), status: 1,
            ["model/vae", "diffusion_pytorch_model.safetensors"])
    }

    @Test func workerWithADifferentModelIsRejectedAndTheRunContinues() throws {
        let small = try SmallRun()
        let port = freePort()
        let coordinator = try ProgramRun(
            "ecad-coordinator",
            ["run", "--config", small.configuration, "--run-dir", small.runFolder, "--bind", "tcp://127.0.0.1:\(port)"])
        let rejected = try small.worker(port: port, model: "\(Fixtures.folder)/alpha-small/model", name: "rejected")
        expectOneLine(rejected, status: 1, ["refused", "fingerprint", "alpha-micro"])
        let worker = try small.worker(port: port, name: "accepted")
        #expect(coordinator.wait() == 0, "\(coordinator.errors)")
        #expect(worker.wait() == 0)
        #expect(try small.count("SELECT count FROM refusals WHERE reason = 'model'") == 1)
    }

    @Test func peerWithADifferentProtocolVersionIsRejectedWithTheReason() throws {
        let small = try SmallRun()
        let port = freePort()
        let coordinator = try ProgramRun(
            "ecad-coordinator",
            ["run", "--config", small.configuration, "--run-dir", small.runFolder, "--bind", "tcp://127.0.0.1:\(port)"])
        let context = try SocketContext()
        let wakeup = try Wakeup()
        var socket = try WorkerSocket(
            connectingTo: Endpoint("tcp://127.0.0.1:\(port)"), as: PeerID.random(), in: context, wakeup: wakeup)
        #expect(try socket.waitForConnection(timeout: .seconds(120)))
        var message = WorkerMessage()
        message.protocolVersion = 99
        message.taskRequest = TaskRequest()
        #expect(try socket.send(Array(try message.serializedData())))
        let reply = try #require(try socket.receive(timeout: .seconds(120)))
        guard case .refusal(let refusal) = try CoordinatorMessage.decode(reply) else {
            Issue.record("expected a refusal")
            return
        }
        #expect(refusal.reason.contains("protocol version 99") && !refusal.retry)
        // A malformed message does not end the run.
        _ = try socket.send([0xFF, 0, 1, 2])
        let worker = try small.worker(port: port, name: "accepted")
        #expect(coordinator.wait() == 0, "\(coordinator.errors)")
        #expect(worker.wait() == 0)
    }

    @Test func queriesThatWriteAreRejected() throws {
        let small = try SmallRun(generations: 1)
        #expect(try small.begin(workers: 1).wait() == 0)
        expectOneLine(
            try ProgramRun("ecad-coordinator", ["query", "--run-dir", small.runFolder, "--sql", "DELETE FROM runs"]),
            status: 1, ["read-only"])
        #expect(try small.count("SELECT count(*) FROM runs") == 1)
    }
}
