import Evolution
import Foundation
import History
import Schedules

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
            throw CoordinatorError.unreadableFile(path: path, what: "the run directory or schedules of the warm start")
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
