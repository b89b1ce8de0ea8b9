import Foundation
import Schedules
import Tensors

/// Peak signal-to-noise ratio against the uncached image of the same prompt, seed, size and steps.
public final class PSNRScorer: Scorer {
    /// The value that identical images get, and the largest one, in dB: more than images of up to 150,000 values with
    /// any difference can reach, so that no schedule ties with the uncached one unless its images are the same.
    public static let highest = 100.0

    /// "psnr".
    public let name = ScorerKind.psnr.rawValue

    /// A scorer.
    public init() {}

    /// The ratio for each image, in dB.
    public func scores(of batch: [ScoredImage]) throws -> [Double] {
        try batch.map { try Self.psnr($0.image, reference: ScoringError.require($0.reference, name)) }
    }

    /// The ratio over all pixels and channels, `10 log10(255² / MSE)` in dB, capped at ``highest``.
    ///
    /// - Throws: ``ScoringError/imageSize(expected:found:)`` for images of different sizes.
    public static func psnr(_ image: Image, reference: Image) throws -> Double {
        try ScoringError.requireSameSize(image, reference)
        var sum = 0
        for (value, expected) in zip(image.pixels, reference.pixels) {
            let difference = Int(value) - Int(expected)
            sum += difference * difference
        }
        guard sum > 0 else { return highest }
        let meanSquaredError = Double(sum) / Double(image.pixels.count)
        return min(highest, 10 * log10(255 * 255 / meanSquaredError))
    }
}
