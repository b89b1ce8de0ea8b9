import Basics
import Foundation
import Tensors

/// Peak signal-to-noise ratio (PSNR) against the uncached image.
public final class PSNRScorer: Scorer {
    /// The score of identical images and the upper bound, in dB.
    ///
    /// Images of up to 150,000 values stay below it if any value differs, so only identical images tie with the reference.
    public static let maximum = 100.0

    /// "psnr".
    public let name = ScorerKind.psnr.rawValue

    /// Needs no model.
    public init() {}

    /// The PSNR of each image, in dB.
    public func scores(of batch: [ScoredImage]) throws -> [Double] {
        try batch.map { try Self.psnr($0.image, reference: ScoringError.require($0.reference, name)) }
    }

    /// PSNR over all pixels and channels, `10 log10(255² / MSE)` in dB, capped at ``maximum``.
    ///
    /// - Throws: ``ScoringError/imageSize(expected:found:)`` for images of different sizes.
    public static func psnr(_ image: Image, reference: Image) throws -> Double {
        try ScoringError.requireSameSize(image, reference)
        var sum = 0
        for (value, expected) in zip(image.pixels, reference.pixels) {
            let difference = Int(value) - Int(expected)
            sum += difference * difference
        }
        guard sum > 0 else { return maximum }
        let meanSquaredError = Double(sum) / Double(image.pixels.count)
        return min(maximum, 10 * log10(255 * 255 / meanSquaredError))
    }
}

// MARK: - SSIM

/// Structural similarity (SSIM) to the uncached image.
///
/// As in Wang et al. (2004), computed for each colour channel with an 11 x 11 Gaussian window of sigma 1.5, population covariances, K1 = 0.01,
/// K2 = 0.03 and data range 255; averaged over the pixels whose window lies inside the image, then over the channels.
/// Equal to scikit-image's `structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
/// data_range=255, channel_axis=2)`, except that images smaller than the window are averaged over all pixels instead of
/// rejected.
public final class SSIMScorer: Scorer {
    /// "ssim".
    public let name = ScorerKind.ssim.rawValue
    private static let radius = 5
    /// The weights of the window's centre and of the pixels at distances up to the radius on either side.
    private static let weights: SIMD8<Double> = {
        var weights = SIMD8<Double>()
        for distance in 0...radius { weights[distance] = exp(-Double(distance * distance) / 4.5) }
        return weights / (2 * weights.sum() - weights[0])
    }()

    /// Needs no model.
    public init() {}

    /// The SSIM of each image, at most 1.
    public func scores(of batch: [ScoredImage]) throws -> [Double] {
        try batch.map { try Self.ssim($0.image, reference: ScoringError.require($0.reference, name)) }
    }

    /// The mean SSIM of two images.
    ///
    /// - Throws: ``ScoringError/imageSize(expected:found:)`` for images of different sizes.
    public static func ssim(_ image: Image, reference: Image) throws -> Double {
        try ScoringError.requireSameSize(image, reference)
        let (width, height) = (image.width, image.height)
        guard width > 0, height > 0 else { return 1 }
        let side = 2 * radius + 1
        let rows = height < side ? 0..<height : radius..<(height - radius)
        let columns = width < side ? 0..<width : radius..<(width - radius)
        let (c1, c2) = (0.01 * 255 * 0.01 * 255, 0.03 * 255 * 0.03 * 255)
        var filter = GaussianFilter(width: width, height: height)
        var total = 0.0
        for colour in 0..<3 {
            let a = (0..<(width * height)).map { Double(image.pixels[3 * $0 + colour]) }
            let b = (0..<(width * height)).map { Double(reference.pixels[3 * $0 + colour]) }
            let (meanA, meanB) = (filter.mean(a), filter.mean(b))
            // Only the sum of the variances is needed.
            let squares = filter.mean(zip(a, b).map { $0 * $0 + $1 * $1 })
            let product = filter.mean(zip(a, b).map { $0 * $1 })
            for row in rows {
                for index in (row * width + columns.lowerBound)..<(row * width + columns.upperBound) {
                    let (ma, mb) = (meanA[index], meanB[index])
                    let variances = squares[index] - (ma * ma + mb * mb)
                    let covariance = product[index] - ma * mb
                    total +=
                        (2 * ma * mb + c1) * (2 * covariance + c2) / ((ma * ma + mb * mb + c1) * (variances + c2))
                }
            }
        }
        return total / Double(3 * rows.count * columns.count)
    }

    /// A Gaussian filter with symmetric padding (the edge pixel is repeated).
    private struct GaussianFilter {
        let width, height: Int
        private let leftRight, upDown: [Int]
        /// A row, padded on both sides.
        private var line: [Double]
        /// The filtered rows, and some of them again above and below.
        private var rows: [Double]

        init(width: Int, height: Int) {
            (self.width, self.height) = (width, height)
            func mirrored(_ length: Int) -> [Int] {
                (-radius..<(length + radius)).map { position in
                    let within = ((position % (2 * length)) + 2 * length) % (2 * length)
                    return within < length ? within : 2 * length - 1 - within
                }
            }
            leftRight = mirrored(width)
            upDown = mirrored(height)
            line = [Double](repeating: 0, count: width + 2 * radius)
            rows = [Double](repeating: 0, count: width * (height + 2 * radius))
        }

        mutating func mean(_ plane: [Double]) -> [Double] {
            let weights = SSIMScorer.weights
            for row in 0..<height {
                for column in line.indices { line[column] = plane[row * width + leftRight[column]] }
                let start = (row + radius) * width
                for column in 0..<width { rows[start + column] = Self.weighted(line, from: column, step: 1, weights) }
            }
            for (row, source) in upDown.enumerated() where row < radius || row >= height + radius {
                for column in 0..<width { rows[row * width + column] = rows[(source + radius) * width + column] }
            }
            return (0..<(width * height)).map { Self.weighted(rows, from: $0, step: width, weights) }
        }

        /// The sum over a window of eleven values; pairs at the same distance from the centre share a weight.
        @inline(__always)
        private static func weighted(
            _ x: [Double], from i: Int, step s: Int, _ w: SIMD8<Double>
        ) -> Double {
            let near = w[0] * x[i + 5 * s] + w[1] * (x[i + 4 * s] + x[i + 6 * s]) + w[2] * (x[i + 3 * s] + x[i + 7 * s])
            let far = w[3] * (x[i + 2 * s] + x[i + 8 * s]) + w[4] * (x[i + s] + x[i + 9 * s])
            return near + far + w[5] * (x[i] + x[i + 10 * s])
        }
    }
}

// MARK: - Latents

/// Negative relative L2 error of the final latents, `-||x - r|| / ||r||`.
public final class LatentErrorScorer: Scorer {
    /// "latent-error".
    public let name = ScorerKind.latentError.rawValue

    /// Needs no model.
    public init() {}

    /// The negative error of each image's latents; 0 if they equal the reference's.
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
