import Foundation
import History
import JSON
import Schedules
import TestSupport
import Testing

@Suite struct ExportTests {
    private func coordinator(_ arguments: String...) throws -> (status: Int32?, output: String, errors: String) {
        let run = try ProgramRun("ecad-coordinator", arguments)
        return (run.wait(), run.output, run.errors)
    }

    @Test func frontIsPickedFromAndExported() throws {
        let small = try SmallRun(generations: 1)
        #expect(try small.begin(workers: 1).wait() == 0)
        let history = try RunHistory.openReadOnly(in: small.runFolder)
        let run = try history.runs.snapshot().run
        let front = try history.search.front(of: run.id)
        let best = try #require(front.max { $0.quality < $1.quality })
        let folder = small.folder

        let picked = try coordinator(
            "pick", "--run-dir", small.runFolder, "--min-quality", "\(best.quality)", "--json")
        #expect(picked.status == 0, "\(picked.errors)")
        let row = try #require(JSONValue(parsing: picked.output.utf8, file: "output").object)
        #expect(row["candidate_id"]?.int == Int(best.candidateID) && row["quality"]?.double == best.quality)
        let unreachable = try coordinator("pick", "--run-dir", small.runFolder, "--max-latency", "1e-9")
        #expect(unreachable.status == 1 && unreachable.errors.contains("no member of the front"))

        let compactPath = folder.file("front.ecad")
        let compactRun = try coordinator(
            "export", "--run-dir", small.runFolder, "--front", "-o", compactPath)
        #expect(compactRun.status == 0, "\(compactRun.errors)")
        guard case .compact(let compact) = try ScheduleDocument(path: compactPath) else {
            Issue.record("not a compact file")
            return
        }
        #expect(compact.entries.map(\.cost) == front.map(\.cost))
        #expect(compact.entries.map(\.quality) == front.map(\.quality))
        #expect(compact.costName == "macs" && compact.qualityName == "psnr")
        #expect(compact.provenance.contains(run.name))
        let settings = try MeasurementSettings(modelFolder: SmallRun.model, height: 16, width: 16, stepCount: 5)
        #expect(compact.settingsHash == settings.hash)

        let jsonFolder = folder.file("schedules")
        try FileManager.default.createDirectory(atPath: jsonFolder, withIntermediateDirectories: false)
        _ = try folder.write("{}", to: "schedules/earlier.json")
        let published = try coordinator(
            "export", "--run-dir", small.runFolder, "--front", "--format", "ecad-json", "-o", jsonFolder)
        #expect(published.status == 0, "\(published.errors)")
        #expect(published.errors.contains("also holds 1 other JSON files, such as earlier.json"), "\(published.errors)")
        try FileManager.default.removeItem(atPath: "\(jsonFolder)/earlier.json")
        #expect(try FileManager.default.contentsOfDirectory(atPath: jsonFolder).count == front.count)
        let one = folder.file("one.json")
        _ = try coordinator(
            "export", "--run-dir", small.runFolder, "--candidate", "\(best.candidateID)", "-o", one)
        let file = try ScheduleFile(path: one)
        #expect(file.schedule.genome.sha256 == (try history.search.candidate(best.candidateID)).genomeSHA256)
        #expect(file.configuration["height"]?.int == 16)
        let absent = try coordinator(
            "export", "--run-dir", small.runFolder, "--candidate", "999999", "--format", "compact", "-o",
            folder.file("none.ecad"))
        #expect(absent.status == 1 && absent.errors.contains("999999"))
    }

    @Test(arguments: [
        (["pick", "--run-dir", "r"], "--max-latency"),
        (["pick", "--run-dir", "r", "--max-latency", "1", "--min-quality", "2"], "--max-latency"),
        (["pick", "--run-dir", "r", "--max-latency", "nan"], "--max-latency"),
        (["export", "--run-dir", "r", "--format", "compact", "-o", "x"], "--front"),
        (["export", "--run-dir", "r", "--front", "--format", "json", "-o", "x"], "ecad-json"),
    ])
    func usageErrorsHaveStatusTwo(_ arguments: [String], _ part: String) throws {
        let run = try ProgramRun("ecad-coordinator", arguments)
        #expect(run.wait() == 2)
        #expect(run.errors.contains(part), "\(run.errors)")
    }
}
