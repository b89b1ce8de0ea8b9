import Basics
import Evolution
import Foundation
import History
import ModelConfiguration
import Prompts
import Schedules

// How a calibration is created from a configuration, or restored from the history of a run directory.
extension Calibration {
    /// Creates a run: inserts it and its first generation into the history of a new run directory.
    ///
    /// - Parameters:
    ///   - configuration: The configuration; fingerprints of what it names are added.
    ///   - folder: The run directory.
    ///   - isDurable: False for a simulated run, which need not survive a power failure.
    /// - Returns: The calibration.
    /// - Throws: ``CoordinatorError``, `HistoryError`, `EvolutionError`, `SchedulesError`.
    static func create(
        _ configuration: RunConfiguration, in folder: String, isDurable: Bool = true
    ) throws -> Calibration {
        var configuration = configuration
        configuration.runDirectory = RunConfiguration.absolute(folder)
        let prompts = try PromptSet(file: configuration.promptsPath, format: configuration.promptsFormat).texts
        let model = try configuration.modelDescription()
        try configuration.resolveGuidance(of: model)
        let shape = try model.architecture.shape(stepCount: configuration.stepCount)
        let embeddings = try configuration.openEmbeddings(prompts: prompts, model: model)
        let modelHash = try configuration.modelFingerprint()
        try configuration.checkTimesteps(of: model)
        _ = try configuration.resolveScorerFingerprints()
        let budget = ImageBudget(configuration, promptCount: prompts.count)
        try budget.requireSeeds()
        let search = try configuration.measuresReuse ? nil : newSearch(configuration, shape: shape, budget: budget)
        let evaluationKey = evaluationKey(configuration, model: model, modelHash: modelHash, prompts: prompts)
        let history = try RunHistory.create(in: folder, isDurable: isDurable)
        let runID = try history.runs.create(
            NewRun(
                name: URL(fileURLWithPath: folder).lastPathComponent, configuration: configuration.resolved,
                costObjective: configuration.cost.rawValue, qualityObjective: configuration.quality.rawValue,
                shape: String(decoding: try JSONEncoder().encode(shape), as: UTF8.self),
                genes: (0..<shape.geneCount).map { gene in
                    let cell = shape.cell(at: gene)
                    return GeneCell(step: cell.step, block: cell.block, component: cell.component.rawValue)
                },
                modelHash: modelHash, seed: Int64(configuration.seed), reference: reference(configuration.quality),
                prompts: prompts, evaluationKey: evaluationKey, engine: configuration.arithmetic.engine.rawValue,
                precision: configuration.arithmetic.precision.rawValue))
        try insertConfiguredCosts(configuration, shape: shape, into: history, run: runID)
        let context = try RunContext(
            history: history, runID: runID, configuration: configuration, model: model, modelHash: modelHash,
            shape: shape, prompts: prompts, embeddings: embeddings)
        let calibration = try Calibration(context: context, search: search, evaluationKey: evaluationKey)
        if !calibration.isMeasuring { _ = try calibration.beginGeneration(size: configuration.taskSize) }
        return calibration
    }

    /// Resumes the run of a directory.
    ///
    /// - Parameters:
    ///   - folder: The run directory.
    ///   - moved: Files of the run that are elsewhere now; their new places are recorded.
    /// - Returns: The calibration.
    /// - Throws: ``CoordinatorError``, `FileError`, `HistoryError`, `EvolutionError`, `SchedulesError`.
    static func resume(in folder: String, moved: MovedFiles = MovedFiles()) throws -> Calibration {
        try resume(try RunHistory.open(in: folder), folder: folder, moved: moved)
    }

    /// Resumes a run with a change of its configuration, which is recorded once all files have been checked.
    private static func resume(
        _ history: RunHistory, folder: String, moved: MovedFiles,
        change: (inout RunConfiguration, RunRecord) throws -> Void = { _, _ in }
    ) throws -> Calibration {
        let snapshot = try history.runs.snapshot()
        let run = snapshot.run
        var configuration = try RunConfiguration(
            recorded: run.configuration, file: history.file, folder: folder, moved: moved)
        try change(&configuration, run)
        var notices: [String] = []
        let modelHash = try configuration.checkModel(run.modelHash, notices: &notices)
        let model = try configuration.modelDescription()
        let shape = try JSONDecoder().decode(ScheduleShape.self, from: Data(run.shape.utf8))
        let prompts = try history.runs.prompts(of: run.id)
        let embeddings = try configuration.openEmbeddings(prompts: prompts, model: model)
        notices += try configuration.resolveScorerFingerprints()
        let evaluationKey = evaluationKey(configuration, model: model, modelHash: modelHash, prompts: prompts)
        if configuration.resolved != run.configuration || modelHash != run.modelHash {
            try history.runs.replaceHashes(
                configuration.resolved, modelHash: modelHash, evaluationKey: evaluationKey, of: run.id)
        }
        let candidates = try history.search.candidates(of: run.id)
        if snapshot.generation == nil {
            // The process ended between the insertion of the run and that of its first generation.
            try insertConfiguredCosts(configuration, shape: shape, into: history, run: run.id)
        }
        let context = try RunContext(
            history: history, runID: run.id, configuration: configuration, model: model, modelHash: modelHash,
            shape: shape, prompts: prompts, embeddings: embeddings, notices: notices)
        let basis = configuration.measuresReuse ? try context.searchBasis(costTable: context.costTable()) : nil
        let search =
            try snapshot.generation.map {
                try restoredSearch($0.searchState, shape: shape, candidates: candidates, basis: basis)
            }
            ?? (configuration.measuresReuse
                ? nil : newSearch(configuration, shape: shape, budget: ImageBudget(context)))
        let calibration = try Calibration(context: context, search: search, evaluationKey: evaluationKey)
        try calibration.restore(from: snapshot, candidates: candidates)
        return calibration
    }

    /// Extends a run, whether it finished or was interrupted.
    ///
    /// - Throws: As ``resume(in:moved:)``, and ``CoordinatorError`` for fewer images than those of a candidate.
    static func extend(
        in folder: String, by extent: RunExtension, moved: MovedFiles = MovedFiles()
    ) throws -> Calibration {
        let history = try RunHistory.open(in: folder)
        return try resume(history, folder: folder, moved: moved) { configuration, run in
            try configuration.extend(run, by: extent, history)
        }
    }

    /// Copies a run up to a generation into a new directory and continues there, with other settings if any are given.
    ///
    /// What the original evaluated later is copied as well, and is not evaluated again.
    ///
    /// - Parameters:
    ///   - folder: The original's run directory; its coordinator may be running.
    ///   - number: The last generation in common.
    ///   - target: The new run directory.
    ///   - overrides: Assignments such as `search.population=48`.
    ///   - moved: Files of the run that are elsewhere now.
    /// - Returns: The fork.
    /// - Throws: As ``resume(in:moved:)``, and ``CoordinatorError`` for overrides that change what evaluations mean.
    static func fork(
        _ folder: String, from number: Int, into target: String, overrides: [String], moved: MovedFiles = MovedFiles()
    ) throws -> Calibration {
        let source = try RunHistory.openReadOnly(in: folder)
        let run = try source.runs.snapshot().run
        let old = try RunConfiguration(text: run.configuration, file: source.file, folder: folder)
        var new = try RunConfiguration(
            text: run.configuration, file: source.file, overrides: overrides,
            folder: FileManager.default.currentDirectoryPath)
        try new.rejectKeysInFork(overrides, file: "--set")
        let recorded = new
        try new.move(to: folder, moved)
        var notices: [String] = []
        // Before the new run directory is created, which checks once more.
        _ = try new.checkModel(run.modelHash, notices: &notices)
        var scored = new
        _ = try scored.resolveScorerFingerprints()
        let model = try new.modelDescription()
        let prompts = try source.runs.prompts(of: run.id)
        func key(_ configuration: RunConfiguration) -> String {
            evaluationKey(configuration, model: model, modelHash: run.modelHash, prompts: prompts)
        }
        guard key(old) == key(new), old.modelPath == recorded.modelPath, old.promptsPath == recorded.promptsPath,
            old.promptsFormat == new.promptsFormat, old.cost == new.cost, old.scorerPaths == recorded.scorerPaths,
            old.costTablePath == recorded.costTablePath
        else {
            throw CoordinatorError.runDirectory(
                path: folder,
                reason: "a fork keeps its evaluations, so model, prompts, objectives, scorers and tasks.images cannot "
                    + "change; start a run with search.warm_start = \"\(folder)\" to change them")
        }
        if let limit = new.generationLimit, number + 1 >= limit {
            throw CoordinatorError.runDirectory(
                path: folder,
                reason: "search.generations is \(limit), which leaves none after generation \(number); "
                    + "give --set search.generations=N")
        }
        let shape = try JSONDecoder().decode(ScheduleShape.self, from: Data(run.shape.utf8))
        let generations = try source.search.generations(of: run.id)
        guard let state = generations.first(where: { $0.number == number && $0.isFinished }) else {
            throw CoordinatorError.runDirectory(path: folder, reason: "generation \(number) is not complete")
        }
        let candidates = try source.search.candidates(of: run.id)
        let context = try RunContext(
            history: source, runID: run.id, configuration: new, model: model, modelHash: run.modelHash, shape: shape,
            prompts: prompts, embeddings: nil)
        let basis = new.measuresReuse ? try context.searchBasis(costTable: context.costTable()) : nil
        guard basis != nil || new.preset == old.preset || new.preset != .standard else {
            throw CoordinatorError.keyNotAllowed(
                file: "--set", key: "search.preset",
                condition: "as \"nsga2\" or \"ecad-paper\": the original has measured no reuse errors")
        }
        var search = try restoredSearch(state.searchState, shape: shape, candidates: candidates, basis: basis)
        try search.change(to: searchSettings(new), seed: old.seed == new.seed ? nil : new.seed)
        let history = try source.runs.fork(run.id, from: number, into: target)
        try history.runs.setConfiguration(new.resolved, evaluationKey: key(new), of: run.id)
        try history.search.setSearchState(search.encoded(), generation: number, of: run.id)
        return try resume(history, folder: target, moved: MovedFiles())
    }

    // MARK: - Parts

    /// A hash of everything that the meaning of an evaluation depends on.
    private static func evaluationKey(
        _ configuration: RunConfiguration, model: ModelDescription, modelHash: String, prompts: [String]
    ) -> String {
        let parts =
            [
                modelHash, "\(configuration.stepCount)", "\(model.height)", "\(model.width)",
                configuration.guidanceScale.map { "\($0)" } ?? "", configuration.negativePrompt,
                "\(configuration.seedsPerPrompt)",
                "\(configuration.imagesPerTask)", configuration.quality.originalName,
            ]
            // Runs before these keys existed keep their hashes.
            + (configuration.arithmetic.precision == .float32
                ? [] : ["precision \(configuration.arithmetic.precision)"])
            + (configuration.arithmetic.engine == .native ? [] : ["engine \(configuration.arithmetic.engine)"])
            + ScorerKind.modelled.compactMap { configuration.scorerFingerprints[$0] } + prompts
        // The lengths make the concatenation unambiguous.
        let text = parts.map { "\($0.utf8.count):\($0)" }.joined()
        return SHA256.digest(text.utf8).hexadecimal
    }

    private static func searchSettings(_ configuration: RunConfiguration) -> SearchSettings {
        var settings = SearchSettings(
            preset: configuration.preset,
            populationSize: configuration.population)
        settings.mode = configuration.mode
        return settings
    }

    /// A search that begins; with a basis of measured reuse errors if the configuration asks for them.
    static func newSearch(
        _ configuration: RunConfiguration, shape: ScheduleShape, budget: ImageBudget, basis: SearchBasis? = nil
    ) throws -> Search {
        let count = budget.affordable(of: configuration.population)
        var generator = RandomGenerator(seed: configuration.seed)
        var seeds = try seedPopulation(
            names: configuration.seedings.map(\.rawValue), count: count, shape: shape, basis: basis, using: &generator)
        if let path = configuration.warmStart {
            let warm = try WarmStart(path: path, shape: shape, count: count).seeds
            let known = Set(warm.map(\.genome))
            seeds = warm + seeds.filter { !known.contains($0.genome) }.prefix(count - warm.count)
        }
        return try Search(
            settings: searchSettings(configuration), shape: shape, seeds: seeds, seed: generator.next(),
            guide: configuration.preset == .standard ? basis.map { SearchGuide($0) } : nil)
    }

    private static func restoredSearch(
        _ state: [UInt8], shape: ScheduleShape, candidates: [CandidateRecord], basis: SearchBasis?
    ) throws -> Search {
        let genomes = Dictionary(uniqueKeysWithValues: candidates.map { ($0.id, $0.genome) })
        return try Search(decoding: state, shape: shape, basis: basis) { id in
            guard let bytes = genomes[id] else {
                throw EvolutionError.state(problem: "it refers to candidate \(id), which the run does not have")
            }
            return try Genome(bytes: bytes, geneCount: shape.geneCount)
        }
    }

    /// Inserts the cost table that the configuration names as the run's own.
    private static func insertConfiguredCosts(
        _ configuration: RunConfiguration, shape: ScheduleShape, into history: RunHistory, run: Int64
    ) throws {
        guard let path = configuration.costTablePath else { return }
        let text = try FileContents.readText(path, expected: "a cost table, from ecad bench model -o")
        let table = try CostTable(json: text, shape: shape, source: path)
        try history.runs.insertCostTable(NewCostTable(workerID: nil, costs: table.json), of: run)
    }
}

extension RunConfiguration {
    /// Rejects overrides of a fork that change nothing.
    fileprivate func rejectKeysInFork(_ overrides: [String], file: String) throws {
        let keys = Set(overrides.map(ConfigurationFile.key))
        try rejectKeysWithoutEffect(keys) { _ in file }
        for key in ["search.seeding", "search.measured_images", "search.warm_start", "prompts.format"]
        where keys.contains(key) {
            throw CoordinatorError.keyNotAllowed(
                file: file, key: key,
                condition: "for a new run: a fork has the prompts and the seed population of the original")
        }
    }
}

extension RunContext {
    /// The context of a calibration.
    fileprivate init(
        history: RunHistory, runID: Int64, configuration: RunConfiguration, model: ModelDescription, modelHash: String,
        shape: ScheduleShape, prompts: [String], embeddings: EmbeddingsFile?, notices: [String] = []
    ) throws {
        let measuresCosts = configuration.cost != .macs && configuration.costTablePath == nil
        try self.init(
            history: history, runID: runID, configuration: configuration, model: model, modelHash: modelHash,
            shape: shape, prompts: prompts, evaluationSet: RunHistory.calibration, embeddings: embeddings,
            seedsPerPrompt: configuration.seedsPerPrompt,
            costImageCount: measuresCosts
                ? min(configuration.imagesPerTask, prompts.count * configuration.seedsPerPrompt) : nil,
            notices: notices)
    }
}

/// Seeds of a search, taken from another run's front or from a schedule file.
struct WarmStart {
    /// Spread evenly along the front, from the fastest to the best; without duplicates.
    let seeds: [Seed]

    /// Reads schedules and maps them to another shape with `Schedule.transferred(to:)`.
    ///
    /// Schedules with a TGATE gate are skipped: a genome cannot represent the gate.
    ///
    /// - Parameters:
    ///   - path: A run directory, or a schedule file in either format.
    ///   - shape: The shape of the new run's schedules.
    ///   - count: Maximum number of seeds.
    /// - Throws: ``CoordinatorError``, `HistoryError`, `SchedulesError`.
    init(path: String, shape: ScheduleShape, count: Int) throws {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw FileContents.missing(path, expected: "the run directory or schedule file of search.warm_start")
        }
        let files = try isFolder.boolValue ? ScheduleExport(folder: path).files : ScheduleDocument(path: path).files
        let schedules = files.map(\.schedule).filter { $0.gateStep == nil }
        guard !schedules.isEmpty else {
            throw CoordinatorError.unreadableFile(
                path: path, what: "schedules for the warm start; schedules with a TGATE gate are not supported")
        }
        var genomes: Set<Genome> = []
        let all = try schedules.compactMap { schedule -> Seed? in
            let genome = try schedule.transferred(to: shape).genome.canonical(for: shape)
            guard genomes.insert(genome).inserted else { return nil }
            return Seed(genome: genome, origin: "warm-start:\(schedule.name)")
        }
        seeds = Heuristic.spread(from: 0, to: all.count - 1, count: min(count, all.count)).map { all[$0] }
    }
}
