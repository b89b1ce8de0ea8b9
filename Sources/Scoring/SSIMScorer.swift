import Foundation
import Schedules
import Tensors

/// Structural similarity, of Wang and others 2004, to the uncached image of the same prompt, seed, size and steps.
///
/// Of each colour by itself, under a Gaussian window of 11 x 11 pixels and sigma 1.5, with population covariances,
/// K1 = 0.01, K2 = 0.03 and the dynamic range 255; averaged where the window lies inside the image, then over the colours.
/// scikit-image computes the same by `structural_similarity(a, b, gaussian_weights=True, sigma=1.5,
/// use_sample_covariance=False, data_range=255, channel_axis=2)`, but refuses images smaller than the window, of which all
/// pixels count here.
public final class SSIMScorer: Scorer {
    /// "ssim".
    public let name = ScorerKind.ssim.rawValue
    private static let radius = 5
    private static let window: [Double] = {
        let weights = (-radius...radius).map { (offset: Int) -> Double in exp(-Double(offset * offset) / 4.5) }
        let sum = weights.reduce(0, +)
        return weights.map { $0 / sum }
    }()

    /// A scorer.
    public init() {}

    /// The similarity of each image, at most 1.
    public func scores(of batch: [ScoredImage]) throws -> [Double] {
        try batch.map { try Self.ssim($0.image, reference: ScoringError.require($0.reference, name)) }
    }

    /// The mean similarity of two images.
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
        var filter = Filter(width: width, height: height)
        var total = 0.0
        for colour in 0..<3 {
            let a = (0..<(width * height)).map { Double(image.pixels[3 * $0 + colour]) }
            let b = (0..<(width * height)).map { Double(reference.pixels[3 * $0 + colour]) }
            let (meanA, meanB) = (filter.mean(a), filter.mean(b))
            let squareA = filter.mean(zip(a, a).map { $0 * $1 })
            let squareB = filter.mean(zip(b, b).map { $0 * $1 })
            let product = filter.mean(zip(a, b).map { $0 * $1 })
            for row in rows {
                for index in (row * width + columns.lowerBound)..<(row * width + columns.upperBound) {
                    let (ma, mb) = (meanA[index], meanB[index])
                    let (va, vb) = (squareA[index] - ma * ma, squareB[index] - mb * mb)
                    let covariance = product[index] - ma * mb
                    total +=
                        (2 * ma * mb + c1) * (2 * covariance + c2) / ((ma * ma + mb * mb + c1) * (va + vb + c2))
                }
            }
        }
        return total / Double(3 * rows.count * columns.count)
    }

    /// The weighted mean around each pixel of a plane; beyond its edges the plane is mirrored, the edge included.
    private struct Filter {
        let width, height: Int
        private let leftRight, upDown: [Int]
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
            rows = [Double](repeating: 0, count: width * height)
        }

        mutating func mean(_ plane: [Double]) -> [Double] {
            let window = SSIMScorer.window
            for row in 0..<height {
                for column in 0..<width {
                    var sum = 0.0
                    for tap in 0...(2 * radius) { sum += window[tap] * plane[row * width + leftRight[column + tap]] }
                    rows[row * width + column] = sum
                }
            }
            var result = [Double](repeating: 0, count: plane.count)
            for row in 0..<height {
                for tap in 0...(2 * radius) {
                    let source = upDown[row + tap] * width
                    for column in 0..<width { result[row * width + column] += window[tap] * rows[source + column] }
                }
            }
            return result
        }
    }
}
