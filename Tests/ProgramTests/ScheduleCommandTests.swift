import Foundation
import JSON
import ModelConfiguration
import Schedules
import TestSupport
import Testing

@Suite struct ScheduleCommandTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Runs `ecad schedule`; arguments that begin with `@` are file names in the test's directory.
    func run(_ arguments: String...) throws -> (status: Int32?, output: String, errors: String) {
        let resolved = arguments.map { $0.hasPrefix("@") ? folder.file(String($0.dropFirst())) : $0 }
        let run = try ProgramRun("ecad", ["schedule"] + resolved)
        return (run.wait(), run.output, run.errors)
    }

    func json(_ text: String) throws -> [JSONValue] {
        try #require(JSONValue(parsing: text.utf8, file: "output").array)
    }

    @Test func infoPrintsTheDocumentedJSON() throws {
        _ = try run("generate", "fora", "--family", "pixart-alpha", "--parameter", "n=3", "-o", "@f.json")
        let info = try run("info", "@f.json", "@f.json", "--json")
        let objects = try json(info.output)
        #expect(objects.count == 2 && objects[0] == objects[1])
        let object = try #require(objects[0].object)
        #expect(
            object.members.map(\.key) == [
                "file", "family", "steps", "genes", "recomputed", "genome_sha256", "step_mask",
            ])
        let expected = try Heuristic.fora(interval: 3).schedule(for: .pixart())
        #expect(object["file"]?.string == folder.file("f.json"))
        #expect(object["family"] == "pixart-alpha" && object["steps"] == 20 && object["genes"] == 1680)
        #expect(object["recomputed"] == 588)
        #expect(object["step_mask"] == .bool(true))
        _ = try run("generate", "fora-attention", "--family", "pixart-alpha", "--parameter", "n=3", "-o", "@a.json")
        let partial = try #require(try json(run("info", "@a.json", "--json").output).first?.object)
        #expect(partial["step_mask"] == .bool(false))
        #expect(object["genome_sha256"]?.string == expected.genome.sha256)
        #expect(try run("info", "@f.json").output.contains("recompute_all_every_003"))
    }

    @Test func macsPrintsTheDocumentedJSONAndThePublishedTotals() throws {
        _ = try run("generate", "default", "--family", "pixart-alpha", "-o", "@d.json")
        let output = try run("macs", "@d.json", "--family", "pixart-alpha", "--json").output
        let object = try #require(try json(output).first?.object)
        #expect(object.members.map(\.key) == ["file", "total_macs", "macs_by_step", "total_macs_with_attention"])
        let counts = try ModelArchitecture(family: .pixartAlpha).macs(Schedule(shape: .pixart()))
        #expect(object["total_macs"]?.int == counts.total)
        #expect(object["macs_by_step"]?.array?.compactMap(\.int) == counts.byStep)
        #expect(object["total_macs_with_attention"]?.int == counts.totalWithAttention)
        let large = try run("macs", "@d.json", "--family", "pixart-alpha", "--size", "1024", "--json").output
        let largeTotal = try #require(try json(large).first?.object?["total_macs"]?.int)
        #expect(largeTotal > 10 * counts.total)
        let mismatch = try run("macs", "@d.json", "--model", Fixtures.bundledModel)
        #expect(mismatch.status == 1)
        #expect(mismatch.errors.contains("d.json: the schedule is for 28 PixArt blocks"))
        #expect(mismatch.errors.split(separator: "\n").count == 1)
    }

    @Test func modelDirectoryDeterminesShapeAndSize() throws {
        let made = try run(
            "generate", "tgate", "--model", Fixtures.bundledModel, "--steps", "12", "--parameter", "m=4", "--parameter",
            "k=2", "-o", "@t.json")
        #expect(made.status == 0, "\(made.errors)")
        let file = try ScheduleFile(path: folder.file("t.json"))
        let model = try ModelDescription(modelFolder: Fixtures.bundledModel)
        #expect(try file.schedule.shape == model.architecture.shape(stepCount: 12))
        #expect(file.schedule.gateStep == 4)
        #expect(file.configuration["height"]?.int == model.height)
        #expect(try run("macs", "@t.json", "--model", Fixtures.bundledModel).status == 0)
    }

    @Test func filesAreConvertedInBothDirections() throws {
        for n in 2...4 {
            _ = try run(
                "generate", "fora", "--family", "flux-dev", "--parameter", "n=\(n)", "-o", "@\(n).json")
        }
        let packed = try run("convert", "@2.json", "@3.json", "@4.json", "-o", "@f.ecad", "--provenance", "a test")
        #expect(packed.status == 0, "\(packed.errors)")
        #expect(try run("convert", "@f.ecad", "--entry", "1", "-o", "@again.json").status == 0)
        #expect(
            try ScheduleFile(path: folder.file("again.json")) == ScheduleFile(path: folder.file("3.json")))
        #expect(try json(run("info", "@f.ecad", "--json").output).count == 3)
        let unchosen = try run("convert", "@f.ecad", "-o", "@x.json")
        #expect(unchosen.status == 1 && unchosen.errors.contains("f.ecad: holds 3 schedules; expected --entry 0 to 2"))
    }

    @Test func measurementsOfAnotherModelNeedForce() throws {
        let model = try folder.copy(of: "\(Fixtures.folder)/alpha-small/model", as: "model")
        _ = try run("generate", "default", "--model", model, "-o", "@d.json")
        #expect(try run("convert", "@d.json", "-o", "@d.ecad", "--model", model).status == 0)
        #expect(try run("convert", "@d.ecad", "-o", "@e.json", "--model", model).status == 0)
        let path = "\(model)/scheduler/scheduler_config.json"
        let sampler = try String(contentsOfFile: path, encoding: .utf8)
        try sampler.replacingOccurrences(of: "\"solver_order\": 2", with: "\"solver_order\": 1")
            .write(toFile: path, atomically: true, encoding: .utf8)
        let refused = try run("convert", "@d.ecad", "-o", "@e.json", "--model", model)
        #expect(refused.status == 1)
        #expect(refused.errors.contains("d.ecad: measured for another model, sampler, step count or image size"))
        #expect(try run("convert", "@d.ecad", "-o", "@e.json", "--model", model, "--force").status == 0)
    }

    @Test func schedulesAreDrawn() throws {
        _ = try run("generate", "fora", "--family", "pixart-alpha", "--parameter", "n=2", "-o", "@f.json")
        let shown = try run("show", "@f.json")
        #expect(shown.output == SchedulePicture(try ScheduleFile(path: folder.file("f.json")).schedule).text())
        #expect(try run("show", "@f.json", "-o", "@f.svg").status == 0)
        #expect(try String(contentsOfFile: folder.file("f.svg"), encoding: .utf8).hasPrefix("<svg"))
        #expect(try run("show", "@f.json", "-o", "@f.png").status == 0)
        let png = try Data(contentsOf: URL(filePath: folder.file("f.png")))
        #expect(png.starts(with: [0x89, 0x50, 0x4E, 0x47]))
    }

    @Test func malformedFilesAreReportedInOneLine() throws {
        _ = try run("generate", "default", "--model", Fixtures.bundledModel, "--steps", "2", "-o", "@d.json")
        let text = try String(contentsOfFile: folder.file("d.json"), encoding: .utf8)
        let first = try #require(text.range(of: "\"attn1\": true"))
        _ = try folder.write(text.replacingCharacters(in: first, with: "\"attn1\": 1"), to: "bad.json")
        for arguments in [["info"], ["show"], ["macs", "--family", "pixart-alpha"], ["convert", "-o", "x.ecad"]] {
            let bad = try ProgramRun("ecad", ["schedule"] + arguments + [folder.file("bad.json")])
            #expect(bad.wait() == 1)
            #expect(bad.errors.contains("bad.json: cache_schedule.schedule.000.0.attn1 is 1; expected true or false"))
            #expect(bad.errors.split(separator: "\n").count == 1 && bad.output.isEmpty)
        }
        let missing = try run("info", "@none.json")
        #expect(missing.status == 1 && missing.errors.contains("none.json: cannot be read"))
    }

    @Test(arguments: [
        (["info"], "files"), (["macs", "f.json"], "--family"),
        (["macs", "f.json", "--family", "sdxl"], "pixart-alpha"),
        (["macs", "f.json", "--family", "flux-dev", "--model", "m"], "--model"),
        (["macs", "f.json", "--model", "m", "--size", "256"], "--size"),
        (["macs", "f.json", "--family", "flux-dev", "--size", "250"], "--size is 250; expected a multiple of 16"),
        (["generate", "flora", "--family", "flux-dev", "-o", "x.json"], "tgate-no-average"),
        (["generate", "fora", "--family", "flux-dev", "--steps", "0", "-o", "x.json"], "--steps 0"),
        (["generate", "fora", "--family", "flux-dev", "--parameter", "n3", "-o", "x.json"], "n3"),
        (["generate", "fora", "--family", "flux-dev", "-o", "x.txt"], ".json or .ecad"),
        (["convert", "a.json", "-o", "x.txt"], ".json or .ecad"), (["show", "a.json", "-o", "x.gif"], ".svg or .png"),
        (["convert", "a.json", "b.json", "-o", "x.json"], "one .ecad file"),
    ])
    func usageErrorsExitWithTwo(_ arguments: [String], _ part: String) throws {
        let run = try ProgramRun("ecad", ["schedule"] + arguments)
        #expect(run.wait() == 2)
        #expect(run.errors.contains(part), "\(run.errors)")
    }

    @Test func missingParametersAreReported() throws {
        let made = try run("generate", "fora", "--family", "pixart-alpha", "-o", "@f.json")
        #expect(made.status == 1 && made.errors.contains("heuristic fora: parameter n is missing; expected an integer"))
        #expect(!FileManager.default.fileExists(atPath: folder.file("f.json")))
    }
}
