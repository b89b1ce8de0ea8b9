import Foundation
import JSON
import ModelConfiguration
import Schedules
import TestSupport
import Testing

@Suite struct BundledModelTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func size(of path: String) -> Int {
        let files = FileManager.default.enumerator(atPath: path)?.allObjects as? [String] ?? []
        return files.reduce(0) { sum, name in
            sum + ((try? FileManager.default.attributesOfItem(atPath: "\(path)/\(name)")[.size]) as? Int ?? 0)
        }
    }

    @Test func everyFamilyHasABundledModelWithACard() throws {
        let models = Fixtures.bundledModels
        #expect(
            models.map { ($0 as NSString).lastPathComponent } == [
                "shapes-flux", "shapes-pixart-alpha", "shapes-pixart-sigma",
            ])
        for model in models {
            #expect(FileManager.default.fileExists(atPath: "\(model)/README.md"), "\(model)")
            #expect(size(of: model) < 20_000_000, "\(model)")
        }
    }

    @Test(arguments: Fixtures.bundledModels)
    func schedulesAreGeneratedAndTheirMACsComputed(_ model: String) throws {
        let file = folder.file("fora.json")
        let generated = try ProgramRun(
            "ecad",
            ["schedule", "generate", "fora", "--model", model, "--steps", "12", "--parameter", "n=3", "-o", file])
        #expect(generated.wait() == 0, "\(generated.errors)")
        let counted = try ProgramRun("ecad", ["schedule", "macs", file, "--model", model, "--json"])
        #expect(counted.wait() == 0, "\(counted.errors)")
        let total = try JSONValue(parsing: counted.output.utf8, file: "output").array?.first?.object?["total_macs"]?.int
        let architecture = try ModelDescription(modelFolder: model).architecture
        let uncached = Schedule(shape: try architecture.shape(stepCount: 12))
        #expect(try total == architecture.macs(ScheduleFile(path: file).schedule).total)
        #expect(try architecture.macs(uncached).total > total ?? .max)
    }

    @Test(arguments: Fixtures.bundledModels)
    func generatesAnImage(_ model: String) throws {
        let image = folder.file("image.png")
        let run = try ProgramRun(
            "ecad",
            [
                "generate", "--model", model, "--prompt", "a large red circle on the left on a white background",
                "--steps", "2", "--threads", "1", "-o", image,
            ])
        #expect(run.wait() == 0, "\(run.errors)")
        #expect(size(of: folder.path) > 1000)
    }
}
