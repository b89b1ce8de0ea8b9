import Schedules
import Tensors

/// Minus the relative L2 error of the final latents, `-||x - r|| / ||r||`, so that larger is better as everywhere.
public final class LatentErrorScorer: Scorer {
    /// "latent-error".
    public let name = ScorerKind.latentError.rawValue

    /// A scorer.
    public init() {}

    /// Minus the error of each image's latents; 0 where they equal the reference's.
    public func scores(of batch: [ScoredImage]) throws -> [Double] {
        try batch.map { image in
            let latents = try ScoringError.require(image.latents, name, "latents")
            let reference = try ScoringError.require(image.referenceLatents, name, "latents of an uncached image")
            guard latents.rows == reference.rows, latents.columns == reference.columns else {
                throw ScoringError.imageSize(expected: "\(reference.count) latents", found: "\(latents.count) latents")
            }
            var (difference, norm) = (0.0, 0.0)
            for (found, expected) in zip(latents.values, reference.values) {
                difference += (Double(found) - Double(expected)) * (Double(found) - Double(expected))
                norm += Double(expected) * Double(expected)
            }
            return norm > 0 ? -(difference / norm).squareRoot() : (difference > 0 ? -.infinity : 0)
        }
    }
}
