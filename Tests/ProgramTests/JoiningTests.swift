import Foundation
import TestSupport
import Testing

/// Workers that wait for a coordinator, addresses to listen on, and keys.
@Suite struct JoiningTests {
    private let small: SmallRun
    private let port = freePort()

    init() throws { small = try SmallRun(generations: 400) }

    private func coordinator(bind: String, _ more: [String] = []) throws -> ProgramRun {
        try ProgramRun(
            "ecad-coordinator",
            ["run", "--config", small.configuration, "--run-dir", small.runFolder, "--bind", bind] + more)
    }

    private func worker(_ name: String, to endpoint: String, _ more: [String] = []) throws -> ProgramRun {
        try ProgramRun(
            "ecad-worker",
            [
                "run", "--coordinator", endpoint, "--models", SmallRun.model, "--threads", "1", "--name", name,
                "--spool", small.folder.file("spool-\(name)"), "--references", small.folder.file("references"),
            ] + more)
    }

    private func newKey(_ name: String) throws -> String {
        let path = small.folder.file("\(name).key")
        let run = try ProgramRun("ecad-coordinator", ["keys", "new", name, "--run-dir", small.runFolder, "-o", path])
        #expect(run.wait() == 0, "\(run.errors)")
        return path
    }

    private func stop(_ runs: ProgramRun...) {
        for run in runs { run.terminate() }
        for run in runs { _ = run.wait() }
    }

    private func eventually(_ condition: () throws -> Bool) -> Bool {
        let deadline = Date().addingTimeInterval(120)
        while Date() < deadline {
            if (try? condition()) == true { return true }
            Thread.sleep(forTimeInterval: 0.05)
        }
        return false
    }

    // MARK: - Names

    @Test func nameOfThisMachineNeedsNoKeys() throws {
        let coordinator = try coordinator(bind: "tcp://localhost:\(port)")
        #expect(coordinator.waitForError(containing: "workers on this machine join with"), "\(coordinator.errors)")
        #expect(coordinator.errors.contains("this machine only"), "\(coordinator.errors)")
        let worker = try worker("w", to: "tcp://localhost:\(port)")
        #expect(
            eventually { try small.count("SELECT count(*) FROM tasks WHERE state = 'done'") > 0 }, "\(worker.errors)")
        stop(worker, coordinator)
    }

    @Test(arguments: [
        ("tcp://198.51.100.1:0", "not an address of this machine"),
        ("tcp://no-such-name.invalid:0", "cannot be resolved"),
    ])
    func unusableAddressIsReportedInOneLine(bind: String, text: String) throws {
        let run = try coordinator(bind: bind, ["--insecure-plaintext"])
        #expect(run.wait() == 1)
        #expect(run.errors.contains(text) && run.errors.split(separator: "\n").count == 1, "\(run.errors)")
        #expect(!FileManager.default.fileExists(atPath: small.runFolder))
    }

    @Test func wildcardIsNotPrintedAsTheAddressToJoin() throws {
        let coordinator = try coordinator(bind: "tcp://0.0.0.0:\(port)", ["--insecure-plaintext"])
        #expect(coordinator.waitForError(containing: "join with"), "\(coordinator.errors)")
        let line = coordinator.errors.split(separator: "\n").first { $0.contains("join with") } ?? ""
        #expect(!line.contains("tcp://0.0.0.0"), "\(line)")
        #expect(
            line.contains(":\(port) ") && (line.contains("--insecure-plaintext") || line.contains("127.0.0.1")),
            "\(line)")
        stop(coordinator)
    }

    @Test func workerWaitsForAnUnresolvedName() throws {
        let waiting = try worker("w", to: "tcp://no-such-name.invalid:\(port)", ["--insecure-plaintext"])
        #expect(waiting.waitForError(containing: "cannot be resolved"), "\(waiting.errors)")
        #expect(waiting.isRunning)
        waiting.terminate()
        #expect(waiting.wait() == 0, "\(waiting.errors)")
        // Names and refused ports alike are waited for as long as the option allows.
        for endpoint in ["tcp://no-such-name.invalid:\(port)", "tcp://127.0.0.1:\(port)"] {
            let bounded = try worker("b", to: endpoint, ["--insecure-plaintext", "--coordinator-timeout", "1"])
            #expect(bounded.wait() == 1)
            #expect(bounded.errors.contains("no message from \(endpoint) for 1.0 s"), "\(bounded.errors)")
        }
    }

    @Test func doctorNamesTheStageThatFails() throws {
        let doctor = { (endpoint: String) in
            let run = try ProgramRun("ecad-worker", ["doctor", "--coordinator", endpoint])
            #expect(run.wait() == 1)
            return run.output
        }
        #expect(try doctor("tcp://no-such-name.invalid:1").hasPrefix("resolve: "))
        #expect(try doctor("tcp://127.0.0.1:\(port)").hasPrefix("connect: "))
    }

    /// A coordinator that returns at another address under the same name; in a mount namespace with its own /etc/hosts.
    @Test(.enabled(if: canReplaceHostsFile))
    func workerFindsACoordinatorThatMoved() throws {
        let hosts = try small.folder.write("127.0.0.1 localhost\n", to: "hosts")
        let worker = Process()
        worker.executableURL = URL(fileURLWithPath: "/usr/bin/unshare")
        let log = small.folder.file("worker.log")
        _ = FileManager.default.createFile(atPath: log, contents: nil)
        worker.arguments = [
            "-m", "sh", "-c", "mount --bind \(hosts) /etc/hosts && exec \"$@\"", "sh",
            "\(ProgramRun.productFolder)/ecad-worker", "run", "--coordinator", "tcp://ecad-head:\(port)", "--models",
            SmallRun.model, "--threads", "1", "--name", "w", "--spool", small.folder.file("spool"),
            "--references", small.folder.file("references"),
            "--insecure-plaintext",
        ]
        worker.standardError = try FileHandle(forWritingTo: URL(fileURLWithPath: log))
        try worker.run()
        defer { worker.terminate() }
        let text = { (try? String(contentsOfFile: log, encoding: .utf8)) ?? "" }
        #expect(eventually { text().contains("cannot be resolved") }, "\(text())")

        func moveTo(_ address: String) throws {
            // In place: a new file would not be seen through the mount.
            let file = try FileHandle(forWritingTo: URL(fileURLWithPath: hosts))
            try file.truncate(atOffset: 0)
            try file.write(contentsOf: Data("127.0.0.1 localhost\n\(address) ecad-head\n".utf8))
            try file.close()
        }
        let done = { try small.count("SELECT count(*) FROM tasks WHERE state = 'done'") }
        let first = try coordinator(bind: "tcp://127.0.0.2:\(port)")
        try moveTo("127.0.0.2")
        #expect(eventually { try done() > 0 }, "\(text())")
        stop(first)
        let before = try done()
        let second = try ProgramRun(
            "ecad-coordinator", ["resume", "--run-dir", small.runFolder, "--bind", "tcp://127.0.0.3:\(port)"])
        try moveTo("127.0.0.3")
        #expect(eventually { try done() > before }, "\(text())")
        stop(second)
    }

    // MARK: - Keys

    @Test func secondWorkerWithAKeyIsToldWhy() throws {
        let key = try newKey("node")
        let coordinator = try coordinator(bind: "tcp://127.0.0.1:\(port)")
        #expect(coordinator.waitForError(containing: "listening"))
        let first = try worker("a", to: "tcp://127.0.0.1:\(port)", ["--key", key])
        #expect(
            eventually { try small.count("SELECT count(*) FROM tasks WHERE state = 'done'") > 0 }, "\(first.errors)")
        let doctor = try ProgramRun(
            "ecad-worker", ["doctor", "--coordinator", "tcp://127.0.0.1:\(port)", "--key", key])
        #expect(doctor.wait() == 1)
        #expect(doctor.output.hasPrefix("registration: refused: the key node is in use"), "\(doctor.output)")
        let second = try worker("b", to: "tcp://127.0.0.1:\(port)", ["--key", key])
        #expect(second.waitForError(containing: "the key node is in use by a worker on"), "\(second.errors)")
        #expect(coordinator.waitForError(containing: "the key node is in use by a worker on"), "\(coordinator.errors)")
        // It takes over when the first leaves.
        stop(first)
        #expect(second.waitForError(containing: "joined run"), "\(second.errors)")
        stop(second, coordinator)
    }

    @Test func localWorkersJoinAnUnencryptedCoordinatorWithKeys() throws {
        _ = try newKey("unused")
        let run = try coordinator(
            bind: "tcp://0.0.0.0:\(port)", ["--insecure-plaintext", "--workers", "1", "--set", "search.generations=2"])
        #expect(run.wait() == 0, "\(run.errors)")
    }

    @Test func refusedKeyLeavesNoFile() throws {
        let folder = small.folder.file("keys")
        func refuse(_ arguments: [String], _ text: String) throws {
            let run = try ProgramRun("ecad-coordinator", ["keys", "new"] + arguments)
            #expect(run.wait() == 1)
            #expect(run.errors.contains(text), "\(run.errors)")
        }
        let file = small.folder.file("b.key")
        try refuse(["bad name/..", "--keys", folder, "-o", file], "is not a valid name")
        try refuse(["local-2", "--keys", folder, "-o", file], "is the name of a worker that the coordinator starts")
        try refuse(
            [String(repeating: "x", count: 63), "--count", "10", "--keys", folder, "-o", file], "is not a valid name")
        #expect(!FileManager.default.fileExists(atPath: file) && !FileManager.default.fileExists(atPath: folder))

        // An existing file stays, and the name is free still.
        try Data("mine".utf8).write(to: URL(fileURLWithPath: file))
        try refuse(["good", "--keys", folder, "-o", file], "exists already")
        #expect(FileManager.default.contents(atPath: file) == Data("mine".utf8))
        let other = small.folder.file("good.key")
        let run = try ProgramRun("ecad-coordinator", ["keys", "new", "good", "--keys", folder, "-o", other])
        #expect(run.wait() == 0, "\(run.errors)")
        let mode = try FileManager.default.attributesOfItem(atPath: other)[.posixPermissions] as? NSNumber
        #expect(mode?.intValue == 0o600)
        let directory = small.folder.file("many")
        try refuse(["good", "--keys", folder, "-o", directory + "/x"], "already has a key")
        #expect(!FileManager.default.fileExists(atPath: directory))
    }

    // MARK: - Losses of the machine

    /// Whether a signal that ends a worker during its task counts as a failure of the task.
    @Test(arguments: [(SIGBUS, false), (SIGKILL, false), (SIGSEGV, true)])
    func onlyCrashesThatTheTaskMayHaveCausedAreCounted(signal: Int32, isCounted: Bool) throws {
        let coordinator = try coordinator(bind: "tcp://127.0.0.1:\(port)")
        #expect(coordinator.waitForError(containing: "listening"))
        let marker = small.folder.file("spool-w/task-at-hand")
        for _ in 0..<3 {
            let worker = try worker("w", to: "tcp://127.0.0.1:\(port)")
            // Stopped with the marker in place, it is in the middle of a task.
            let isInTask = eventually {
                kill(worker.processID, SIGSTOP)
                if FileManager.default.contents(atPath: marker)?.isEmpty == false { return true }
                kill(worker.processID, SIGCONT)
                return false
            }
            #expect(isInTask, "\(worker.errors)")
            kill(worker.processID, signal)
            kill(worker.processID, SIGCONT)
            #expect(worker.wait() == signal)
            #expect(worker.errors.contains("bus error") == (signal == SIGBUS), "\(worker.errors)")
            let next = try self.worker("w", to: "tcp://127.0.0.1:\(port)")
            #expect(next.waitForError(containing: "the previous process was ended during task"), "\(next.errors)")
            #expect(next.errors.contains("not counted as a failure") == !isCounted, "\(next.errors)")
            #expect(next.waitForError(containing: "joined run", seconds: 120), "\(next.errors)")
            if isCounted {
                #expect(eventually { try small.count("SELECT count(*) FROM leases WHERE outcome = 'failed'") > 0 })
            }
            stop(next)
            if isCounted { break }
        }
        if !isCounted {
            #expect(try small.count("SELECT count(*) FROM leases WHERE outcome = 'failed'") == 0)
            #expect(try small.count("SELECT count(*) FROM tasks WHERE state = 'failed'") == 0)
        }
        stop(coordinator)
    }

    @Test func truncatedModelIsALossOfTheMachine() throws {
        let coordinator = try coordinator(bind: "tcp://127.0.0.1:\(port)")
        #expect(coordinator.waitForError(containing: "listening"))
        for name in ["a", "b", "c"] {
            let model = small.folder.file("model-\(name)")
            try FileManager.default.copyItem(atPath: SmallRun.model, toPath: model)
            let worker = try small.worker(port: port, model: model, name: name)
            #expect(
                eventually {
                    try small.count(
                        "SELECT count(*) FROM tasks t JOIN workers w ON w.id = t.worker_id WHERE w.name = '\(name)'")
                        > 0
                }, "\(worker.errors)")
            let weights = try FileManager.default.subpathsOfDirectory(atPath: model).filter {
                $0.hasSuffix(".safetensors")
            }
            #expect(!weights.isEmpty)
            for file in weights { truncate("\(model)/\(file)", 0) }
            #expect(worker.wait() == SIGBUS, "\(worker.errors)")
            #expect(worker.errors.contains("bus error"), "\(worker.errors)")
            let restarted = try small.worker(port: port, name: name)
            #expect(restarted.waitForError(containing: "joined run", seconds: 120), "\(restarted.errors)")
            stop(restarted)
        }
        #expect(try small.count("SELECT count(*) FROM leases WHERE outcome = 'failed'") == 0)
        #expect(try small.count("SELECT count(*) FROM tasks WHERE state = 'failed'") == 0)
        stop(coordinator)
    }
}

/// Whether this process may mount in a namespace of its own.
private let canReplaceHostsFile: Bool = {
    guard geteuid() == 0, FileManager.default.isExecutableFile(atPath: "/usr/bin/unshare") else { return false }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/unshare")
    process.arguments = ["-m", "mount", "--bind", "/etc/hosts", "/etc/hosts"]
    process.standardError = FileHandle.nullDevice
    guard (try? process.run()) != nil else { return false }
    process.waitUntilExit()
    return process.terminationStatus == 0
}()
