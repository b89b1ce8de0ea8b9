import Basics
import Models
import Tensors

/// Image Reward (arXiv 2304.05977): predicted human preference for an image given its prompt.
public final class ImageRewardScorer: Scorer {
    /// "image-reward".
    public let name = ScorerKind.imageReward.rawValue
    private let model: ImageRewardModel
    private var latest: (keys: [RewardKey], rewards: [Double]) = ([], [])

    /// Opens a directory in the layout of `scripts/convert_scorers.py`.
    ///
    /// - Throws: `ModelsError`, `TensorsError`.
    public init(folder: String) throws { model = try ImageRewardModel(folder: folder) }

    /// The reward of each image; the latest batch is cached for scorers that share the model.
    public func scores(of batch: [ScoredImage]) throws -> [Double] {
        let keys = batch.map { RewardKey(prompt: $0.prompt, image: $0.image) }
        if keys == latest.keys { return latest.rewards }
        let rewards = try batch.map { try reward(of: $0.image, for: $0.prompt) }
        latest = (keys, rewards)
        return rewards
    }

    /// Computes the reward of one image.
    fileprivate func reward(of image: Image, for prompt: String) throws -> Double {
        try model.reward(of: image, for: model.tokens(of: prompt))
    }
}

/// Image Reward, clipped at the reward of the uncached image.
///
/// Rewards vary by some tenths with the smallest change of an image, so a search over hundreds of schedules on few images
/// would select lucky ones. Clipping keeps a lucky image from compensating for a damaged one, and no schedule scores
/// above the uncached one.
public final class ClippedRewardScorer: Scorer {
    /// Number of cached reference rewards; a task's references recur with every candidate.
    static let referenceCacheLimit = 1024

    /// "image-reward-clipped".
    public let name = ScorerKind.imageRewardClipped.rawValue
    private let rewards: ImageRewardScorer
    private var referenceRewards: [RewardKey: Double] = [:]

    /// Uses the model of another scorer.
    public init(_ rewards: ImageRewardScorer) { self.rewards = rewards }

    /// The lower of each image's and its reference's reward.
    public func scores(of batch: [ScoredImage]) throws -> [Double] {
        try zip(batch, rewards.scores(of: batch)).map { item, reward in
            let ceiling = try referenceReward(item)
            return ceiling.isFinite ? min(reward, ceiling) : ceiling
        }
    }

    private func referenceReward(_ item: ScoredImage) throws -> Double {
        let image = try ScoringError.require(item.reference, name)
        let key = RewardKey(prompt: item.prompt, image: image)
        if let reward = referenceRewards[key] { return reward }
        let reward = try rewards.reward(of: image, for: item.prompt)
        if referenceRewards.count >= Self.referenceCacheLimit { referenceRewards = [:] }
        referenceRewards[key] = reward
        return reward
    }
}

private struct RewardKey: Hashable {
    let prompt: String
    let width, height: Int
    let pixels: [UInt8]

    init(prompt: String, image: Image) {
        (self.prompt, width, height, pixels) = (prompt, image.width, image.height, image.pixels)
    }
}
