import Evolution
import Foundation
import Schedules

/// What a run is asked to do: the TOML file of `ecad-coordinator run --config`.
public struct RunConfiguration: Sendable, Equatable {
    /// What the search minimises beside the loss of quality.
    public enum Cost: String, Sendable, CaseIterable {
        /// Seconds of denoising relative to the uncached run, modelled by one table of what the model's parts cost.
        case latency
        /// Seconds of denoising relative to the uncached run, measured on the same worker and interleaved with it.
        case measured
        /// Multiply-adds relative to the uncached run: the same on every machine.
        case macs
    }

    /// The model directory.
    public var modelPath: String
    /// Denoising steps.
    public var stepCount: Int
    /// Height of the images in pixels; nil for the model's native size.
    public var height: Int?
    /// Width of the images in pixels; nil for the model's native size.
    public var width: Int?
    /// The scale of classifier-free guidance.
    public var guidanceScale: Double
    /// The file of calibration prompts.
    public var promptsPath: String
    /// The file of the prompts' embeddings that `ecad embed` wrote; nil if every worker embeds the prompts itself.
    public var embeddingsPath: String?
    /// The hash of that file, once the run has begun: it must not change.
    public var embeddingsSHA256: String?
    /// Images per prompt, with seeds 0, 1, ...
    public var seedsPerPrompt: Int
    /// The prompt of the unconditional half.
    public var negativePrompt: String
    /// The first objective.
    public var cost: Cost
    /// The cost table of cost `latency`; nil for the one that the run's first worker measures.
    public var costTablePath: String?
    /// The second objective.
    public var quality: ScorerKind
    /// The folders of the scorers that have a model; images are scored by these and by all that need none.
    public var scorerPaths: [ScorerKind: String]
    /// The fingerprints of those models, once the run has begun: they must not change.
    public var scorerFingerprints: [ScorerKind: String]
    /// The rules of the search: "default" or "ecad-paper".
    public var preset: String
    /// Whether the search waits for whole generations.
    public var mode: SearchSettings.Mode
    /// Individuals in the population.
    public var population: Int
    /// Generations to evaluate; the first is the seed population.
    public var generations: Int
    /// The seed of all random choices.
    public var seed: UInt64
    /// Where the first population comes from.
    public var seeding: [String]
    /// A run folder or schedule file whose schedules come first in the first population.
    public var warmStart: String?
    /// What ends the run before its last generation.
    public var stop: StopRules
    /// Images that a task denoises together.
    ///
    /// Part of the result: images of another batch differ in the last bits.
    public var imagesPerTask: Int
    /// Schedules that a task measures; nil for as many as take ``secondsPerTask``.
    public var schedulesPerTask: Int?
    /// Seconds that a task should take, by what tasks have cost so far.
    public var secondsPerTask: Double
    /// The share of tasks that a second worker computes too, to find workers that compute wrongly.
    public var recheckShare: Double

    static let seedings = Seeding.allCases.map(\.rawValue)
    private static let known =
        [
            "model.path", "model.steps", "model.height", "model.width", "model.guidance_scale", "prompts.calibration",
            "prompts.seeds_per_prompt", "prompts.negative", "prompts.embeddings", "prompts.embeddings_sha256",
            "objectives.cost", "objectives.cost_table",
            "objectives.quality", "search.preset", "search.mode", "search.population", "search.generations",
            "search.seed",
            "search.seeding", "search.warm_start", "stop.evaluations", "stop.seconds", "stop.flat_generations",
            "stop.flat_gain", "tasks.images", "tasks.schedules", "tasks.seconds",
            "tasks.recheck_share",
        ] + ScorerKind.modelled.flatMap { [key(of: $0), fingerprintKey(of: $0)] }

    private static func key(of scorer: ScorerKind) -> String { "scorers.\(scorer.rawValue)" }
    private static func fingerprintKey(of scorer: ScorerKind) -> String { "scorers.\(scorer.rawValue)_fingerprint" }

    /// What every image is scored by.
    var scorers: [ScorerKind] {
        ScorerKind.allCases.filter { scorer in scorer.model.map { scorerPaths[$0] != nil } ?? true }
    }

    /// Reads a configuration file; paths in it are relative to its folder.
    ///
    /// - Parameters:
    ///   - path: The TOML file.
    ///   - overrides: Texts such as `search.generations=50`.
    /// - Throws: ``CoordinatorError``.
    public init(path: String, overrides: [String]) throws {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
            throw CoordinatorError.unreadableFile(path: path, what: "the run configuration")
        }
        try self.init(
            text: text, file: path, overrides: overrides,
            folder: URL(fileURLWithPath: path).deletingLastPathComponent().path)
    }

    /// Reads a configuration from its text.
    ///
    /// - Parameters:
    ///   - text: TOML.
    ///   - file: The name that errors give.
    ///   - overrides: Texts such as `search.generations=50`.
    ///   - folder: The folder that relative paths start from.
    /// - Throws: ``CoordinatorError``.
    public init(text: String, file: String, overrides: [String] = [], folder: String) throws {
        var c = try ConfigurationFile(text: text, file: file)
        for assignment in overrides { try c.set(assignment) }
        try c.requireKnown(Self.known)
        func resolve(_ path: String) -> String {
            path.hasPrefix("/") ? path : URL(fileURLWithPath: folder).appendingPathComponent(path).standardized.path
        }
        modelPath = resolve(try c.string("model.path"))
        stepCount = try c.int("model.steps", in: 1...1000, default: 20)
        height = c.has("model.height") ? try c.int("model.height", in: 1...16384) : nil
        width = c.has("model.width") ? try c.int("model.width", in: 1...16384) : nil
        guidanceScale = try c.double("model.guidance_scale", in: 0...1000, default: 4.5)
        promptsPath = resolve(try c.string("prompts.calibration"))
        seedsPerPrompt = try c.int("prompts.seeds_per_prompt", in: 1...1000, default: 1)
        negativePrompt = try c.string("prompts.negative", default: "")
        embeddingsPath = c.has("prompts.embeddings") ? resolve(try c.string("prompts.embeddings")) : nil
        embeddingsSHA256 =
            c.has("prompts.embeddings_sha256") ? try c.string("prompts.embeddings_sha256") : nil
        cost =
            Cost(rawValue: try c.choice("objectives.cost", of: Cost.allCases.map(\.rawValue), default: "latency"))
            ?? .latency
        costTablePath = c.has("objectives.cost_table") ? resolve(try c.string("objectives.cost_table")) : nil
        if costTablePath != nil, cost != .latency {
            throw CoordinatorError.invalidValue(
                file: file, key: "objectives.cost_table", expected: "no such key unless objectives.cost is \"latency\"",
                found: "one beside \"\(cost.rawValue)\"")
        }
        let qualities = ScorerKind.allCases.map(\.rawValue)
        quality = ScorerKind(rawValue: try c.choice("objectives.quality", of: qualities, default: "psnr")) ?? .psnr
        (scorerPaths, scorerFingerprints) = ([:], [:])
        for scorer in ScorerKind.modelled where c.has(Self.key(of: scorer)) {
            scorerPaths[scorer] = resolve(try c.string(Self.key(of: scorer)))
            guard c.has(Self.fingerprintKey(of: scorer)) else { continue }
            scorerFingerprints[scorer] = try c.string(Self.fingerprintKey(of: scorer))
        }
        if let model = quality.model, scorerPaths[model] == nil {
            throw CoordinatorError.missingKey(file: file, key: Self.key(of: model))
        }
        preset = try c.choice("search.preset", of: ["default", "ecad-paper"], default: "default")
        let modes = SearchSettings.Mode.allCases.map(\.rawValue)
        mode =
            SearchSettings.Mode(rawValue: try c.choice("search.mode", of: modes, default: modes[0])) ?? .generations
        population = try c.int("search.population", in: 4...10000, default: 24)
        generations = try c.int("search.generations", in: 1...100_000, default: 20)
        seed = UInt64(try c.int("search.seed", in: 0...Int(Int32.max), default: 0))
        seeding = try c.strings("search.seeding", default: ["fora", "random"])
        for name in seeding where !Self.seedings.contains(name) {
            throw CoordinatorError.invalidValue(
                file: file, key: "search.seeding", expected: "names among \(Self.seedings.joined(separator: ", "))",
                found: name.debugDescription)
        }
        warmStart = c.has("search.warm_start") ? resolve(try c.string("search.warm_start")) : nil
        stop = try StopRules(c)
        imagesPerTask = try c.int("tasks.images", in: 1...256, default: 8)
        schedulesPerTask = c.has("tasks.schedules") ? try c.int("tasks.schedules", in: 1...TaskSize.limit) : nil
        secondsPerTask = try c.double("tasks.seconds", in: 0.01...86_400, default: 15)
        recheckShare = try c.double("tasks.recheck_share", in: 0...1, default: 0.02)
    }

    /// The configuration with every default written out and absolute paths, as TOML; reading it gives the same value.
    public var resolved: String {
        func quoted(_ text: String) -> String {
            var quoted = "\""
            for scalar in text.unicodeScalars {
                switch scalar {
                case "\"", "\\": quoted += "\\" + String(scalar)
                case _ where scalar.value < 0x20 || scalar.value == 0x7F:
                    let hex = String(scalar.value, radix: 16, uppercase: true)
                    quoted += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
                default: quoted += String(scalar)
                }
            }
            return quoted + "\""
        }
        let size = (height.map { "height = \($0)\n" } ?? "") + (width.map { "width = \($0)\n" } ?? "")
        let embeddings =
            (embeddingsPath.map { "embeddings = \(quoted($0))\n" } ?? "")
            + (embeddingsSHA256.map { "embeddings_sha256 = \(quoted($0))\n" } ?? "")
        let costTable = costTablePath.map { "cost_table = \(quoted($0))\n" } ?? ""
        let schedules = schedulesPerTask.map { "schedules = \($0)\n" } ?? ""
        let scorers = ScorerKind.modelled.flatMap { scorer in
            [
                scorerPaths[scorer].map { "\(scorer.rawValue) = \(quoted($0))\n" } ?? "",
                scorerFingerprints[scorer].map { "\(scorer.rawValue)_fingerprint = \(quoted($0))\n" } ?? "",
            ]
        }.joined()
        let warmStart = warmStart.map { "warm_start = \(quoted($0))\n" } ?? ""
        return """
            [model]
            path = \(quoted(modelPath))
            steps = \(stepCount)
            \(size)guidance_scale = \(guidanceScale)
            [prompts]
            calibration = \(quoted(promptsPath))
            seeds_per_prompt = \(seedsPerPrompt)
            negative = \(quoted(negativePrompt))
            \(embeddings)[objectives]
            cost = "\(cost.rawValue)"
            \(costTable)quality = "\(quality.rawValue)"
            [scorers]
            \(scorers)[search]
            preset = "\(preset)"
            mode = "\(mode.rawValue)"
            population = \(population)
            generations = \(generations)
            seed = \(seed)
            seeding = [\(seeding.map(quoted).joined(separator: ", "))]
            \(warmStart)\(stop.resolved)[tasks]
            images = \(imagesPerTask)
            \(schedules)seconds = \(secondsPerTask)
            recheck_share = \(recheckShare)

            """
    }
}
