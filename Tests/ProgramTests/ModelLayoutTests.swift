import Foundation
import History
import TestSupport
import Testing

/// Models behind links, and runs whose files have moved.
@Suite struct ModelLayoutTests {
    private func expectOneLine(_ run: ProgramRun, _ parts: [String]) {
        #expect(run.wait() == 1)
        #expect(run.errors.split(separator: "\n").count { $0.contains("error:") } == 1, "\(run.errors)")
        for part in parts { #expect(run.errors.contains(part), "no \"\(part)\" in: \(run.errors)") }
    }

    private func sql(_ statement: String, in folder: String) throws {
        let sqlite = Process()
        sqlite.executableURL = URL(fileURLWithPath: "/usr/bin/sqlite3")
        sqlite.arguments = ["\(folder)/history.sqlite", statement]
        sqlite.standardOutput = FileHandle.nullDevice
        try sqlite.run()
        sqlite.waitUntilExit()
        #expect(sqlite.terminationStatus == 0)
    }

    private func text(_ query: String, in folder: String) throws -> String {
        guard case .text(let value) = try RunHistory.openReadOnly(in: folder).query(query).rows.first?.first else {
            return ""
        }
        return value
    }

    private func coordinator(_ arguments: [String]) throws -> ProgramRun {
        try ProgramRun("ecad-coordinator", arguments + ["--bind", "tcp://127.0.0.1:0"])
    }

    /// Changes the last byte of a weight behind a link, in a new blob, as an update of the hub's snapshot does.
    private func changeBlob(_ name: String, of snapshot: String) throws {
        let link = "\(snapshot)/\(name)"
        let target = URL(filePath: link).resolvingSymlinksInPath()
        var bytes = try Data(contentsOf: target)
        bytes[bytes.count - 1] ^= 0x40
        try FileManager.default.removeItem(at: target)
        try bytes.write(to: target)
    }

    // MARK: - Hub cache

    @Test func generateReadsASnapshotOfAHubCache() throws {
        let folder = try TemporaryFolder()
        let snapshot = try folder.hubCache(of: SmallRun.model)
        let images = try [SmallRun.model, snapshot].enumerated().map { index, model -> Data? in
            let file = folder.file("\(index).png")
            let run = try ProgramRun(
                "ecad",
                [
                    "generate", "--model", model, "--prompt", "a fox", "--steps", "2", "--height", "16", "--width",
                    "16",
                    "--threads", "1", "-o", file,
                ])
            #expect(run.wait() == 0, "\(run.errors)")
            return FileManager.default.contents(atPath: file)?.suffix(300)
        }
        #expect(images[0] != nil && images[0] == images[1])
    }

    /// The coordinator has the snapshot, the workers the snapshot, a link to the directory, and a plain copy with other
    /// files beside it.
    @Test func runsAndWorkersAcceptEveryLayoutOfAModel() throws {
        // More than the workers can evaluate while they join one after the other.
        let small = try SmallRun(generations: 100_000)
        let snapshot = try small.folder.hubCache(of: SmallRun.model)
        let link = small.folder.file("link")
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: SmallRun.model)
        let copy = try ModelCopy(of: "alpha-micro")
        for name in ["flux1-dev.safetensors", "notes.txt"] { try copy.write("x", to: name) }
        let changed = try TemporaryFolder()
        let changedSnapshot = try changed.hubCache(of: SmallRun.model)
        try changeBlob("transformer/diffusion_pytorch_model.safetensors", of: changedSnapshot)
        let port = freePort()
        let coordinator = try ProgramRun(
            "ecad-coordinator",
            [
                "run", "--config", small.configuration, "--run-dir", small.runFolder, "--bind",
                "tcp://127.0.0.1:\(port)", "--set", "model.path=\(snapshot)",
            ])
        expectOneLine(
            try small.worker(port: port, model: changedSnapshot, name: "changed"), ["refused", "fingerprint"])
        for (index, model) in [snapshot, link, copy.path].enumerated() {
            let worker = try small.worker(port: port, model: model, name: "w-\(index)")
            #expect(worker.waitForError(containing: "joined run"), "\(worker.errors)")
            worker.kill()
        }
        #expect(small.eventually("SELECT count(*) FROM refusals", is: 1))
        #expect(small.eventually("SELECT count(*) FROM workers", is: 3))
        coordinator.kill()
    }

    @Test func changedBlobIsNoticedOnResume() throws {
        let small = try SmallRun(generations: 1)
        let snapshot = try small.folder.hubCache(of: SmallRun.model)
        #expect(try small.begin(workers: 1, ["--set", "model.path=\(snapshot)"]).wait() == 0)
        try changeBlob("text_encoder/model.safetensors", of: snapshot)
        expectOneLine(
            try coordinator(["extend", "--run-dir", small.runFolder, "--generations", "1"]),
            [snapshot, "has changed since the run began"])
    }

    @Test func directoriesThatAreNoModelAreExplained() throws {
        let folder = try TemporaryFolder()
        let snapshot = try folder.hubCache(of: SmallRun.model)
        let cache = URL(fileURLWithPath: snapshot).deletingLastPathComponent().deletingLastPathComponent().path
        for (model, part) in [
            (cache, "expected a model directory in the diffusers layout, such as \(snapshot)"),
            ("someone/some-model", "with: hf download someone/some-model --local-dir DIR"),
        ] {
            expectOneLine(
                try ProgramRun("ecad", ["generate", "--model", model, "--prompt", "x", "-o", folder.file("x.png")]),
                ["\(model)/model_index.json: not found; ", part])
        }
    }

    // MARK: - Moved files

    @Test func runThatMovedWithItsModelGoesOnByItself() throws {
        let small = try SmallRun(generations: 2)
        let (old, new) = (small.folder.file("old"), small.folder.file("new"))
        try FileManager.default.createDirectory(atPath: "\(old)/models", withIntermediateDirectories: true)
        try FileManager.default.copyItem(atPath: SmallRun.model, toPath: "\(old)/models/m")
        let begin = try coordinator([
            "run", "--config", small.configuration, "--run-dir", "\(old)/runs/r", "--workers", "1", "--set",
            "model.path=\(old)/models/m",
        ])
        #expect(begin.wait() == 0, "\(begin.errors)")
        try FileManager.default.moveItem(atPath: old, toPath: new)
        let run = "\(new)/runs/r"
        let extended = try coordinator(["extend", "--run-dir", run, "--generations", "1", "--workers", "1"])
        #expect(extended.wait() == 0, "\(extended.errors)")
        let stored = try text("SELECT configuration FROM runs", in: run)
        #expect(stored.contains("path = \"\(new)/models/m\"") && !stored.contains(old), "\(stored)")
    }

    @Test func modelThatMovedIsNamedAndItsNewPlaceIsRecorded() throws {
        let small = try SmallRun(generations: 2)
        let first = try ModelCopy(of: "alpha-micro")
        #expect(try small.begin(workers: 1, ["--set", "model.path=\(first.path)"]).wait() == 0)
        try FileManager.default.removeItem(atPath: first.path)
        let extend = ["extend", "--run-dir", small.runFolder, "--generations", "1", "--workers", "1"]
        expectOneLine(try coordinator(extend), [first.path, "not found", "--model DIR"])
        expectOneLine(
            try coordinator(extend + ["--model", "\(Fixtures.folder)/alpha-small/model"]),
            ["alpha-small", "has changed since the run began"])
        #expect(try text("SELECT configuration FROM runs", in: small.runFolder).contains(first.path))
        // Local workers get the new place.
        let extended = try coordinator(extend + ["--model", SmallRun.model])
        #expect(extended.wait() == 0, "\(extended.errors)")
        #expect(try text("SELECT configuration FROM runs", in: small.runFolder).contains("\"\(SmallRun.model)\""))
        #expect(try small.count("SELECT count(*) FROM generations") == 3)
        // Recorded: needed once only.
        #expect(try coordinator(extend).wait() == 0)
    }

    @Test func resumeTakesANewPlace() throws {
        let small = try SmallRun(generations: 400)
        let first = try ModelCopy(of: "alpha-micro")
        let run = try small.begin(workers: 1, ["--set", "model.path=\(first.path)"])
        #expect(small.eventually("SELECT count(*) > 0 FROM evaluations", is: 1))
        run.terminate()
        #expect(run.wait() == 1)
        #expect(run.errors.contains("interrupted; resume with"), "\(run.errors)")
        let status = try ProgramRun("ecad-coordinator", ["status", "--run-dir", small.runFolder])
        #expect(status.wait() == 0 && status.output.contains("status       interrupted\n"), "\(status.output)")
        #expect(status.output.contains("resume with: ecad-coordinator resume --run-dir "), "\(status.output)")
        let before = try small.count("SELECT count(*) FROM evaluations")
        try FileManager.default.removeItem(atPath: first.path)
        let resume = ["resume", "--run-dir", small.runFolder, "--workers", "1"]
        expectOneLine(try coordinator(resume), [first.path, "not found", "--model DIR"])
        let resumed = try coordinator(resume + ["--model", SmallRun.model])
        #expect(small.eventually("SELECT count(*) > \(before) FROM evaluations", is: 1), "\(resumed.errors)")
        let running = try ProgramRun("ecad-coordinator", ["status", "--run-dir", small.runFolder])
        #expect(running.wait() == 0)
        #expect(running.output.contains("status       running (pid \(resumed.processID) on "), "\(running.output)")
        resumed.terminate()
        #expect(resumed.wait() == 1)
        #expect(try text("SELECT configuration FROM runs", in: small.runFolder).contains("\"\(SmallRun.model)\""))
    }

    @Test func forkAndBenchmarkTakeANewPlace() throws {
        let small = try SmallRun(generations: 3)
        let first = try ModelCopy(of: "alpha-micro")
        #expect(try small.begin(workers: 1, ["--set", "model.path=\(first.path)"]).wait() == 0)
        try FileManager.default.removeItem(atPath: first.path)
        let target = small.folder.file("fork")
        let fork = ["fork", "--run-dir", small.runFolder, "--from", "1", "--into", target, "--workers", "1"]
        expectOneLine(try coordinator(fork), [first.path, "--model DIR"])
        #expect(!FileManager.default.fileExists(atPath: target))
        let forked = try coordinator(fork + ["--model", SmallRun.model])
        #expect(forked.wait() == 0, "\(forked.errors)")
        let prompts = try small.folder.write("a cube\n", to: "unseen.txt")
        let benchmark = [
            "benchmark", "--run-dir", small.runFolder, "--prompts", prompts, "--front", "--workers", "1",
        ]
        expectOneLine(try coordinator(benchmark), [first.path, "--model DIR"])
        let measured = try coordinator(benchmark + ["--model", SmallRun.model])
        #expect(measured.wait() == 0, "\(measured.errors)")
        #expect(try text("SELECT configuration FROM runs", in: small.runFolder).contains("\"\(SmallRun.model)\""))
    }

    @Test func scorerAndEmbeddingsThatMovedAreNamedAndReplaced() throws {
        let small = try SmallRun(generations: 1)
        let scorer = try ModelCopy(of: "clip")
        let embeddings = small.folder.file("e.safetensors")
        let embed = try ProgramRun(
            "ecad",
            [
                "embed", "--model", SmallRun.model, "--prompts", small.folder.file("prompts.txt"), "--threads", "1",
                "-o",
                embeddings,
            ])
        #expect(embed.wait() == 0, "\(embed.errors)")
        let begin = try small.begin(
            workers: 1, ["--set", "scorers.clip=\(scorer.path)", "--set", "prompts.embeddings=\(embeddings)"])
        #expect(begin.wait() == 0, "\(begin.errors)")
        let (newScorer, newEmbeddings) = (small.folder.file("clip"), small.folder.file("moved.safetensors"))
        try FileManager.default.moveItem(atPath: scorer.path, toPath: newScorer)
        try FileManager.default.moveItem(atPath: embeddings, toPath: newEmbeddings)
        var extend = ["extend", "--run-dir", small.runFolder, "--generations", "1", "--workers", "1"]
        expectOneLine(try coordinator(extend), [embeddings, "--embeddings FILE"])
        extend += ["--embeddings", newEmbeddings]
        expectOneLine(try coordinator(extend), [scorer.path, "--scorer DIR"])
        let extended = try coordinator(extend + ["--scorer", newScorer])
        #expect(extended.wait() == 0, "\(extended.errors)")
        let stored = try text("SELECT configuration FROM runs", in: small.runFolder)
        #expect(stored.contains(newScorer) && stored.contains(newEmbeddings), "\(stored)")
        expectOneLine(
            try coordinator(extend + ["--scorer", "\(Fixtures.folder)/image-reward/model"]), ["scorers.image-reward"])
    }

    // MARK: - Earlier releases

    /// The fingerprint of `alpha-micro` by release 0.1; that of a linked directory covered no file.
    @Test(arguments: [
        ("0b631f1f04b8b7f58b8b9bcd2caeded99d7322eb1f89688ad1cea3021cba7d27", "agrees"),
        ("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "unknown"),
    ])
    func runOfAnEarlierReleaseIsExtended(_ recorded: String, _ notice: String) throws {
        let small = try SmallRun(generations: 1)
        #expect(try small.begin(workers: 1).wait() == 0)
        let current = try text("SELECT model_hash FROM runs", in: small.runFolder)
        try sql("UPDATE runs SET model_hash = '\(recorded)'", in: small.runFolder)
        let extend = ["extend", "--run-dir", small.runFolder, "--generations", "1", "--workers", "1"]
        let extended = try coordinator(extend)
        #expect(extended.wait() == 0, "\(extended.errors)")
        #expect(extended.errors.contains("earlier release") && extended.errors.contains(notice), "\(extended.errors)")
        #expect(try text("SELECT model_hash FROM runs", in: small.runFolder) == current)
        try sql("UPDATE runs SET model_hash = '\(String(recorded.reversed()))'", in: small.runFolder)
        expectOneLine(try coordinator(extend), ["has changed since the run began"])
    }

    // MARK: - Weights without effect

    /// As in diffusers, which would compute with the rest and say which weights it did not use.
    @Test(arguments: [
        ("alpha-micro", "transformer", "num_layers", "1"), ("flux-small", "text_encoder_2", "num_layers", "1"),
        ("flux-small", "transformer", "num_layers", "1"), ("flux-small", "transformer", "num_single_layers", "1"),
        ("flux-small", "transformer", "guidance_embeds", "false"),
        ("flux-small", "text_encoder", "num_hidden_layers", "1"),
        ("alpha-micro", "transformer", "use_additional_conditions", "false"),
    ])
    func weightsThatTheConfigurationLeavesOutAreRejected(
        _ fixture: String, _ part: String, _ key: String, _ value: String
    ) throws {
        let model = try ModelCopy(of: fixture)
        try model.set(key, to: value, in: "\(part)/config.json")
        let run = try ProgramRun(
            "ecad", ["generate", "--model", model.path, "--prompt", "x", "--steps", "1", "-o", model.file("x.png")])
        expectOneLine(run, ["\(model.file(part))/config.json: \(key) is \(value); expected", "as the weights have"])
    }
}
