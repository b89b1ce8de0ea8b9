import Evolution
import Foundation
import ModelConfiguration
import Schedules
import TestSupport
import Testing

@testable import CoordinatorService

@Suite struct RunConfigurationTests {
    private let minimal = """
        [model]
        path = "m"
        [prompts]
        calibration = "/p.txt"
        """

    private func read(_ text: String, _ overrides: [String] = []) throws -> RunConfiguration {
        try RunConfiguration(text: text, file: "run.toml", overrides: overrides, folder: "/base")
    }

    @Test func absentKeysHaveDefaultsAndPathsAreRelativeToTheFile() throws {
        let c = try read(minimal)
        #expect(c.modelPath == "/base/m" && c.promptsPath == "/p.txt")
        #expect(c.stepCount == 20 && c.guidanceScale == 4.5 && c.cost == .latency && c.quality == .psnr)
        #expect(c.population == 24 && c.generations == 20 && c.preset == "default")
    }

    @Test(arguments: Fixtures.bundledModels)
    func everyBundledModelHasARunConfiguration(_ model: String) throws {
        let name = (model as NSString).lastPathComponent
        let c = try RunConfiguration(path: "\(Fixtures.checkout)/cluster/\(name).toml", overrides: [])
        #expect(c.modelPath == model)
        #expect(FileManager.default.fileExists(atPath: c.promptsPath))
        let description = try ModelDescription(modelFolder: model, height: c.height, width: c.width)
        #expect(description.height == c.height ?? 64 && description.width == c.width ?? 64)
    }

    @Test func overridesWinAndStringsNeedNoQuotes() throws {
        let c = try read(minimal, ["search.generations=50", "objectives.cost=macs", "search.seeding=[\"random\"]"])
        #expect(c.generations == 50 && c.cost == .macs && c.seeding == ["random"])
    }

    @Test func theResolvedTextReadsBackEqual() throws {
        let c = try read(
            minimal, ["prompts.negative=a \"quoted\" \\ text", "model.height=64", "model.guidance_scale=2.5"])
        #expect(c.negativePrompt == "a \"quoted\" \\ text")
        #expect(try RunConfiguration(text: c.resolved, file: "stored", folder: "/elsewhere") == c)
    }

    @Test func scorersWithAModelNameItsFolder() throws {
        let c = try read(minimal, ["objectives.quality=image-reward", "scorers.image-reward=r", "scorers.clip=/c"])
        #expect(c.quality == .imageReward && c.scorerPaths == [.imageReward: "/base/r", .clip: "/c"])
        #expect(try RunConfiguration(text: c.resolved, file: "stored", folder: "/elsewhere") == c)
        #expect(try read(minimal).scorerPaths.isEmpty)
        #expect(throws: CoordinatorError.missingKey(file: "run.toml", key: "scorers.clip")) {
            try read(minimal, ["objectives.quality=clip", "scorers.image-reward=r"])
        }
        #expect(c.scorers == [.psnr, .ssim, .latentError, .imageReward, .imageRewardKept, .clip])
        #expect(try read(minimal).scorers == ScorerKind.paired)
        #expect(
            try read(minimal, ["objectives.quality=image-reward-kept", "scorers.image-reward=r"]).quality
                == .imageRewardKept)
        #expect(throws: CoordinatorError.missingKey(file: "run.toml", key: "scorers.image-reward")) {
            try read(minimal, ["objectives.quality=image-reward-kept", "scorers.clip=/c"])
        }
    }

    @Test func rulesThatEndARunReadBackEqual() throws {
        let c = try read(
            minimal,
            [
                "stop.evaluations=100", "stop.seconds=3600", "stop.flat_generations=5", "stop.flat_gain=0.01",
                "search.mode=steady-state", "search.warm_start=runs/a", "objectives.cost_table=t.json",
            ])
        #expect(c.stop == StopRules(evaluations: 100, seconds: 3600, flatGenerations: 5, flatGain: 0.01))
        #expect(c.mode == .steadyState && c.warmStart == "/base/runs/a" && c.costTablePath == "/base/t.json")
        #expect(try RunConfiguration(text: c.resolved, file: "stored", folder: "/elsewhere") == c)
        #expect(try read(minimal).stop == StopRules())
    }

    @Test func unknownKeysAreRefusedWithASuggestion() {
        #expect(
            throws: CoordinatorError.unknownKey(file: "run.toml", key: "search.sed", suggestion: "search.seed")
        ) { try read(minimal + "\n[search]\nsed = 3") }
        #expect(throws: CoordinatorError.unknownKey(file: "run.toml", key: "zzzzzzzzzz", suggestion: nil)) {
            try read("zzzzzzzzzz = 1\n" + minimal)
        }
    }

    @Test(arguments: [
        "search.population=true", "search.population=2.5", "search.population=1000000", "model.steps=0",
        "model.guidance_scale=fast", "search.seeding=3", "search.seed=-1", "objectives.quality=beauty",
        "stop.evaluations=0", "stop.seconds=-1", "stop.flat_gain=2", "stop.flat_generations=many", "search.mode=fast",
    ])
    func valuesOfTheWrongKindNameTheKey(_ assignment: String) throws {
        let key = String(assignment.prefix { $0 != "=" })
        do {
            _ = try read(minimal, [assignment])
            Issue.record("\(assignment) was accepted")
        } catch let error as CoordinatorError {
            #expect(error.description.contains(key), "\(error)")
        }
    }

    @Test(arguments: [
        "[search]\nseeding = [\"ran\\ndom\"]", "[search]\n\"se\\ned\" = 1", "[search]\nmode = \"fa\\nst\"",
    ])
    func whatIsQuotedStaysOnItsLine(_ more: String) {
        do {
            _ = try read(minimal + "\n" + more)
            Issue.record("it was accepted")
        } catch {
            #expect("\(error)".contains("\\n") && !"\(error)".contains("\n"), "\(error)")
        }
    }

    @Test func aMissingKeyIsNamed() {
        #expect(throws: CoordinatorError.missingKey(file: "run.toml", key: "prompts.calibration")) {
            try read("[model]\npath = \"m\"")
        }
    }
}
