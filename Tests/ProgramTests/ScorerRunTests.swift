import Foundation
import History
import TestSupport
import Testing

/// Runs with Image Reward as the quality objective.
@Suite struct ScorerRunTests {
    private static let reward = "\(Fixtures.folder)/image-reward/model"

    @Test func qualityIsTheMeanRewardAndAllScoresAreStored() throws {
        let run = try SmallRun(generations: 2)
        let coordinator = try run.begin(
            workers: 1,
            [
                "--set", "objectives.quality=image-reward", "--set", "scorers.image-reward=\(Self.reward)", "--set",
                "scorers.clip=\(Fixtures.folder)/clip/model",
            ])
        #expect(coordinator.wait(seconds: 240) == 0, "\(coordinator.errors)")
        let images = try run.count("SELECT 3 * count(*) FROM candidates")
        for scorer in ["psnr", "ssim", "latent-error", "image-reward", "clip"] {
            #expect(try run.count("SELECT count(*) FROM image_scores WHERE scorer = '\(scorer)'") == images)
        }
        #expect(
            try run.count(
                """
                SELECT count(*) FROM evaluations e WHERE abs(e.quality - (SELECT avg(value) FROM image_scores s
                WHERE s.candidate_id = e.candidate_id AND s.scorer = 'image-reward')) > 1e-9
                """) == 0)
    }

    /// The preset `default` proposes no uncached schedule, so nothing but the run itself evaluates it.
    @Test(arguments: ["generations", "steady-state"])
    func lossesAgainstTheUncachedImagesAreKnownForEveryScorer(mode: String) throws {
        let run = try SmallRun(generations: 2, preset: "default")
        let arguments = [
            "--set", "objectives.quality=image-reward-clipped", "--set", "search.mode=\(mode)", "--set",
            "scorers.image-reward=\(Self.reward)", "--set", "scorers.clip=\(Fixtures.folder)/clip/model",
        ]
        let coordinator = try run.begin(workers: 1, arguments)
        #expect(coordinator.wait(seconds: 240) == 0, "\(coordinator.errors)")
        // Prompts, scorers and candidates: every one has its loss.
        let rows = try run.count("SELECT count(*) FROM prompt_loss WHERE evaluation_set = 'calibration'")
        #expect(try rows == run.count("SELECT 3 * 6 * count(*) FROM candidates") && rows > 100)
        #expect(try run.count("SELECT count(*) FROM prompt_loss WHERE loss IS NULL") == 0)
        // A clipped reward cannot exceed that of the uncached image.
        let clipped = "FROM prompt_loss WHERE scorer = 'image-reward-clipped'"
        #expect(try run.count("SELECT count(*) \(clipped) AND loss < -1e-6") == 0)
        #expect(try run.count("SELECT count(*) \(clipped) AND loss > 0") > 0)
        // The uncached image's clipped reward is its reward.
        #expect(
            try run.count(
                """
                SELECT count(*) FROM candidates c JOIN image_scores a ON a.candidate_id = c.id AND a.scorer = 'image-reward'
                JOIN image_scores b ON b.candidate_id = c.id AND b.scorer = 'image-reward-clipped'
                    AND b.prompt_id = a.prompt_id AND b.seed = a.seed
                WHERE c.label = 'uncached' AND abs(a.value - b.value) < 1e-4
                """) == 3)
        // It is neither a candidate of the search nor on the front.
        #expect(try run.count("SELECT count(*) FROM candidates WHERE generation IS NULL") == 1)
        #expect(
            try run.count(
                "SELECT count(*) FROM pareto_front JOIN candidates ON id = candidate_id WHERE label IS NOT NULL")
                == 0)
        // The report's page of every member of the front has the uncached scores.
        let report = try String(contentsOfFile: "\(run.runFolder)/run.html", encoding: .utf8)
        let front = try RunHistory.openReadOnly(in: run.runFolder).query("SELECT candidate_id FROM pareto_front").rows
        #expect(!front.isEmpty)
        for case .integer(let id)? in front.map(\.first) {
            let page = try #require(report.components(separatedBy: "\"0/candidate?id=\(id)\":").dropFirst().first)
            let uncached = try #require(page.components(separatedBy: "\"uncached\":[").dropFirst().first)
            #expect(uncached.prefix { $0 != "{" }.components(separatedBy: "image-reward-clipped").count == 4)
        }
        // No benchmark is shown, since there is none.
        #expect(report.contains("\"0/benchmarks\":{\"schedules\":[],\"scores\":[]}"))
    }

    @Test func uncachedScheduleAmongTheSeedsIsEvaluatedOnce() throws {
        let run = try SmallRun(generations: 1)
        let coordinator = try run.begin(
            workers: 1,
            ["--set", "search.seeding=[\"default\", \"fora\"]", "--set", "scorers.image-reward=\(Self.reward)"])
        #expect(coordinator.wait(seconds: 240) == 0, "\(coordinator.errors)")
        #expect(try run.count("SELECT count(*) FROM candidates WHERE generation IS NULL") == 0)
        #expect(try run.count("SELECT count(*) FROM prompt_loss WHERE loss IS NULL") == 0)
    }

    @Test func workerWithoutTheScorerModelIsRejectedWithTheReason() throws {
        let run = try SmallRun(generations: 2)
        let port = freePort()
        let coordinator = try ProgramRun(
            "ecad-coordinator",
            [
                "run", "--config", run.configuration, "--run-dir", run.runFolder, "--workers", "0", "--bind",
                "tcp://127.0.0.1:\(port)", "--set", "objectives.quality=image-reward", "--set",
                "scorers.image-reward=\(Self.reward)",
            ])
        defer { coordinator.kill() }
        let worker = try run.worker(port: port, name: "bare")
        #expect(worker.wait() == 1)
        #expect(worker.errors.contains("lacks the run's model of the scorer image-reward"), "\(worker.errors)")
        #expect(worker.errors.contains("--scorer"))
    }
}
