import Foundation

/// What many images' scores come to.
public struct ScoreSummary: Sendable, Codable, Equatable {
    /// The scorer.
    public let scorer: String
    /// The images that have a score.
    public let images: Int
    /// The mean.
    public let mean: Double
    /// The mean's standard error; nil for one image.
    public let standardError: Double?
    /// The fifth percentile, between order statistics where it falls there, as `numpy.percentile` takes it.
    public let p5: Double
    /// The lowest score.
    public let worst: Double
    /// The image that has it.
    public let worstImage: String
    /// The prompt of that image; nil without prompts.
    public let worstPrompt: String?

    /// Sums scores up.
    ///
    /// - Parameters:
    ///   - scorer: The scorer's name.
    ///   - scores: At least one, all finite.
    ///   - name: The image of a score, by its position.
    ///   - prompt: The prompt of a score, by its position.
    init(scorer: String, scores: [Double], name: (Int) -> String, prompt: (Int) -> String?) {
        precondition(!scores.isEmpty, "a summary of no scores")
        let count = Double(scores.count)
        let mean = scores.reduce(0, +) / count
        let squares = scores.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        let sorted = scores.sorted()
        let position = 0.05 * (count - 1)
        let (low, share) = (Int(position), position - position.rounded(.down))
        let worst = scores.indices.min { scores[$0] < scores[$1] } ?? 0
        self.scorer = scorer
        images = scores.count
        self.mean = mean
        standardError = scores.count > 1 ? (squares / (count - 1) / count).squareRoot() : nil
        p5 = sorted[low] * (1 - share) + sorted[min(low + 1, sorted.count - 1)] * share
        self.worst = scores[worst]
        worstImage = name(worst)
        worstPrompt = prompt(worst)
    }
}
