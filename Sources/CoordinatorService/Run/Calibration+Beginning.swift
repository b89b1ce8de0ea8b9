import Basics
import Evolution
import Foundation
import History
import Messages
import ModelConfiguration
import Prompts
import Schedules

// How a calibration comes into being: from a configuration, or from the history of a run folder.
extension Calibration {
    /// Begins a run in a new folder: enters it and its first generation in the history.
    ///
    /// - Parameters:
    ///   - wanted: The run.
    ///   - folder: Where its history goes.
    ///   - isDurable: False for a run that is only imagined, which need not survive a power failure.
    /// - Returns: The run, with its first generation entered.
    /// - Throws: ``CoordinatorError``, `HistoryError`, `EvolutionError`, `SchedulesError`.
    static func begin(
        _ wanted: RunConfiguration, in folder: String, isDurable: Bool = true
    ) throws -> Calibration {
        var configuration = wanted
        let prompts = try PromptSet(file: configuration.promptsPath).texts
        let model = try configuration.modelDescription()
        let shape = try model.architecture.shape(stepCount: configuration.stepCount)
        let embeddings = try embeddings(&configuration, prompts: prompts, model: model)
        let modelHash = try fingerprint(configuration)
        try noteScorers(&configuration)
        let search = try newSearch(configuration, shape: shape)
        let history = try RunHistory.create(in: folder, isDurable: isDurable)
        let runID = try history.createRun(
            NewRun(
                name: URL(fileURLWithPath: folder).lastPathComponent, configuration: configuration.resolved,
                costObjective: configuration.cost.rawValue, qualityObjective: configuration.quality.rawValue,
                shape: String(decoding: try JSONEncoder().encode(shape), as: UTF8.self),
                genes: (0..<shape.geneCount).map { gene in
                    let cell = shape.cell(at: gene)
                    return GeneCell(step: cell.step, block: cell.block, component: cell.component.rawValue)
                },
                modelHash: modelHash, seed: Int64(configuration.seed), reference: reference(configuration.quality),
                prompts: prompts,
                evaluationKey: evaluationKey(configuration, model: model, modelHash: modelHash, prompts: prompts)))
        try enterConfiguredCosts(configuration, shape: shape, in: history, run: runID)
        let calibration = try Calibration(
            history: history, runID: runID, configuration: configuration, model: model, modelHash: modelHash,
            prompts: prompts, embeddings: embeddings, shape: shape, search: search)
        try calibration.beginGeneration()
        try calibration.proceed()
        return calibration
    }

    /// Opens the run of a folder and goes on where it stood.
    ///
    /// - Throws: ``CoordinatorError``, `HistoryError`, `EvolutionError`, `SchedulesError`.
    static func resume(in folder: String) throws -> Calibration {
        try resume(try RunHistory.open(in: folder), folder: folder)
    }

    private static func resume(_ history: RunHistory, folder: String) throws -> Calibration {
        let snapshot = try history.loadRun()
        let run = snapshot.run
        var configuration = try RunConfiguration(text: run.configuration, file: history.file, folder: folder)
        let model = try configuration.modelDescription()
        let shape = try JSONDecoder().decode(ScheduleShape.self, from: Data(run.shape.utf8))
        let prompts = try history.prompts(of: run.id)
        let embeddings = try embeddings(&configuration, prompts: prompts, model: model)
        guard try fingerprint(configuration) == run.modelHash else {
            throw CoordinatorError.runFolder(
                path: folder, reason: "the model at \(configuration.modelPath) has changed since the run began")
        }
        try noteScorers(&configuration)
        let candidates = try history.candidates(of: run.id)
        let search =
            try snapshot.generation.map {
                try restored($0.searchState, shape: shape, candidates: candidates)
            } ?? newSearch(configuration, shape: shape)
        if snapshot.generation == nil {
            // The process died between the run's entry and its first generation.
            try enterConfiguredCosts(configuration, shape: shape, in: history, run: run.id)
        }
        let calibration = try Calibration(
            history: history, runID: run.id, configuration: configuration, model: model, modelHash: run.modelHash,
            prompts: prompts, embeddings: embeddings, shape: shape, search: search)
        try calibration.takeUp(snapshot, candidates: candidates)
        return calibration
    }

    /// Opens the run of a folder and goes on for more generations than it was meant to have, whatever stopped it.
    ///
    /// - Throws: As ``resume(in:)``.
    static func extend(in folder: String, by generations: Int) throws -> Calibration {
        let history = try RunHistory.open(in: folder)
        let run = try history.loadRun().run
        var configuration = try RunConfiguration(text: run.configuration, file: history.file, folder: folder)
        configuration.generations = try history.generations(of: run.id).count { $0.isFinished } + generations
        configuration.stop = StopRules()
        try history.setConfiguration(configuration.resolved, of: run.id)
        return try resume(history, folder: folder)
    }

    /// Copies a run up to a generation into a new folder and goes on there, under other rules if any are given.
    ///
    /// What the original evaluated later is kept beside the new run, and is not evaluated again.
    ///
    /// - Parameters:
    ///   - folder: The original's run folder; its coordinator may be at work.
    ///   - number: The last generation that both have in common.
    ///   - target: The new run folder.
    ///   - overrides: Texts such as `search.population=48`.
    /// - Returns: The fork's calibration.
    /// - Throws: As ``resume(in:)``, and ``CoordinatorError`` for overrides that change what evaluations mean.
    static func fork(
        _ folder: String, from number: Int, into target: String, overrides: [String]
    ) throws -> Calibration {
        let source = try RunHistory.openReadOnly(in: folder)
        let run = try source.loadRun().run
        let old = try RunConfiguration(text: run.configuration, file: source.file, folder: folder)
        let new = try RunConfiguration(
            text: run.configuration, file: source.file, overrides: overrides,
            folder: FileManager.default.currentDirectoryPath)
        let model = try new.modelDescription()
        let prompts = try source.prompts(of: run.id)
        func key(_ configuration: RunConfiguration) -> String {
            evaluationKey(configuration, model: model, modelHash: run.modelHash, prompts: prompts)
        }
        guard key(old) == key(new), old.modelPath == new.modelPath, old.promptsPath == new.promptsPath,
            old.cost == new.cost, old.scorerPaths == new.scorerPaths,
            old.costTablePath == new.costTablePath
        else {
            throw CoordinatorError.runFolder(
                path: folder,
                reason:
                    "a fork keeps its evaluations, so model, prompts, objectives, scorers and tasks.images stay as they are; "
                    + "begin a run with search.warm_start = \"\(folder)\" to change them")
        }
        guard number + 1 < new.generations else {
            throw CoordinatorError.runFolder(
                path: folder,
                reason: "after generation \(number) nothing is left of \(new.generations) generations; "
                    + "give --set search.generations=N")
        }
        let shape = try JSONDecoder().decode(ScheduleShape.self, from: Data(run.shape.utf8))
        guard let state = try source.generations(of: run.id).first(where: { $0.number == number && $0.isFinished })
        else {
            throw CoordinatorError.runFolder(path: folder, reason: "generation \(number) is not complete")
        }
        let candidates = try source.candidates(of: run.id)
        var search = try restored(state.searchState, shape: shape, candidates: candidates)
        try search.change(to: searchSettings(new), seed: old.seed == new.seed ? nil : new.seed)
        let history = try source.fork(run.id, from: number, into: target)
        try history.setConfiguration(new.resolved, evaluationKey: key(new), of: run.id)
        try history.setSearchState(search.encoded(), generation: number, of: run.id)
        return try resume(history, folder: target)
    }

    // MARK: - Parts

    /// What the meaning of an evaluation depends on, as one hash.
    static func evaluationKey(
        _ configuration: RunConfiguration, model: ModelDescription, modelHash: String, prompts: [String]
    ) -> String {
        let parts =
            [
                modelHash, "\(configuration.stepCount)", "\(model.height)", "\(model.width)",
                "\(configuration.guidanceScale)", configuration.negativePrompt, "\(configuration.seedsPerPrompt)",
                "\(configuration.imagesPerTask)", configuration.quality.rawValue,
            ] + ScorerKind.modelled.compactMap { configuration.scorerFingerprints[$0] } + prompts
        // Lengths keep the parts apart.
        let text = parts.map { "\($0.utf8.count):\($0)" }.joined()
        return SHA256.digest(text.utf8).hexadecimal
    }

    private static func restored(
        _ state: [UInt8], shape: ScheduleShape, candidates: [CandidateRecord]
    ) throws -> Search {
        let genomes = Dictionary(uniqueKeysWithValues: candidates.map { ($0.id, $0.genome) })
        return try Search(decoding: state, shape: shape) { id in
            guard let bytes = genomes[id] else {
                throw EvolutionError.state(problem: "it refers to candidate \(id), which the run does not have")
            }
            return try Genome(bytes: bytes, geneCount: shape.geneCount)
        }
    }

    private static func searchSettings(_ configuration: RunConfiguration) -> SearchSettings {
        var settings = SearchSettings(
            preset: SearchSettings.Preset(rawValue: configuration.preset) ?? .standard,
            populationSize: configuration.population)
        settings.mode = configuration.mode
        return settings
    }

    private static func newSearch(_ configuration: RunConfiguration, shape: ScheduleShape) throws -> Search {
        var generator = RandomGenerator(seed: configuration.seed)
        var seeds = try seedPopulation(
            names: configuration.seeding, count: configuration.population, shape: shape, using: &generator)
        if let path = configuration.warmStart {
            let warm = try WarmStart(path: path, shape: shape, count: configuration.population).seeds
            let known = Set(warm.map(\.genome))
            seeds = warm + seeds.filter { !known.contains($0.genome) }.prefix(configuration.population - warm.count)
        }
        return try Search(
            settings: searchSettings(configuration), shape: shape, seeds: seeds, seed: generator.next())
    }

    /// Opens the embeddings that a configuration names, and notes their hash in it.
    static func embeddings(
        _ configuration: inout RunConfiguration, prompts: [String], model: ModelDescription
    ) throws -> EmbeddingsFile? {
        guard let path = configuration.embeddingsPath else { return nil }
        let file = try EmbeddingsFile(path: path)
        try file.check(
            prompts: prompts, negativePrompt: configuration.negativePrompt, model: model,
            folder: configuration.modelPath)
        let hash = file.reference.sha256.hexadecimal
        guard configuration.embeddingsSHA256 ?? hash == hash else {
            throw CoordinatorError.embeddings("\(path): has changed since the run began")
        }
        configuration.embeddingsSHA256 = hash
        return file
    }

    /// Notes the fingerprints of the scorers' models in a configuration.
    static func noteScorers(_ configuration: inout RunConfiguration) throws {
        for (scorer, path) in configuration.scorerPaths {
            guard FileManager.default.fileExists(atPath: "\(path)/config.json"),
                let fingerprint = try? ModelFingerprint.compute(folder: path)
            else {
                throw CoordinatorError.unreadableFile(path: path, what: "the model of the scorer \(scorer.rawValue)")
            }
            guard configuration.scorerFingerprints[scorer] ?? fingerprint == fingerprint else {
                throw CoordinatorError.scorer("\(path): has changed since the run began")
            }
            configuration.scorerFingerprints[scorer] = fingerprint
        }
    }

    /// The fingerprint of the model, or where embeddings are shipped of the part of it that workers need.
    static func fingerprint(_ configuration: RunConfiguration) throws -> String {
        do {
            return try ModelFingerprint.compute(
                folder: configuration.modelPath, part: configuration.embeddingsPath == nil ? .whole : .image)
        } catch {
            throw CoordinatorError.unreadableFile(path: configuration.modelPath, what: "the model's files")
        }
    }
}
