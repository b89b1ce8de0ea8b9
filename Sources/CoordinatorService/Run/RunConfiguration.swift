import Basics
import Evolution
import Foundation
import Messages
import ModelConfiguration
import Prompts

/// The settings of a run: the TOML file of `ecad-coordinator run --config`.
///
/// The keys are described in ``keys``; initial values of the properties are the defaults.
public struct RunConfiguration: Sendable, Equatable {
    /// The first objective, relative to the uncached model.
    enum Cost: String, Sendable, CaseIterable {
        /// Denoising seconds, modelled by one table of component costs.
        case latency
        /// Denoising seconds, measured on the same worker and interleaved with the uncached model.
        case measured
        /// Multiply-adds, which are the same on every machine.
        case macs
    }

    /// The run directory when the paths were last recorded; files that have moved with it are found beside it.
    var runDirectory: String?
    var modelPath = ""
    var stepCount = ModelFamily.defaultStepCount
    /// Pixels; nil for the model's native size.
    var height: Int?
    var width: Int?
    /// Nil for the model's default, until the run begins.
    var guidanceScale: Double?
    /// What all workers compute with.
    var arithmetic = Arithmetic()
    var promptsPath = ""
    /// Nil to detect it.
    var promptsFormat: PromptFormat?
    /// The file written by `ecad embed`; nil if every worker embeds the prompts itself.
    var embeddingsPath: String?
    /// Set when the run begins; the file must not change afterwards.
    var embeddingsSHA256: String?
    var seedsPerPrompt = 1
    var negativePrompt = ""
    var cost = Cost.latency
    /// The cost table of ``Cost/latency``; nil for the one measured by the run's first worker.
    var costTablePath: String?
    /// The second objective.
    var quality = ScorerKind.psnr
    /// Model directories of the scorers that have a model.
    var scorerPaths: [ScorerKind: String] = [:]
    /// Set when the run begins; the models must not change afterwards.
    var scorerFingerprints: [ScorerKind: String] = [:]
    var preset = SearchSettings.Preset.standard
    var mode = SearchSettings.Mode.generations
    var population = 24
    /// The smallest `search.population`.
    static let leastPopulation = 4
    /// Includes the seed population; without effect if there is a budget.
    var generations = 20
    /// Images that the run may spend; nil to end it by generations.
    var budgetImages: Int?
    /// Number of generations, including the seed population; nil if a budget ends the run.
    var generationLimit: Int? { budgetImages == nil ? generations : nil }
    var seed: UInt64 = 0
    /// Nil for the preset's.
    var seeding: [Seeding]?
    /// Images in which workers measure what reuse changes.
    var measuredImages = 2
    /// A run directory or schedule file whose schedules come first in the seed population.
    var warmStart: String?
    var stop = StopRules()
    /// Images denoised as one batch; results depend on it in their last bits.
    var imagesPerTask = 8
    /// Schedules per task; nil to choose by ``secondsPerTask``.
    var schedulesPerTask: Int?
    var secondsPerTask = 15.0
    /// Fraction of tasks that a second worker recomputes, to detect faulty workers.
    var recheckShare = 0.02
    /// Prompts whose images are stored for members of the front; 0 for none.
    var thumbnailPrompts = 4
    /// Longest edge of stored images in pixels.
    var thumbnailPixels = 192
    /// Members of the front whose images are stored at most.
    var thumbnailMembers = 100
    /// Megabytes of stored images at most.
    var thumbnailMegabytes = 16.0

    /// All defaults; the paths of model and prompts are empty.
    init() {}

    /// Reads a configuration file.
    ///
    /// - Parameters:
    ///   - path: A TOML file; paths in it are relative to its directory.
    ///   - overrides: Assignments such as `search.generations=50`.
    /// - Throws: ``CoordinatorError``.
    public init(path: String, overrides: [String]) throws {
        let text = try FileContents.readText(path, expected: "a run configuration, a TOML file")
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        var document = try ConfigurationFile(text: text, name: path, folder: folder)
        for assignment in overrides { try document.override(assignment) }
        try self.init(document)
        try rejectKeysWithoutEffect(document.keys, source: document.source)
    }

    /// Parses a configuration.
    ///
    /// - Parameters:
    ///   - text: TOML.
    ///   - file: The file name in error messages.
    ///   - overrides: Assignments such as `search.generations=50`.
    ///   - folder: The directory that relative paths start from.
    /// - Throws: ``CoordinatorError``.
    init(text: String, file: String, overrides: [String] = [], folder: String) throws {
        var document = try ConfigurationFile(text: text, name: file, folder: folder)
        for assignment in overrides { try document.override(assignment) }
        try self.init(document)
    }

    private init(_ document: ConfigurationFile) throws {
        let file = document.name
        try document.rejectUnknownKeys(allowed: Self.keys.map(\.name))
        for key in Self.keys { try key.read(document, &self) }
        if costTablePath != nil, cost != .latency {
            throw CoordinatorError.keyNotAllowed(
                file: document.source(of: "objectives.cost_table"), key: "objectives.cost_table",
                condition: "with objectives.cost = \"latency\" (found \"\(cost.rawValue)\")")
        }
        if let model = quality.model, scorerPaths[model] == nil {
            throw CoordinatorError.missingKey(file: file, key: "scorers.\(model.rawValue)")
        }
    }

    /// Rejects keys that a user has set and that other keys make ineffective.
    ///
    /// A stored configuration is not checked: it holds every key.
    ///
    /// - Parameters:
    ///   - keys: The keys that a user has set.
    ///   - source: Where a key was set, for error messages.
    /// - Throws: ``CoordinatorError/keyNotAllowed(file:key:condition:)``.
    func rejectKeysWithoutEffect(_ keys: Set<String>, source: (_ key: String) -> String) throws {
        func require(_ isEffective: Bool, _ key: String, _ condition: String) throws {
            guard keys.contains(key), !isEffective else { return }
            throw CoordinatorError.keyNotAllowed(file: source(key), key: key, condition: condition)
        }
        try require(false, "run.directory", "in the configuration that the coordinator stores")
        try require(schedulesPerTask == nil, "tasks.seconds", "without tasks.schedules, which fixes the size of tasks")
        if let seeding, keys.contains("search.seeding"),
            Set(seeding).count != seeding.count || seeding.isEmpty && warmStart == nil
        {
            throw CoordinatorError.invalidValue(
                file: source("search.seeding"), key: "search.seeding",
                expected: "every source once, and at least one unless there is a search.warm_start",
                found: "[\(seeding.map { "\"\($0.rawValue)\"" }.joined(separator: ", "))]")
        }
        try require(
            budgetImages == nil, "search.generations", "without search.budget_images, which ends the run instead")
        try require(stop.flatGenerations != nil, "stop.flat_gain", "with stop.flat_generations")
        try require(
            measuresReuse, "search.measured_images", "with search.preset = \"default\" or seeding \"calibrated\"")
        for key in ["pixels", "members", "megabytes"] {
            try require(thumbnailPrompts > 0, "thumbnails.\(key)", "with thumbnails.prompts above 0")
        }
        try require(embeddingsPath != nil, "prompts.embeddings_sha256", "with prompts.embeddings")
        for scorer in ScorerKind.modelled {
            let name = "scorers.\(scorer.rawValue)"
            try require(scorerPaths[scorer] != nil, "\(name)_fingerprint", "with \(name)")
        }
    }

    /// The configuration as TOML with all defaults and absolute paths; parsing it gives an equal value.
    var resolved: String {
        var lines: [String] = []
        var section: Substring = ""
        for key in Self.keys {
            guard let value = key.write(self), let dot = key.name.firstIndex(of: ".") else { continue }
            if key.name[..<dot] != section {
                section = key.name[..<dot]
                lines.append("[\(section)]")
            }
            lines.append("\(key.name[key.name.index(after: dot)...]) = \(value)")
        }
        return lines.map { $0 + "\n" }.joined()
    }

    /// The scorers applied to every image.
    var scorers: [ScorerKind] {
        ScorerKind.allCases.filter { scorer in scorer.model.map { scorerPaths[$0] != nil } ?? true }
    }

    /// The size of tasks before anything has been measured.
    var taskSize: TaskSize { TaskSize(fixed: schedulesPerTask, seconds: secondsPerTask) }
}

// MARK: - Stop rules

/// Conditions that end a run before its last generation; any one of them suffices.
struct StopRules: Sendable, Equatable {
    /// Candidates requested from the search.
    var evaluations: Int?
    /// Seconds during which a coordinator was running.
    var seconds: Double?
    /// Generations within which the hypervolume must grow by more than ``flatGain``.
    var flatGenerations: Int?
    /// Growth relative to the former hypervolume.
    var flatGain = 0.001

    /// Which rule ends the run, for its log; nil if none does.
    ///
    /// - Parameters:
    ///   - evaluations: Candidates requested so far.
    ///   - seconds: Seconds during which a coordinator was running so far.
    ///   - hypervolumes: The hypervolume after each completed generation.
    /// - Returns: A sentence with the key in parentheses.
    func reason(evaluations: Int, seconds: Double, hypervolumes: [Double]) -> String? {
        if let limit = self.evaluations, evaluations >= limit { return "\(evaluations) evaluations (stop.evaluations)" }
        if let limit = self.seconds, seconds >= limit { return "\(Int(seconds)) s of work (stop.seconds)" }
        if let count = flatGenerations, hypervolumes.count > count {
            let (before, now) = (hypervolumes[hypervolumes.count - 1 - count], hypervolumes[hypervolumes.count - 1])
            if now - before <= flatGain * abs(before) {
                return
                    "relative hypervolume growth of at most \(flatGain) in \(count) generations (stop.flat_generations)"
            }
        }
        return nil
    }
}
