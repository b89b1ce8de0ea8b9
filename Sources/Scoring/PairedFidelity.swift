import Foundation
import Tensors

/// How close an image is to the uncached image of the same prompt, seed, size and steps.
public enum PairedFidelity {
    /// The value that identical images get, and the largest one, in dB: more than images of up to 150,000 values with
    /// any difference can reach, so that no schedule ties with the uncached one unless its images are the same.
    public static let highestPSNR = 100.0

    /// Peak signal-to-noise ratio over all pixels and channels, `10 log10(255² / MSE)` in dB, capped at
    /// ``highestPSNR``.
    ///
    /// - Throws: ``ScoringError/imageSize(expected:found:)`` for images of different sizes.
    public static func psnr(_ image: Image, reference: Image) throws -> Double {
        guard image.width == reference.width, image.height == reference.height else {
            throw ScoringError.imageSize(
                expected: "\(reference.width)x\(reference.height)", found: "\(image.width)x\(image.height)")
        }
        var sum = 0
        for (value, expected) in zip(image.pixels, reference.pixels) {
            let difference = Int(value) - Int(expected)
            sum += difference * difference
        }
        guard sum > 0 else { return highestPSNR }
        let meanSquaredError = Double(sum) / Double(image.pixels.count)
        return min(highestPSNR, 10 * log10(255 * 255 / meanSquaredError))
    }
}
