import Evolution
import Foundation
import History
import Messages
import Schedules

// How a calibration comes into being: from a configuration, or from the history of a run folder.
extension Calibration {
    /// Begins a run in a new folder: enters it and its first generation in the history.
    ///
    /// - Parameters:
    ///   - configuration: The run.
    ///   - folder: Where its history goes.
    ///   - isDurable: False for a run that is only imagined, which need not survive a power failure.
    /// - Throws: ``CoordinatorError``, `HistoryError`, `EvolutionError`, `SchedulesError`.
    static func begin(
        _ configuration: RunConfiguration, in folder: String, isDurable: Bool = true
    ) throws -> Calibration {
        let prompts = try RunConfiguration.prompts(in: configuration.promptsPath)
        let model = try configuration.modelDescription()
        let shape = try model.architecture.shape(stepCount: configuration.stepCount)
        let modelHash = try fingerprint(configuration.modelPath)
        let search = try newSearch(configuration, shape: shape)
        let history = try RunHistory.create(in: folder, isDurable: isDurable)
        let runID = try history.createRun(
            NewRun(
                name: URL(fileURLWithPath: folder).lastPathComponent, configuration: configuration.resolved,
                costObjective: configuration.cost.rawValue, qualityObjective: configuration.quality,
                shape: String(decoding: try JSONEncoder().encode(shape), as: UTF8.self),
                genes: (0..<shape.geneCount).map { gene in
                    let cell = shape.cell(at: gene)
                    return GeneCell(step: cell.step, block: cell.block, component: cell.component.rawValue)
                },
                modelHash: modelHash, seed: Int64(configuration.seed), reference: reference, prompts: prompts))
        let calibration = try Calibration(
            history: history, runID: runID, configuration: configuration, model: model, modelHash: modelHash,
            prompts: prompts, shape: shape, search: search)
        try calibration.beginGeneration()
        return calibration
    }

    /// Opens the run of a folder and goes on where it stood.
    ///
    /// - Throws: ``CoordinatorError``, `HistoryError`, `EvolutionError`, `SchedulesError`.
    static func resume(in folder: String) throws -> Calibration {
        let history = try RunHistory.open(in: folder)
        let snapshot = try history.loadRun()
        let run = snapshot.run
        let configuration = try RunConfiguration(text: run.configuration, file: history.file, folder: folder)
        let model = try configuration.modelDescription()
        let shape = try JSONDecoder().decode(ScheduleShape.self, from: Data(run.shape.utf8))
        guard try fingerprint(configuration.modelPath) == run.modelHash else {
            throw CoordinatorError.runFolder(
                path: folder, reason: "the model at \(configuration.modelPath) has changed since the run began")
        }
        let search: Search
        if let generation = snapshot.generation {
            search = try JSONDecoder().decode(Search.self, from: Data(generation.searchState))
        } else {
            search = try newSearch(configuration, shape: shape)
        }
        let calibration = try Calibration(
            history: history, runID: run.id, configuration: configuration, model: model, modelHash: run.modelHash,
            prompts: try history.prompts(of: run.id), shape: shape, search: search)
        try calibration.takeUp(snapshot)
        return calibration
    }

    private static func newSearch(_ configuration: RunConfiguration, shape: ScheduleShape) throws -> Search {
        let preset = SearchSettings.Preset(rawValue: configuration.preset) ?? .standard
        let settings = SearchSettings(preset: preset, populationSize: configuration.population)
        var generator = RandomGenerator(seed: configuration.seed)
        let seeds = try seedPopulation(
            names: configuration.seeding, count: configuration.population, shape: shape, using: &generator)
        return try Search(settings: settings, shape: shape, seeds: seeds, seed: generator.next())
    }

    private static func fingerprint(_ folder: String) throws -> String {
        do {
            return try ModelFingerprint.compute(folder: folder)
        } catch {
            throw CoordinatorError.unreadableFile(path: folder, what: "the model's files")
        }
    }
}
