import Foundation
import History
import TestSupport
import Testing

@testable import CoordinatorService

/// `search.budget_images`: the run ends when it does not allow another candidate.
@Suite struct ImageBudgetTests {
    private let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Plays a run with simulated workers; three prompts, so a candidate takes 3 images.
    private func simulate(
        _ overrides: [String], mode: String = "generations", preset: String = "nsga2", hosts: Int = 3,
        in name: String = "run"
    ) throws -> Simulation.Report {
        let configuration = try RunConfiguration.small(
            in: folder.file("."), mode: mode, population: 6, generations: 1, preset: preset,
            more: "recheck_share = 0.2\n[objectives]\ncost = \"macs\"", overrides: overrides)
        var options = Simulation.Options()
        options.hosts = hosts
        var simulation = try Simulation(configuration, options: options, folder: folder.file(name))
        return try simulation.run()
    }

    private func rows(_ sql: String, in name: String = "run") throws -> [[QueryValue]] {
        try RunHistory.openReadOnly(in: folder.file(name)).query(sql).rows
    }

    @Test(arguments: ["generations", "steady-state"]) func runSpendsWhatItMayAndNotMore(mode: String) throws {
        let report = try simulate(["search.budget_images=62"], mode: mode)
        // 20 candidates, so the last generation is smaller; 2 images are left.
        #expect(report.isComplete && report.evaluations == 20 && report.images == 60 && report.budgetImages == 62)
        #expect(report.text.contains("images        60 of 62\n"))
        let reason = try rows("SELECT text FROM events WHERE kind = 'ended'")
        #expect(
            reason == [[.text("60 of 62 images are spent, and a candidate takes 3 (search.budget_images)")]],
            "\(reason)")
        #expect(try rows("SELECT count(*) FROM image_scores WHERE scorer = 'psnr'") == [[.integer(60)]])
    }

    /// Reuse errors of two images, each as long as 3 uncached ones with 5 steps.
    @Test func measurementOfReuseErrorsCounts() throws {
        let report = try simulate(["search.budget_images=47"], preset: "default")
        #expect(report.isComplete && report.evaluations == 13 && report.images == 45)
        let sizes = try rows("SELECT count(*) FROM candidates GROUP BY generation ORDER BY generation")
        #expect(sizes == [[.integer(6)], [.integer(6)], [.integer(1)]])
        let status = try RunStatusReport(folder: folder.file("run"))
        #expect(status.text.contains("\nimages       45 of 47\n") && status.text.contains("\ngeneration   3\n"))
        let json = try #require(try JSONSerialization.jsonObject(with: Data(status.json().utf8)) as? [String: Any])
        #expect(json["images"] as? Int == 45 && json["budget_images"] as? Int == 47 && json["generations"] == nil)
    }

    @Test func seedPopulationFitsTheBudget() throws {
        let report = try simulate(["search.budget_images=20"], preset: "default")
        #expect(report.isComplete && report.generations == 1 && report.evaluations == 4)
        let error = #expect(throws: CoordinatorError.self) {
            try simulate(["search.budget_images=17"], preset: "default", in: "small")
        }
        let text = "\(try #require(error))"
        #expect(
            text.contains(
                "search.budget_images is 17; expected at least 18: 6 to measure reuse errors, 4 candidates on 3 images each"
            ), "\(text)")
        #expect(!FileManager.default.fileExists(atPath: folder.file("small/history.sqlite")))
    }

    @Test func numberOfWorkersDoesNotMatter() throws {
        for (name, hosts) in [("one", 1), ("many", 9)] {
            _ = try simulate(["search.budget_images=47"], preset: "default", hosts: hosts, in: name)
        }
        let sql = "SELECT generation, hex(genome), predicted_log_error, predicted_quality FROM candidates ORDER BY id"
        let one = try rows(sql, in: "one")
        #expect(one.count == 13)
        #expect(try rows(sql, in: "many") == one)
    }

    /// The micro model has few schedules: a budget alone would never end a search that has seen them all.
    @Test(arguments: ["generations", "steady-state"]) func exhaustedSearchEnds(mode: String) throws {
        let configuration = [
            "search.budget_images=1000000", "model.steps=2", "search.preset=ecad-paper",
        ]
        let report = try simulate(configuration, mode: mode)
        #expect(report.isComplete && report.images < 1_000_000)
    }

    @Test func extensionByImagesContinuesTheSearch() throws {
        _ = try simulate(["search.budget_images=47"], preset: "default")
        let whole = try simulate(["search.budget_images=57"], preset: "default", in: "whole")
        #expect(whole.images == 57)
        #expect(throws: CoordinatorError.self) {
            try Calibration.extend(in: folder.file("run"), by: .images(2)).history.close()
        }
        let extended = try Calibration.extend(in: folder.file("run"), by: .images(12))
        #expect(extended.configuration.budgetImages == 57 && extended.budget.spent == 45)
        #expect(extended.budget.affordable == 4)
        try extended.history.close()
        let other = try Calibration.extend(in: folder.file("run"), by: .generations(2))
        #expect(other.configuration.generationLimit == 5 && other.budget.affordable == nil)
        try other.history.close()
    }

    @Test func partsAreCounted() {
        var budget = ImageBudget(limit: 2_000, imagesPerCandidate: 8, measurement: 21)
        #expect(budget.affordable == 247 && budget.affordable(of: 24) == 24 && budget.endReason == nil)
        budget.candidateCount = 246
        #expect(budget.spent == 1_989 && budget.spent(withOpen: 2) == 1_973 && budget.affordable(of: 24) == 1)
        budget.candidateCount = 247
        #expect(budget.endReason?.hasPrefix("1,997 of 2,000 images are spent") == true)
        #expect(ImageBudget(limit: nil, imagesPerCandidate: 8, measurement: 0).affordable(of: 24) == 24)
        #expect(ImageBudget.text(10.5) == "11" && ImageBudget.text(1_234_567) == "1,234,567")
    }
}
