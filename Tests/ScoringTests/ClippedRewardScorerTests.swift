import Basics
import Scoring
import Tensors
import TestSupport
import Testing

@Suite struct ClippedRewardScorerTests {
    private static let folder = "\(Fixtures.folder)/image-reward/model"

    private func image(_ brightness: (Int) -> UInt8) -> Image {
        Image(width: 40, height: 30, pixels: (0..<40 * 30 * 3).map(brightness))
    }

    private var images: [Image] { [image { UInt8($0 % 251) }, image { UInt8($0 * $0 % 253) }, image { _ in 200 }] }

    @Test func rewardsAreClippedAtTheReferences() throws {
        let rewards = try ImageRewardScorer(folder: Self.folder).scores(
            of: images.map { ScoredImage(image: $0, prompt: "a red cube") })
        #expect(Set(rewards).count == 3)
        let scorer = ClippedRewardScorer(try ImageRewardScorer(folder: Self.folder))
        #expect(scorer.name == "image-reward-clipped")
        for (reference, ceiling) in zip(images, rewards) {
            let clipped = try scorer.scores(
                of: images.map { ScoredImage(image: $0, prompt: "a red cube", reference: reference) })
            #expect(clipped == rewards.map { min($0, ceiling) })
        }
    }

    @Test(arguments: [[.imageReward, .imageRewardClipped], [.imageRewardClipped, .imageReward]] as [[ScorerKind]])
    func sharedModelGivesTheScoresOfSeparateModels(_ kinds: [ScorerKind]) throws {
        let sources = kinds.map { ScorerSource($0, folder: Self.folder) }
        let shared = try ScorerSource.open(sources)
        let separate = try sources.flatMap { try ScorerSource.open([$0]) }
        #expect(shared.map(\.name) == kinds.map(\.rawValue))
        // Batches that repeat, change in one image, in the prompt, in the order and in length.
        let batches = [images, images, [images[0], images[1], images[1]], images.reversed(), [images[0]]]
        for prompt in ["a red cube", "a green ball"] {
            for batch in batches {
                let items = batch.map { ScoredImage(image: $0, prompt: prompt, reference: images[1]) }
                for (shared, separate) in zip(shared, separate) {
                    #expect(try shared.scores(of: items) == separate.scores(of: items))
                }
            }
        }
    }

    @Test func missingReferenceIsAnError() throws {
        let scorer = ClippedRewardScorer(try ImageRewardScorer(folder: Self.folder))
        #expect(throws: ScoringError.missing(scorer: "image-reward-clipped", what: "the uncached image")) {
            try scorer.scores(of: [ScoredImage(image: image { _ in 9 }, prompt: "a red cube")])
        }
    }
}
