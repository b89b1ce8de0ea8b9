import Basics
import Evolution
import Foundation
import ModelConfiguration
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

    private func error(_ text: String, _ overrides: [String] = []) -> String? {
        do {
            _ = try read(text, overrides)
            return nil
        } catch {
            return "\(error)"
        }
    }

    // MARK: - Values

    @Test func absentKeysHaveDefaultsAndPathsAreRelativeToTheFile() throws {
        let c = try read(minimal)
        var expected = RunConfiguration()
        expected.modelPath = "/base/m"
        expected.promptsPath = "/p.txt"
        #expect(c == expected)
        #expect(c.stepCount == 20 && c.guidanceScale == nil && c.cost == .latency && c.quality == .psnr)
        #expect(c.population == 24 && c.generations == 20 && c.preset == .standard && c.seedings == [.calibrated])
        #expect(c.imagesPerTask == 8 && c.secondsPerTask == 15 && c.recheckShare == 0.02 && c.stop.flatGain == 0.001)
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
        #expect(c.generations == 50 && c.cost == .macs && c.seedings == [.random])
    }

    @Test func budgetAndGenerationsExcludeEachOther() throws {
        let folder = try TemporaryFolder()
        func read(_ search: String, _ overrides: [String] = []) throws -> RunConfiguration {
            let path = try folder.write("\(minimal)\n[search]\n\(search)", to: "run.toml")
            return try RunConfiguration(path: path, overrides: overrides)
        }
        let budget = try read("budget_images = 2000")
        #expect(budget.budgetImages == 2000 && budget.generationLimit == nil)
        #expect(!budget.resolved.contains("\ngenerations = ") && budget.resolved.contains("budget_images = 2000"))
        #expect(try read("generations = 6").generationLimit == 6 && read("").generationLimit == 20)
        for (search, overrides) in [
            ("generations = 6\nbudget_images = 2000", []),
            ("", ["search.generations=6", "search.budget_images=2000"]),
        ] {
            let error = #expect(throws: CoordinatorError.self) { try read(search, overrides) }
            let text = "\(try #require(error))"
            #expect(text.contains("search.generations is only allowed without search.budget_images"), "\(text)")
        }
        // An override of one replaces the other in the file.
        let replaced = try read("generations = 6", ["search.budget_images=2000"])
        #expect(replaced.budgetImages == 2000 && replaced.generationLimit == nil)
        let back = try read("budget_images = 2000", ["search.generations=6"])
        #expect(back.budgetImages == nil && back.generationLimit == 6)
        #expect(throws: CoordinatorError.self) { try read("budget_images = 0") }
        #expect(throws: CoordinatorError.self) { try read("budget_images = 1.5") }
    }

    @Test func qualityRequiresTheModelOfItsScorer() throws {
        let c = try read(minimal, ["objectives.quality=image-reward", "scorers.image-reward=r", "scorers.clip=/c"])
        #expect(c.quality == .imageReward && c.scorerPaths == [.imageReward: "/base/r", .clip: "/c"])
        #expect(c.scorers == ScorerKind.allCases)
        #expect(try read(minimal).scorerPaths.isEmpty)
        #expect(try read(minimal).scorers == ScorerKind.paired)
        #expect(throws: CoordinatorError.missingKey(file: "run.toml", key: "scorers.clip")) {
            try read(minimal, ["objectives.quality=clip", "scorers.image-reward=r"])
        }
        #expect(
            try read(minimal, ["objectives.quality=image-reward-clipped", "scorers.image-reward=r"]).quality
                == .imageRewardClipped)
        #expect(throws: CoordinatorError.missingKey(file: "run.toml", key: "scorers.image-reward")) {
            try read(minimal, ["objectives.quality=image-reward-clipped", "scorers.clip=/c"])
        }
    }

    // MARK: - Resolved text

    @Test func resolvedTextOfRandomConfigurationsReadsBackEqual() throws {
        var generator = Mutations(seed: 5)
        for _ in 0..<500 {
            let c = RunConfiguration.random(using: &generator)
            #expect(try RunConfiguration(text: c.resolved, file: "stored", folder: "/elsewhere") == c, "\(c.resolved)")
        }
    }

    @Test func configurationStoredByRelease0_1Reads() throws {
        let c = try RunConfiguration(
            text: """
                [model]
                path = "/models/a"
                steps = 20
                height = 96
                width = 64
                guidance_scale = 2.5
                [prompts]
                calibration = "/p.txt"
                seeds_per_prompt = 2
                negative = "a \\u000A b"
                embeddings = "/e.safetensors"
                embeddings_sha256 = "abc"
                [objectives]
                cost = "latency"
                cost_table = "/t.json"
                quality = "image-reward-kept"
                [scorers]
                image-reward = "/r"
                image-reward_fingerprint = "def"
                [search]
                preset = "ecad-paper"
                mode = "steady-state"
                population = 12
                generations = 7
                seed = 9
                seeding = ["default", "fora", "fora-attention", "tgate-no-average", "evenly", "random"]
                warm_start = "/runs/a"
                [stop]
                evaluations = 100
                seconds = 3600.0
                flat_generations = 5
                flat_gain = 0.01
                [tasks]
                images = 4
                schedules = 3
                seconds = 20.0
                recheck_share = 0.5

                """, file: "history.sqlite", folder: "/elsewhere")
        #expect(c.modelPath == "/models/a" && c.stepCount == 20 && c.height == 96 && c.width == 64)
        #expect(c.guidanceScale == 2.5 && c.promptsPath == "/p.txt" && c.seedsPerPrompt == 2)
        #expect(c.negativePrompt == "a \n b" && c.embeddingsPath == "/e.safetensors" && c.embeddingsSHA256 == "abc")
        #expect(c.cost == .latency && c.costTablePath == "/t.json" && c.scorerPaths == [.imageReward: "/r"])
        // The present name of image-reward-kept.
        #expect(c.quality == .imageRewardClipped)
        #expect(c.scorerFingerprints == [.imageReward: "def"] && c.preset == .ecadPaper && c.mode == .steadyState)
        #expect(c.population == 12 && c.generations == 7 && c.seed == 9 && c.seeding == Seeding.allCases.dropLast())
        #expect(c.warmStart == "/runs/a")
        #expect(c.stop == StopRules(evaluations: 100, seconds: 3600, flatGenerations: 5, flatGain: 0.01))
        #expect(c.imagesPerTask == 4 && c.schedulesPerTask == 3 && c.secondsPerTask == 20 && c.recheckShare == 0.5)
        #expect(try RunConfiguration(text: c.resolved, file: "stored", folder: "/elsewhere") == c)
    }

    // MARK: - Documentation

    @Test func readmeTableOfKeysIsCurrent() throws {
        let readme = try String(contentsOfFile: "\(Fixtures.checkout)/cluster/README.md", encoding: .utf8)
        let parts = readme.components(separatedBy: "<!-- keys: begin -->\n")
        let table = try #require(parts.last?.components(separatedBy: "<!-- keys: end -->").first)
        #expect(parts.count == 2)
        #expect(
            table == RunConfiguration.keyTable,
            "replace the table in cluster/README.md with the output of ecad-coordinator config-keys")
    }

    @Test func keysAreUniqueAndGroupedBySection() {
        let names = RunConfiguration.keys.map(\.name)
        #expect(Set(names).count == names.count)
        let sections = names.map { $0.prefix { $0 != "." } }
        let starts = sections.indices.filter { $0 == 0 || sections[$0] != sections[$0 - 1] }
        #expect(starts.count == Set(sections).count)
        #expect(RunConfiguration.keys.allSatisfy { $0.summary.hasSuffix(".") && !$0.summary.contains("\n") })
    }

    // MARK: - Errors

    @Test func unknownKeysAreRejectedWithASuggestion() {
        #expect(
            throws: CoordinatorError.unknownKey(file: "run.toml", key: "search.sed", suggestion: "search.seed")
        ) { try read(minimal + "\n[search]\nsed = 3") }
        #expect(throws: CoordinatorError.unknownKey(file: "run.toml", key: "zzzzzzzzzz", suggestion: nil)) {
            try read("zzzzzzzzzz = 1\n" + minimal)
        }
    }

    @Test(arguments: [
        ("search.population=1", "search.population is 1; expected 4 to 10000"),
        ("search.population=2.5", "search.population is 2.5; expected an integer from 4 to 10000"),
        ("search.population=true", "search.population is true; expected an integer from 4 to 10000"),
        ("model.guidance_scale=-1", "model.guidance_scale is -1; expected 0 to 100"),
        ("model.guidance_scale=fast", "model.guidance_scale is \"fast\"; expected a number from 0 to 100"),
        ("model.guidance_scale=1e30", "model.guidance_scale is 1e+30; expected 0 to 100"),
        ("tasks.seconds=0", "tasks.seconds is 0; expected 0.01 to 86400"),
        ("prompts.negative=3", "prompts.negative is 3; expected a string"),
        (
            "objectives.cost=time",
            "objectives.cost is \"time\"; expected one of \"latency\", \"measured\", \"macs\""
        ),
        ("search.mode=fast", "search.mode is \"fast\"; expected one of \"generations\", \"steady-state\""),
    ])
    func unacceptableValuesAreShownWithTheExpectedOnes(_ assignment: String, _ message: String) {
        #expect(error(minimal, [assignment]) == "--set: \(message)")
    }

    @Test(arguments: [
        "search.population=1000000", "model.steps=0", "search.seeding=3", "search.seeding=[\"flora\"]",
        "search.seed=-1", "objectives.quality=beauty", "stop.evaluations=0", "stop.seconds=-1", "stop.flat_gain=2",
        "stop.flat_generations=many",
    ])
    func unacceptableValuesNameTheKey(_ assignment: String) {
        #expect(error(minimal, [assignment])?.contains(assignment.prefix { $0 != "=" }) == true)
    }

    /// A user's file, unlike a stored configuration, must not hold keys that have no effect.
    @Test(arguments: [
        (["tasks.schedules=3", "tasks.seconds=5"], "tasks.seconds is only allowed without tasks.schedules"),
        (["stop.flat_gain=0.5"], "stop.flat_gain is only allowed with stop.flat_generations"),
        (["prompts.embeddings_sha256=ab"], "prompts.embeddings_sha256 is only allowed with prompts.embeddings"),
        (["scorers.clip_fingerprint=ab"], "scorers.clip_fingerprint is only allowed with scorers.clip"),
    ])
    func keysWithoutEffectAreRejected(_ overrides: [String], _ part: String) throws {
        let folder = try TemporaryFolder()
        let path = try folder.write(minimal, to: "run.toml")
        #expect(
            complaint { try RunConfiguration(path: path, overrides: overrides) }.isOneLine(naming: "--set: \(part)"))
        let stored = try read(minimal, overrides)
        #expect(try read(stored.resolved) == stored)
    }

    @Test func guidanceScaleDefaultsToThatOfTheModel() throws {
        for (fixture, scale) in [("alpha-small", 4.5), ("flux-small", 3.5)] {
            let model = try ModelDescription(modelFolder: "\(Fixtures.folder)/\(fixture)/model")
            var c = try read(minimal)
            try c.resolveGuidance(of: model)
            #expect(c.guidanceScale == scale)
            c.guidanceScale = 2
            try c.resolveGuidance(of: model)
            #expect(c.guidanceScale == 2)
        }
    }

    @Test(arguments: [("flux-small", "3", "FLUX"), ("alpha-small", "1", "guidance scale above 1")])
    func negativePromptWithoutEffectIsRejected(_ fixture: String, _ scale: String, _ part: String) throws {
        let model = try ModelDescription(modelFolder: "\(Fixtures.folder)/\(fixture)/model")
        var c = try read(minimal, ["prompts.negative=blurred", "model.guidance_scale=\(scale)"])
        #expect(
            complaint { try c.resolveGuidance(of: model) }.isOneLine(naming: "prompts.negative is \"blurred\"", part))
        #expect(c.usesNegativePrompt(with: model) == false)
        c.negativePrompt = ""
        try c.resolveGuidance(of: model)
    }

    @Test func costTableRequiresTheCostLatency() {
        #expect(
            error(minimal, ["objectives.cost=macs", "objectives.cost_table=t.json"])
                == "--set: objectives.cost_table is only allowed with objectives.cost = \"latency\" (found \"macs\")"
        )
    }

    @Test(arguments: [
        "[search]\nseeding = [\"ran\\ndom\"]", "[search]\n\"se\\ned\" = 1", "[search]\nmode = \"fa\\nst\"",
    ])
    func errorsWithQuotedTextStayOnOneLine(_ more: String) throws {
        let message = try #require(error(minimal + "\n" + more))
        #expect(message.contains("\\n") && !message.contains("\n"), "\(message)")
    }

    @Test func missingRequiredKeysAreNamed() {
        #expect(throws: CoordinatorError.missingKey(file: "run.toml", key: "prompts.calibration")) {
            try read("[model]\npath = \"m\"")
        }
    }
}

extension RunConfiguration {
    /// A valid configuration with random values, absent keys and strings that need escapes.
    fileprivate static func random(using generator: inout Mutations) -> RunConfiguration {
        func text() -> String {
            let characters = Array("ab \"\\\n\t\u{1}\u{7F}#=[]'é😀")
            return String(
                (0..<Int.random(in: 0...6, using: &generator)).map { _ in
                    characters[Int.random(in: characters.indices, using: &generator)]
                })
        }
        func maybe<Value>(_ value: @autoclosure () -> Value) -> Value? {
            Bool.random(using: &generator) ? value() : nil
        }
        func element<Value>(_ values: [Value]) -> Value { values[Int.random(in: values.indices, using: &generator)] }
        var c = RunConfiguration()
        c.modelPath = "/" + text()
        c.stepCount = .random(in: 1...1000, using: &generator)
        c.height = maybe(.random(in: 1...16384, using: &generator))
        c.width = maybe(.random(in: 1...16384, using: &generator))
        c.guidanceScale = maybe(.random(in: 0...100, using: &generator))
        c.promptsPath = "/" + text()
        c.embeddingsPath = maybe("/" + text())
        c.embeddingsSHA256 = maybe(text())
        c.seedsPerPrompt = .random(in: 1...1000, using: &generator)
        c.negativePrompt = text()
        c.cost = element(Cost.allCases)
        if c.cost == .latency { c.costTablePath = maybe("/" + text()) }
        for scorer in ScorerKind.modelled {
            c.scorerPaths[scorer] = maybe("/" + text())
            c.scorerFingerprints[scorer] = maybe(text())
        }
        c.quality = element(c.scorers)
        c.preset = element(SearchSettings.Preset.allCases)
        c.mode = element(SearchSettings.Mode.allCases)
        c.population = .random(in: 4...10000, using: &generator)
        c.generations = .random(in: 1...100_000, using: &generator)
        c.seed = .random(in: 0...UInt64(Int32.max), using: &generator)
        c.seeding = Seeding.allCases.filter { _ in Bool.random(using: &generator) }
        c.warmStart = maybe("/" + text())
        c.runDirectory = maybe("/" + text())
        c.stop.evaluations = maybe(.random(in: 1...1_000_000_000, using: &generator))
        c.stop.seconds = maybe(.random(in: 1...1e9, using: &generator))
        c.stop.flatGenerations = maybe(.random(in: 1...100_000, using: &generator))
        c.stop.flatGain = .random(in: 0...1, using: &generator)
        c.imagesPerTask = .random(in: 1...256, using: &generator)
        c.schedulesPerTask = maybe(.random(in: 1...TaskSize.limit, using: &generator))
        c.secondsPerTask = .random(in: 0.01...86_400, using: &generator)
        c.recheckShare = .random(in: 0...1, using: &generator) * 1e-9
        return c
    }
}
