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

    /// A schedule of the bundled model that recomputes everything at every n-th step alone.
    private func schedule(every interval: Int) throws -> String {
        let steps = (0..<20).map { step in
            let value = step % interval == 0 ? "true" : "false"
            let blocks = (0..<8).map { "\"\($0)\": {\"attn1\": \(value), \"attn2\": \(value), \"ff\": \(value)}" }
            return "\"\(String(format: "%03d", step))\": {\(blocks.joined(separator: ", "))}"
        }
        return try folder.write(
            """
            {"cache_schedule": {"num_blocks": 8, "num_inference_steps": 20, "name": "every", "attributes": {},
            "schedule": {\(steps.joined(separator: ", "))}}, "metrics": {}}
            """, to: "every-\(interval).json")
    }

    @Test func aScheduleIsReallyApplied() throws {
        let uncached = try generate([], to: "uncached.png")
        _ = try generate(["--schedule", try schedule(every: 1)], to: "all.png")
        let cached = try generate(["--schedule", try schedule(every: 10)], to: "cached.png")
        // The chunks name the schedule, so the files differ; the pixels, which come last, do not.
        #expect(pixels("uncached.png")?.suffix(2000) == pixels("all.png")?.suffix(2000))
        #expect(pixels("uncached.png")?.suffix(2000) != pixels("cached.png")?.suffix(2000))
        // A tenth of the components are computed: on any machine that takes well under three quarters of the time.
        #expect(cached.images[0].denoiseSeconds < 0.75 * uncached.images[0].denoiseSeconds)
        #expect(uncached.residentBytes > 1 << 20)
    }

    @Test func seedsAndPromptFilesMakeDifferentImages() throws {
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
        (["--height", "60"], "height 60"), (["--schedule", "none.json"], "none.json"), (["--steps", "7"], "steps"),
    ])
    func whatDoesNotFitIsNamed(_ arguments: [String], _ part: String) throws {
        let run = try ProgramRun(
            "ecad",
            [
                "generate", "--model", Fixtures.bundledModel, "--prompt", "x", "-o", folder.file("x.png"), "--schedule",
                try schedule(every: 2),
            ] + arguments)
        #expect(run.wait() == 1)
        #expect(run.errors.contains(part), "\(run.errors)")
        #expect(run.errors.split(separator: "\n").count == 1, "\(run.errors)")
    }

    @Test func promptAndPromptsTogetherAreAUsageError() throws {
        let run = try ProgramRun("ecad", ["generate", "--model", "m", "--prompt", "x", "--prompts", "y", "-o", "z"])
        #expect(run.wait() == 2)
    }
}
