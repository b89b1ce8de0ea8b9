import COpenBLAS
import Foundation
import ModelConfiguration
import Models
import Tensors

/// The Frechet distance between two sets of features, modelled as normal distributions (arXiv 1706.08500):
/// `|μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½)`.
///
/// The trace of the square root is computed from the symmetric matrix `Σ₁^½ Σ₂ Σ₁^½`, which has the same eigenvalues.
/// They are real and, up to rounding, not negative even with fewer images than features, so the covariances need no
/// regularisation.
public enum FrechetDistance {
    /// The distance, at least 0, between two sets of at least two vectors of equal length.
    ///
    /// - Throws: ``ScoringError/distance(_:)`` for too few vectors, different lengths or features that are not finite.
    public static func between(_ a: FeatureStatistics, _ b: FeatureStatistics) throws -> Double {
        guard a.width == b.width else {
            throw ScoringError.distance("the sets have \(a.width) and \(b.width) features; expected equal numbers")
        }
        guard a.count >= 2, b.count >= 2 else {
            throw ScoringError.distance(
                "the sets have \(a.count) and \(b.count) images; a Frechet distance needs at least two in each")
        }
        let n = a.width
        let (first, second) = (a.covariance(), b.covariance())
        var trace = 0.0
        for index in 0..<n { trace += first[index * n + index] + second[index * n + index] }
        let squares = zip(a.mean, b.mean).reduce(0.0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) }
        guard trace.isFinite, squares.isFinite else { throw ScoringError.distance("some features are not finite") }

        // The rows of `root` are eigenvectors times the roots of their eigenvalues: rootᵀ · root = Σ₁.
        var root = first
        let values = try eigenvalues(&root, order: n, computesVectors: true)
        for row in 0..<n {
            let factor = max(values[row], 0).squareRoot()
            for column in 0..<n { root[row * n + column] *= factor }
        }
        var (half, inner) = ([Double](repeating: 0, count: n * n), [Double](repeating: 0, count: n * n))
        cblas_dsymm(
            CblasRowMajor, CblasRight, CblasUpper, Int32(n), Int32(n), 1, second, Int32(n), root, Int32(n), 0, &half,
            Int32(n))
        cblas_dgemm(
            CblasRowMajor, CblasNoTrans, CblasTrans, Int32(n), Int32(n), Int32(n), 1, half, Int32(n), root, Int32(n), 0,
            &inner, Int32(n))
        let roots = try eigenvalues(&inner, order: n, computesVectors: false).reduce(0.0) {
            $0 + max($1, 0).squareRoot()
        }
        return max(0, squares + trace - 2 * roots)
    }

    /// Eigenvalues of a symmetric matrix, ascending; the eigenvectors replace its rows on request.
    private static func eigenvalues(_ matrix: inout [Double], order: Int, computesVectors: Bool) throws -> [Double] {
        var values = [Double](repeating: 0, count: order)
        let (job, triangle, n) = (computesVectors ? "V" : "N", "U", Int32(order))
        var status: Int32 = 0
        func call(_ work: inout [Double], _ workCount: Int32, _ integers: inout [Int32], _ integerCount: Int32) {
            withUnsafePointer(to: n) { order in
                withUnsafePointer(to: workCount) { workCount in
                    withUnsafePointer(to: integerCount) { integerCount in
                        dsyevd_(
                            job, triangle, order, &matrix, order, &values, &work, workCount, &integers, integerCount,
                            &status, 1, 1)
                    }
                }
            }
        }
        var (work, integers) = ([0.0], [Int32(0)])
        call(&work, -1, &integers, -1)
        let (workCount, integerCount) = (Int32(work[0]), integers[0])
        work = [Double](repeating: 0, count: Int(workCount))
        integers = [Int32](repeating: 0, count: Int(integerCount))
        call(&work, workCount, &integers, integerCount)
        guard status == 0 else { throw ScoringError.distance("the eigenvalue iteration did not converge") }
        return values
    }
}

// MARK: - Statistics

/// Streaming mean and covariance of feature vectors, in constant memory and double precision.
///
/// Sums are taken relative to the first vector, which preserves precision if the spread is small compared with the mean.
public final class FeatureStatistics {
    private static let batchCount = 32

    /// Length of the vectors.
    public let width: Int
    /// Number of vectors added.
    public private(set) var count = 0
    private var origin: [Double]
    private var sums: [Double]
    /// Upper triangle of the sum of products, `[width, width]`.
    private var products: [Double]
    private var batch: [Double] = []

    /// Starts without vectors of a given length.
    public init(width: Int) {
        self.width = width
        (origin, sums) = ([Double](repeating: 0, count: width), [Double](repeating: 0, count: width))
        products = [Double](repeating: 0, count: width * width)
        batch.reserveCapacity(Self.batchCount * width)
    }

    /// Adds a vector of length ``width``.
    public func add(_ features: [Float]) {
        precondition(features.count == width, "\(features.count) features; expected \(width)")
        if count == 0 { origin = features.map { Double($0) } }
        for index in 0..<width {
            let difference = Double(features[index]) - origin[index]
            sums[index] += difference
            batch.append(difference)
        }
        count += 1
        if batch.count >= Self.batchCount * width { addBatch() }
    }

    private func addBatch() {
        let rows = batch.count / width
        guard rows > 0 else { return }
        cblas_dsyrk(
            CblasRowMajor, CblasUpper, CblasTrans, Int32(width), Int32(rows), 1, batch, Int32(width), 1, &products,
            Int32(width))
        batch.removeAll(keepingCapacity: true)
    }

    /// Mean of the vectors.
    public var mean: [Double] {
        let divisor = Double(max(count, 1))
        return zip(origin, sums).map { $0 + $1 / divisor }
    }

    /// Sample covariance (divisor `count - 1`), `[width, width]` in row-major order.
    ///
    /// - Precondition: At least two vectors have been added.
    public func covariance() -> [Double] {
        precondition(count >= 2, "a covariance of \(count) vectors")
        addBatch()
        var result = [Double](repeating: 0, count: width * width)
        let number = Double(count)
        for row in 0..<width {
            for column in row..<width {
                let value =
                    (products[row * width + column] - sums[row] * sums[column] / number) / (number - 1)
                result[row * width + column] = value
                result[column * width + row] = value
            }
        }
        return result
    }
}

// MARK: - Features

/// The network that computes the features of a Frechet distance: Inception-v3 or a CLIP image encoder.
public enum FeatureExtractor {
    /// 2,048 features after global average pooling.
    case inception(InceptionV3)
    /// Projected image features, normalised to length 1.
    case clip(CLIPModel)

    /// Opens Inception-v3 as written by `scripts/convert_scorers.py`, or a CLIP model in the Hugging Face layout.
    ///
    /// - Throws: ``ScoringError/noFeatures(folder:)``, `ModelsError`, `TensorsError`.
    public init(folder: String) throws {
        let path = "\(folder)/config.json"
        let type = try? Configuration(path: path).string("model_type", default: "")
        switch type {
        case "fid-inception-v3": self = .inception(try InceptionV3(folder: folder))
        case "clip": self = .clip(try CLIPModel(folder: folder))
        default: throw ScoringError.noFeatures(folder: folder)
        }
    }

    /// "inception-v3" or "clip".
    public var name: String {
        switch self {
        case .inception: "inception-v3"
        case .clip: "clip"
        }
    }

    /// Number of features.
    public var width: Int {
        switch self {
        case .inception(let network): network.width
        case .clip(let network): network.featureCount
        }
    }

    /// Features of an image, `[1, width]`.
    ///
    /// - Throws: `ModelsError` for an empty image.
    public func features(of image: Image) throws -> Matrix {
        switch self {
        case .inception(let network): try network.features(of: image)
        case .clip(let network): try network.features(of: image)
        }
    }
}
