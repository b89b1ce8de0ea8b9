import Foundation
import TestSupport
import Testing

@Suite struct GenerateTests {
    private struct Report: Decodable {
        struct Image: Decodable {
            let file, prompt: String
            let seed: UInt64
            let denoiseSeconds, decodeSeconds: Double
        }
        let images: [Image]
        let residentBytes: Int
    }

    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func generate(_ arguments: [String], to name: String) throws -> Report {
        let run = try ProgramRun(
            "ecad",
            [
                "generate", "--model", Fixtures.bundledModel, "--prompt", "a large red circle on the left", "--threads",
                "1", "--json", "-o", folder.file(name),
            ] + arguments)
        #expect(run.wait() == 0, "\(run.errors)")
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Report.self, from: Data(run.output.utf8))
    }

    private func pixels(_ name: String) -> Data? { FileManager.default.contents(atPath: folder.file(name)) }

    /// A schedule of the bundled model that recomputes all components at every n-th step only.
    private func schedule(every interval: Int, blockCount: Int = 8) throws -> String {
        let steps = (0..<20).map { step in
            let value = step % interval == 0 ? "true" : "false"
            let blocks = (0..<blockCount).map {
                "\"\($0)\": {\"attn1\": \(value), \"attn2\": \(value), \"ff\": \(value)}"
            }
            return "\"\(String(format: "%03d", step))\": {\(blocks.joined(separator: ", "))}"
        }
        return try folder.write(
            """
            {"cache_schedule": {"num_blocks": \(blockCount), "num_inference_steps": 20, "name": "every", "attributes": {},
            "schedule": {\(steps.joined(separator: ", "))}}, "metrics": {}}
            """, to: "every-\(interval)-\(blockCount).json")
    }

    @Test func scheduleIsApplied() throws {
        let uncached = try generate([], to: "uncached.png")
        _ = try generate(["--schedule", try schedule(every: 1)], to: "all.png")
        let cached = try generate(["--schedule", try schedule(every: 10)], to: "cached.png")
        // The files differ in the text chunk with the schedule's name, not in the pixels at the end.
        #expect(pixels("uncached.png")?.suffix(2000) == pixels("all.png")?.suffix(2000))
        #expect(pixels("uncached.png")?.suffix(2000) != pixels("cached.png")?.suffix(2000))
        // A tenth of the components are computed, so the time is well below three quarters on any machine.
        #expect(cached.images[0].denoiseSeconds < 0.75 * uncached.images[0].denoiseSeconds)
        #expect(uncached.residentBytes > 1 << 20)
    }

    @Test func imagesDependOnSeedAndPrompt() throws {
        _ = try generate(["--seed", "1"], to: "one.png")
        _ = try generate(["--seed", "2"], to: "two.png")
        _ = try generate(["--seed", "1"], to: "one again.png")
        #expect(pixels("one.png") == pixels("one again.png"))
        #expect(pixels("one.png") != pixels("two.png"))
        let prompts = try folder.write("a small blue square\n\na green circle\n", to: "prompts.txt")
        let run = try ProgramRun(
            "ecad",
            [
                "generate", "--model", Fixtures.bundledModel, "--prompts", prompts, "-o", folder.file("images"),
                "--steps", "3",
            ])
        #expect(run.wait() == 0, "\(run.errors)")
        #expect(run.output.contains("00001.png"))
        #expect(pixels("images/00000.png") != nil && pixels("images/00000.png") != pixels("images/00001.png"))
    }

    @Test(arguments: [
        (["--height", "60"], "height 60"), (["--schedule", "none.json"], "none.json"), (["--steps", "7"], "7 steps"),
    ])
    func unsupportedSettingsAreReported(_ arguments: [String], _ part: String) throws {
        let run = try ProgramRun(
            "ecad",
            [
                "generate", "--model", Fixtures.bundledModel, "--prompt", "x", "-o", folder.file("x.png"), "--schedule",
                try schedule(every: 2),
            ] + arguments)
        #expect(run.wait() == 1)
        #expect(run.errors.contains(part), "\(run.errors)")
        #expect(run.errors.split(separator: "\n").count { $0.contains("error:") } == 1, "\(run.errors)")
    }

    /// A PNG file's height and width, and its text chunks by keyword.
    private func header(_ name: String) throws -> (height: Int, width: Int, text: [String: String]) {
        let bytes = Array(try #require(pixels(name)))
        func word(_ at: Int) -> Int { bytes[at..<(at + 4)].reduce(0) { $0 << 8 | Int($1) } }
        var text: [String: String] = [:]
        var position = 8
        while position + 12 <= bytes.count {
            let length = word(position)
            let content = bytes[(position + 8)..<(position + 8 + length)]
            switch String(decoding: bytes[(position + 4)..<(position + 8)], as: UTF8.self) {
            case "tEXt":
                let parts = content.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
                text[String(decoding: parts[0], as: UTF8.self)] = String(decoding: parts[1], as: UTF8.self)
            case "iTXt":
                // Keyword, two flag bytes, empty language and translated keyword, text.
                let parts = content.split(separator: 0, maxSplits: 1, omittingEmptySubsequences: false)
                text[String(decoding: parts[0], as: UTF8.self)] = String(decoding: parts[1].dropFirst(4), as: UTF8.self)
            default: break
            }
            position += length + 12
        }
        return (word(20), word(16), text)
    }

    @Test func pngContainsTheSettings() throws {
        _ = try generate(
            ["--steps", "2", "--seed", "9", "--negative-prompt", "bl\u{FC}r", "--height", "32", "--width", "48"],
            to: "x.png")
        let (height, width, text) = try header("x.png")
        #expect(height == 32 && width == 48)
        #expect(text["prompt"] == "a large red circle on the left" && text["negative prompt"] == "bl\u{FC}r")
        #expect(text["model"] == Fixtures.bundledModel && text["schedule"] == nil)
        #expect(text["seed"] == "9" && text["steps"] == "2" && text["guidance scale"] == "4.5")
        #expect(text["height"] == "32" && text["width"] == "48")
    }

    @Test func guidanceScaleDefaultsToTheFamilys() throws {
        _ = try generate(
            ["--model", "\(Fixtures.folder)/flux-small/model", "--steps", "1", "--height", "8", "--width", "8"],
            to: "flux.png")
        let text = try header("flux.png").text
        #expect(text["guidance scale"] == "3.5" && text["negative prompt"] == nil)
    }

    /// The negative prompt of the embeddings has no effect without guidance, and is not recorded as used.
    @Test func onlySettingsWithAnEffectAreRecorded() throws {
        let prompts = try folder.write("a large red circle on the left\n", to: "prompts.txt")
        let file = folder.file("e.safetensors")
        let embed = try ProgramRun(
            "ecad",
            [
                "embed", "--model", Fixtures.bundledModel, "--prompts", prompts, "--negative-prompt", "blurred", "-o",
                file,
            ])
        #expect(embed.wait() == 0, "\(embed.errors)")
        for (scale, negative) in [("1", nil), ("2", "blurred")] {
            _ = try generate(["--embeddings", file, "--steps", "1", "--guidance-scale", scale], to: "x.png")
            #expect(try header("x.png").text["negative prompt"] == negative)
        }
    }

    @Test func stepsFollowTheSchedule() throws {
        let schedule = folder.file("seven.json")
        let made = try ProgramRun(
            "ecad",
            [
                "schedule", "generate", "fora", "--model", Fixtures.bundledModel, "--steps", "7", "--parameter", "n=2",
                "-o", schedule,
            ])
        #expect(made.wait() == 0, "\(made.errors)")
        _ = try generate(["--schedule", schedule], to: "x.png")
        #expect(try header("x.png").text["steps"] == "7")
    }

    /// The fixture has aspect ratio bins like 1024-MS; its autoencoder has scale 2, so images have a quarter of their size.
    @Test func aspectBinsAllowAnySizeIfTheModelHasThem() throws {
        let bundled = try ProgramRun(
            "ecad",
            [
                "generate", "--model", Fixtures.bundledModel, "--prompt", "x", "-o", folder.file("x.png"),
                "--aspect-bins",
            ])
        #expect(bundled.wait() == 1)
        #expect(bundled.errors.contains("aspect ratio bins"), "\(bundled.errors)")
        let model = try ModelCopy(of: "alpha-small")
        // The native size only affects the position embedding.
        try model.set("sample_size", to: "32", in: "transformer/config.json")
        _ = try generate(
            ["--model", model.path, "--steps", "1", "--height", "37", "--width", "101", "--aspect-bins"], to: "wide.png"
        )
        let (height, width, text) = try header("wide.png")
        #expect(height == 37 && width == 101)
        #expect(text["height"] == "144" && text["width"] == "416")
    }

    @Test func mismatchedModelsAndSchedulesAreReported() throws {
        func run(_ model: String, _ more: [String] = []) throws -> ProgramRun {
            try ProgramRun(
                "ecad",
                ["generate", "--model", model, "--prompt", "x", "-o", folder.file("x.png"), "--threads", "1"] + more)
        }
        let deeper = try run(Fixtures.bundledModel, ["--schedule", try schedule(every: 2, blockCount: 9)])
        let crossed = try ModelCopy(of: "alpha-small")
        try crossed.replace("transformer", withThatOf: "flux-small")
        let wrongFamily = try run(crossed.path)
        let other = try run(
            "\(Fixtures.folder)/flux-small/model", ["--steps", "20", "--schedule", try schedule(every: 2)])
        for (run, parts) in [
            (deeper, ["9 PixArt blocks", "8 PixArt blocks"]),
            (wrongFamily, ["_class_name", "FluxTransformer2DModel", "PixArt"]),
            (other, ["schedule", "PixArt"]),
        ] {
            #expect(run.wait() == 1)
            #expect(run.errors.split(separator: "\n").count == 1, "\(run.errors)")
            for part in parts { #expect(run.errors.contains(part), "no \"\(part)\" in: \(run.errors)") }
        }
    }

    @Test func promptAndPromptsAreMutuallyExclusive() throws {
        let run = try ProgramRun("ecad", ["generate", "--model", "m", "--prompt", "x", "--prompts", "y", "-o", "z"])
        #expect(run.wait() == 2)
    }
}
