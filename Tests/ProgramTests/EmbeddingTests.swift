import Foundation
import TestSupport
import Testing

/// `ecad embed`, and generation and runs without text encoders.
@Suite struct EmbeddingTests {
    private func embed(
        _ prompts: String, model: String, _ folder: TemporaryFolder, _ more: [String] = []
    ) throws -> String {
        let file = folder.file("embeddings.safetensors")
        let run = try ProgramRun(
            "ecad", ["embed", "--model", model, "--prompts", prompts, "--threads", "1", "-o", file] + more)
        #expect(run.wait() == 0, "\(run.errors)")
        #expect(run.output.contains("SHA-256"))
        return file
    }

    private func withoutText(_ fixture: String) throws -> ModelCopy {
        let model = try ModelCopy(of: fixture)
        for name in ["text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2"]
        where FileManager.default.fileExists(atPath: model.file(name)) {
            try model.remove(name)
        }
        return model
    }

    private func expectOneLine(_ run: ProgramRun, _ parts: [String]) {
        #expect(run.wait() == 1)
        #expect(run.errors.split(separator: "\n").count { $0.contains("error:") } == 1, "\(run.errors)")
        for part in parts { #expect(run.errors.contains(part), "no \"\(part)\" in: \(run.errors)") }
    }

    // MARK: - Images

    @Test(arguments: [("alpha-micro", "blurred"), ("flux-small", "")])
    func embeddingsGiveTheSameImagesAsTextEncoders(_ fixture: String, _ negative: String) throws {
        let folder = try TemporaryFolder()
        let model = "\(Fixtures.folder)/\(fixture)/model"
        let prompts = try folder.write("A red Fox\ncafe\u{301} in the snow\n", to: "prompts.txt")
        let file = try embed(prompts, model: model, folder, ["--negative-prompt", negative])
        func generate(_ model: String, _ source: [String], _ output: String) throws -> [Data?] {
            let run = try ProgramRun(
                "ecad",
                [
                    "generate", "--model", model, "--steps", "2", "--height", "16", "--width", "16", "--threads", "1",
                    "-o",
                    folder.file(output),
                ] + source)
            #expect(run.wait() == 0, "\(run.errors)")
            // The text chunks differ in the model's name; the pixels are at the end.
            return ["00000", "00001"].map {
                FileManager.default.contents(atPath: folder.file("\(output)/\($0).png"))?.suffix(300)
            }
        }
        let expected = try generate(model, ["--prompts", prompts, "--negative-prompt", negative], "own")
        #expect(expected[0] != nil && expected[0] != expected[1])
        let bare = try withoutText(fixture)
        #expect(try generate(bare.path, ["--embeddings", file], "embedded") == expected)
        // Also if the model has the text encoders that wrote the file.
        #expect(try generate(model, ["--embeddings", file, "--prompts", prompts], "both") == expected)
    }

    @Test func mismatchedEmbeddingsAreReported() throws {
        let folder = try TemporaryFolder()
        let prompts = try folder.write("a fox\n", to: "prompts.txt")
        let micro = "\(Fixtures.folder)/alpha-micro/model"
        let file = try embed(prompts, model: micro, folder)
        func generate(_ model: String, _ more: [String]) throws -> ProgramRun {
            let output = folder.file(more.contains("--prompt") ? "x.png" : "images")
            return try ProgramRun("ecad", ["generate", "--model", model, "-o", output] + more)
        }
        let bare = try withoutText("alpha-micro")
        let flux = try withoutText("flux-small")
        let wider = try withoutText("alpha-small")
        expectOneLine(
            try generate(bare.path, ["--embeddings", file, "--prompt", "a cat"]), [file, "\"a cat\"", "ecad embed"])
        expectOneLine(try generate(bare.path, ["--embeddings", file, "--negative-prompt", "x"]), [file, "\"x\""])
        expectOneLine(try generate(flux.path, ["--embeddings", file]), [file, "pixart", "flux", "512"])
        expectOneLine(try generate(wider.path, ["--embeddings", file]), ["28 channels", "24"])
        expectOneLine(
            try generate("\(Fixtures.folder)/alpha-small/model", ["--embeddings", file]), [file, "other text encoders"])
        expectOneLine(
            try generate(bare.path, ["--embeddings", "\(micro)/vae/diffusion_pytorch_model.safetensors"]),
            ["not a file of prompt embeddings"])
        expectOneLine(try generate(bare.path, ["--prompt", "a fox"]), [bare.file("tokenizer"), "not found"])
    }

    // MARK: - Runs

    @Test func workerWithoutTextEncodersGivesTheSameRun() throws {
        let reference = try SmallRun(generations: 2)
        // Two local workers have one thread each, like the one below.
        let ordinary = try reference.begin(workers: 2)
        #expect(ordinary.wait() == 0, "\(ordinary.errors)")

        let small = try SmallRun(generations: 2)
        let file = try embed(small.folder.file("prompts.txt"), model: SmallRun.model, small.folder)
        let port = freePort()
        let coordinator = try ProgramRun(
            "ecad-coordinator",
            [
                "run", "--config", small.configuration, "--run-dir", small.runFolder, "--bind",
                "tcp://127.0.0.1:\(port)",
                "--set", "prompts.embeddings=\"\(file)\"",
            ])
        let bare = try withoutText("alpha-micro")
        // Alone: another one might be registered only after the run, and would wait for the next coordinator.
        let worker = try small.worker(port: port, model: bare.path, name: "bare")
        #expect(coordinator.wait() == 0, "\(coordinator.errors)")
        #expect(worker.wait() == 0, "\(worker.errors)")
        #expect(try small.decisions() == reference.decisions())
        #expect(try small.count("SELECT count(*) FROM workers") == 1)

        // A run cannot be resumed with another file of embeddings.
        try FileManager.default.removeItem(atPath: file)
        _ = try embed(small.folder.write("other\n", to: "other.txt"), model: SmallRun.model, small.folder)
        expectOneLine(try small.resume(port: 0), [file])
    }

    @Test func workerOfAnotherModelIsRejectedWithEmbeddings() throws {
        let small = try SmallRun()
        let file = try embed(small.folder.file("prompts.txt"), model: SmallRun.model, small.folder)
        let port = freePort()
        let coordinator = try ProgramRun(
            "ecad-coordinator",
            [
                "run", "--config", small.configuration, "--run-dir", small.runFolder, "--bind",
                "tcp://127.0.0.1:\(port)",
                "--set", "prompts.embeddings=\"\(file)\"",
            ])
        defer { coordinator.kill() }
        let other = try withoutText("alpha-small")
        expectOneLine(try small.worker(port: port, model: other.path, name: "other"), ["fingerprint"])
    }

    @Test func workerWithoutTextEncodersIsRejectedWithoutEmbeddings() throws {
        let small = try SmallRun()
        let port = freePort()
        let coordinator = try ProgramRun(
            "ecad-coordinator",
            [
                "run", "--config", small.configuration, "--run-dir", small.runFolder, "--bind",
                "tcp://127.0.0.1:\(port)",
            ])
        defer { coordinator.kill() }
        let bare = try withoutText("alpha-micro")
        expectOneLine(try small.worker(port: port, model: bare.path, name: "bare"), ["fingerprint"])
    }

    @Test func mismatchedEmbeddingsOfARunAreReported() throws {
        let small = try SmallRun()
        let file = try embed(small.folder.write("a fox\n", to: "others.txt"), model: SmallRun.model, small.folder)
        func begin(_ more: [String]) throws -> ProgramRun {
            try small.begin(workers: 0, more.flatMap { ["--set", $0] })
        }
        expectOneLine(try begin(["prompts.embeddings=\"\(file)\""]), [file, "\"a red cube\"", "ecad embed"])
        expectOneLine(
            try begin([
                "prompts.embeddings=\"\(file)\"", "prompts.calibration=\"others.txt\"", "prompts.negative=\"x\"",
            ]),
            [file, "\"x\""])
        expectOneLine(try begin(["prompts.embeddings=\"none\""]), ["none", "embeddings"])
        expectOneLine(
            try begin(["prompts.embeddings=\"prompts.txt\""]), ["prompts.txt", "not a file of prompt embeddings"])
        expectOneLine(
            try begin([
                "prompts.embeddings=\"\(file)\"", "prompts.calibration=\"others.txt\"",
                "model.path=\"\(Fixtures.folder)/alpha-small/model\"", "model.height=24", "model.width=24",
            ]), [file, "other text encoders"])
        #expect(!FileManager.default.fileExists(atPath: small.runFolder))
    }

    // MARK: - Text limit

    /// The prompt has 1401 T5 tokens by transformers, of which PixArt-alpha reads 120.
    @Test func promptsBeyondTheTextLimitAreWarnedOf() throws {
        let small = try SmallRun(generations: 1)
        let long = Array(repeating: "a red cube", count: 200).joined(separator: " ")
        let prompts = try small.folder.write("a red cube\n\(long)\n", to: "prompts.txt")
        let expected =
            "warning: 1 of 2 prompts exceed the 120 tokens that the text encoder T5 reads: "
            + "prompt 1 (\"a red cube a red cube a red cu...\") loses 1281"
        let embed = try ProgramRun(
            "ecad",
            ["embed", "--model", SmallRun.model, "--prompts", prompts, "-o", small.folder.file("e.safetensors")])
        #expect(embed.wait() == 0 && embed.errors.contains(expected), "\(embed.errors)")
        let generate = try ProgramRun(
            "ecad",
            ["generate", "--model", SmallRun.model, "--prompt", long, "--steps", "1", "-o", small.folder.file("x.png")])
        #expect(generate.wait() == 0, "\(generate.errors)")
        #expect(generate.errors.contains("1 of 1 prompts exceed the 120 tokens"), "\(generate.errors)")
        // Once, although both local workers say so.
        let run = try small.begin(workers: 2)
        #expect(run.wait() == 0, "\(run.errors)")
        #expect(run.errors.split(separator: "\n").count { $0.contains("loses 1281") } == 1, "\(run.errors)")
    }
}
