import Foundation
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
