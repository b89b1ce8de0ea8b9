import Models
import Schedules
import Tensors

/// How much of its uncached image's reward an image keeps: the lower of both rewards.
///
/// Rewards scatter by some tenths however small the change, and a search among hundreds of schedules on few images finds
/// those that the scatter favours. Here a lucky image cannot make up for a spoilt one, and nothing is better than the
/// uncached images.
public final class KeptRewardScorer: Scorer {
    /// The references whose rewards are kept; a task's come again with every candidate.
    static let keptReferences = 1024

    /// "image-reward-kept".
    public let name = ScorerKind.imageRewardKept.rawValue
    private let rewards: ImageRewardScorer
    private var known: [Reference: Double] = [:]

    private struct Reference: Hashable {
        let prompt: String
        let pixels: [UInt8]
    }

    /// Opens a folder that `scripts/convert_scorers.py` describes.
    ///
    /// - Throws: `ModelsError`, `TensorsError`.
    public init(folder: String) throws { rewards = try ImageRewardScorer(folder: folder) }

    /// The lower of each image's and its reference's reward.
    public func scores(of batch: [ScoredImage]) throws -> [Double] {
        try zip(batch, rewards.scores(of: batch)).map { item, reward in
            let ceiling = try rewardOfReference(item)
            return ceiling.isFinite ? min(reward, ceiling) : ceiling
        }
    }

    private func rewardOfReference(_ item: ScoredImage) throws -> Double {
        let image = try ScoringError.require(item.reference, name)
        let key = Reference(prompt: item.prompt, pixels: image.pixels)
        if let reward = known[key] { return reward }
        let reward = try rewards.scores(of: [ScoredImage(image: image, prompt: item.prompt)])[0]
        if known.count >= Self.keptReferences { known = [:] }
        known[key] = reward
        return reward
    }
}
