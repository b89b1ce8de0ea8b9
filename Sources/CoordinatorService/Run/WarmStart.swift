import Evolution
import Foundation
import History
import Schedules

/// The first population of a run that begins where another one ended.
struct WarmStart {
    /// Seeds for a search, best-spread first: from the fastest to the best schedule of the front in even steps.
    let seeds: [Seed]

    /// Reads the schedules of a run's front, or of a schedule file, and carries them over to a shape.
    ///
    /// How steps and blocks are mapped is said at `Schedule.transferred(to:)`. TGATE schedules have no genome and are
    /// left out.
    ///
    /// - Parameters:
    ///   - path: A run folder, or a schedule file of either format.
    ///   - shape: The schedules searched.
    ///   - count: Seeds at most.
    /// - Throws: ``CoordinatorError``, `HistoryError`, `SchedulesError`.
    init(path: String, shape: ScheduleShape, count: Int) throws {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
            throw CoordinatorError.unreadableFile(path: path, what: "the run folder or schedules to start from")
        }
        let files = try isFolder.boolValue ? ScheduleExport(folder: path).files : ScheduleDocument(path: path).files
        let schedules = files.map(\.schedule).filter { $0.gateStep == nil }
        guard !schedules.isEmpty else {
            throw CoordinatorError.unreadableFile(path: path, what: "a schedule without TGATE's gate to start from")
        }
        var known: Set<Genome> = []
        let all = try schedules.compactMap { schedule -> Seed? in
            let genome = try schedule.transferred(to: shape).genome.canonical(for: shape)
            guard known.insert(genome).inserted else { return nil }
            return Seed(genome: genome, origin: "warm-start:\(schedule.name)")
        }
        seeds = Heuristic.spread(from: 0, to: all.count - 1, count: min(count, all.count)).map { all[$0] }
    }
}
