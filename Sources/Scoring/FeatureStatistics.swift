import COpenBLAS
import Tensors

/// Mean and covariance of feature vectors that come one after the other, in constant memory and double precision.
///
/// Sums are taken of the differences to the first vector, so that little is lost where the spread is small beside the mean.
public final class FeatureStatistics {
    private static let batchCount = 32

    /// The length of a vector.
    public let width: Int
    /// The vectors so far.
    public private(set) var count = 0
    private var origin: [Double]
    private var sums: [Double]
    /// Upper triangle of the sum of products, `[width, width]`.
    private var products: [Double]
    private var batch: [Double] = []

    /// Statistics of no vectors.
    ///
    /// - Parameter width: The length of a vector.
    public init(width: Int) {
        self.width = width
        (origin, sums) = ([Double](repeating: 0, count: width), [Double](repeating: 0, count: width))
        products = [Double](repeating: 0, count: width * width)
        batch.reserveCapacity(Self.batchCount * width)
    }

    /// Adds a vector.
    ///
    /// - Precondition: Its length is ``width``.
    public func add(_ features: [Float]) {
        precondition(features.count == width, "\(features.count) features, expected \(width)")
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

    /// The mean of the vectors.
    public var mean: [Double] {
        let divisor = Double(max(count, 1))
        return zip(origin, sums).map { $0 + $1 / divisor }
    }

    /// The covariance with the divisor `count - 1`, `[width, width]` row by row.
    ///
    /// - Precondition: There are two vectors or more.
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
