import Scoring
import Tensors
import TestSupport
import Testing

@Suite struct KeptRewardScorerTests {
    private static let folder = "\(Fixtures.folder)/image-reward/model"

    private func image(_ brightness: (Int) -> UInt8) -> Image {
        Image(width: 40, height: 30, pixels: (0..<40 * 30 * 3).map(brightness))
    }

    @Test func theLowerOfBothRewardsCounts() throws {
        let images = [image { UInt8($0 % 251) }, image { UInt8($0 * $0 % 253) }, image { _ in 200 }]
        let rewards = try ImageRewardScorer(folder: Self.folder).scores(
            of: images.map { ScoredImage(image: $0, prompt: "a red cube") })
        #expect(Set(rewards).count == 3)
        let scorer = try KeptRewardScorer(folder: Self.folder)
        #expect(scorer.name == "image-reward-kept")
        for (reference, ceiling) in zip(images, rewards) {
            let kept = try scorer.scores(
                of: images.map { ScoredImage(image: $0, prompt: "a red cube", reference: reference) })
            #expect(kept == rewards.map { min($0, ceiling) })
        }
    }

    @Test func anImageWithoutItsReferenceIsRefused() throws {
        let scorer = try KeptRewardScorer(folder: Self.folder)
        #expect(throws: ScoringError.self) {
            try scorer.scores(of: [ScoredImage(image: image { _ in 9 }, prompt: "a red cube")])
        }
    }
}
