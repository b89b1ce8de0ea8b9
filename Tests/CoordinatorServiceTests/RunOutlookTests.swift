import Evolution
import Foundation
import History
import TestSupport
import Testing

@testable import CoordinatorService

/// A finished run of six generations with an error model.
@Suite struct RunOutlookTests {
    private let folder: TemporaryFolder
    private let history: RunHistory

    init() throws {
        folder = try TemporaryFolder()
        try FileManager.default.copyItem(
            atPath: "\(Fixtures.folder)/recipes/guided.sqlite", toPath: folder.file("history.sqlite"))
        history = try RunHistory.openReadOnly(in: folder.path)
    }

    private func numbers(_ sql: String) throws -> [[Double]] {
        try history.query(sql).rows.map { row in
            row.map { value in
                switch value {
                case .real(let number): number
                case .integer(let number): Double(number)
                default: .nan
                }
            }
        }
    }

    /// Growth that the predictions of a generation promised, and what it brought.
    private func growth(_ generation: Int) throws -> (expected: Double, brought: Double) {
        let before = try numbers(
            "SELECT cost, -quality FROM evaluations JOIN candidates c ON c.id = candidate_id "
                + "WHERE evaluation_set = 'calibration' AND c.generation < \(generation)")
        let forecasts = try numbers(
            "SELECT cost, -predicted, deviation FROM error_model JOIN evaluations USING (candidate_id) "
                + "WHERE generation = \(generation)"
        ).map { ExpectedGrowth.Forecast(cost: $0[0], loss: $0[1], deviation: $0[2]) }
        let reference = try numbers("SELECT reference_cost, -reference_quality FROM runs")[0]
        let volumes = try numbers("SELECT hypervolume FROM generations ORDER BY number").map { $0[0] }
        return (
            ExpectedGrowth.mean(of: before, by: forecasts, reference: reference),
            volumes[generation] - volumes[generation - 1]
        )
    }

    private func trackRecord(_ generations: ClosedRange<Int>) throws -> Double {
        let found = try generations.map(growth)
        return found.reduce(0) { $0 + $1.brought } / found.reduce(0) { $0 + $1.expected }
    }

    @Test func expectationsAreScaledByWhatTheGenerationsBeforeBrought() throws {
        let run = try history.runs.snapshot().run
        let configuration = try RunConfiguration(text: run.configuration, file: history.file, folder: folder.path)
        let line = try #require(try RunOutlook(history, run, configuration).growthLine)
        // What the coordinator stored at the end, and the hypervolumes before and after the last generation.
        let (stored, end, before) = (0.12016414666298962, 44.7418514657392, 44.5789953975674)
        let last = try growth(5)
        func percent(_ share: Double) -> String { String(format: "%.2g %%", 100 * share) }
        #expect(try trackRecord(3...5) != 1)
        #expect(line.contains("raise the hypervolume by \(percent(try stored * trackRecord(3...5) / end))"), "\(line)")
        #expect(line.contains("(last generation: \(percent(last.brought / before)), "), "\(line)")
        #expect(line.hasSuffix(", \(percent(try last.expected * trackRecord(2...4) / before)) expected)"), "\(line)")
    }
}
