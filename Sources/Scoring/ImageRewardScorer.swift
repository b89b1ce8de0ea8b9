import Models
import Schedules

/// Image Reward (arXiv 2304.05977): how well people would like an image for its prompt.
public final class ImageRewardScorer: Scorer {
    /// "image-reward".
    public let name = ScorerKind.imageReward.rawValue
    private let model: ImageRewardModel

    /// Opens a folder that `scripts/convert_scorers.py` describes.
    ///
    /// - Throws: `ModelsError`, `TensorsError`.
    public init(folder: String) throws { model = try ImageRewardModel(folder: folder) }

    /// The reward of each image.
    public func scores(of batch: [ScoredImage]) throws -> [Double] {
        try batch.map { try model.reward(of: $0.image, for: model.tokens(of: $0.prompt)) }
    }
}
