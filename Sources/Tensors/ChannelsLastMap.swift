import CKernels

/// A multi-channel image with the channels of a pixel next to one another ("channels last").
public struct ChannelsLastMap: Sendable {
    /// `[H·W, C]`, one row per pixel in row-major order.
    public let pixels: Matrix
    /// H, in pixels.
    public let height: Int
    /// W, in pixels.
    public let width: Int

    /// A map over an existing matrix `[H·W, C]`.
    public init(_ pixels: Matrix, height: Int, width: Int) {
        precondition(pixels.rows == height * width, "\(pixels.rows) rows for \(height) x \(width) pixels")
        self.pixels = pixels
        self.height = height
        self.width = width
    }

    /// C.
    public var channelCount: Int { pixels.columns }
}

/// Mean and sum of squared deviations of every channel in every block of 16 x 16 pixels of a map.
///
/// A convolution fills it while the block is in the cache. A group norm combines the blocks in their order, so the
/// result does not depend on the number of threads.
public final class ChannelMoments: @unchecked Sendable {
    private static let side = Int(CK_BLOCK_SIDE)
    private var storage = Storage(count: 0)
    private var height = 0
    private var width = 0
    private var channelCount = 0

    /// Moments of no map.
    public init() {}

    /// Makes room for a map of this size.
    func prepare(height: Int, width: Int, channelCount: Int) {
        (self.height, self.width, self.channelCount) = (height, width, channelCount)
        if storage.count < blockCount * 2 * channelCount {
            storage = Storage(count: blockCount * 2 * channelCount)
        }
    }

    private var columns: Int { (width + Self.side - 1) / Self.side }
    private var blockCount: Int { (height + Self.side - 1) / Self.side * columns }

    /// Means and deviations of a block, `[C]` each.
    func block(_ index: Int) -> (mean: UnsafeMutablePointer<Float>, deviations: UnsafeMutablePointer<Float>) {
        let mean = storage.pointer + index * 2 * channelCount
        return (mean, mean + channelCount)
    }

    private func size(_ index: Int) -> (rows: Int, columns: Int) {
        let (row, column) = index.quotientAndRemainder(dividingBy: columns)
        return (min(Self.side, height - row * Self.side), min(Self.side, width - column * Self.side))
    }

    /// Measures a map in a pass of its own.
    public func measure(_ x: ChannelsLastMap) {
        prepare(height: x.height, width: x.width, channelCount: x.channelCount)
        inParallel(blockCount, elementsPerItem: Self.side * Self.side * channelCount) { blocks in
            for index in blocks {
                let (row, column) = index.quotientAndRemainder(dividingBy: columns)
                let start = x.pixels.pointer + (row * width + column) * Self.side * x.pixels.stride
                let (target, size) = (block(index), size(index))
                ck_moments(
                    start, x.pixels.stride, width, size.rows, size.columns, channelCount, target.mean,
                    target.deviations)
            }
        }
    }

    /// The group norm of the measured map (arXiv 1803.08494) as one scale and shift per channel.
    ///
    /// - Parameters:
    ///   - groups: The number of groups; divides C.
    ///   - weight: `[1, C]`.
    ///   - bias: `[1, C]`.
    ///   - epsilon: Added to the variance.
    /// - Returns: The normalization of the map.
    public func groupNorm(groups: Int, weight: Matrix, bias: Matrix, epsilon: Float) -> ChannelNormalization {
        requireRow(weight, columns: channelCount)
        requireRow(bias, columns: channelCount)
        precondition(groups > 0 && channelCount % groups == 0, "\(channelCount) channels in \(groups) groups")
        let groupChannels = channelCount / groups
        let result = ChannelNormalization(channelCount: channelCount)
        let counts = (0..<blockCount).map { Double(size($0).rows * size($0).columns) }
        let total = Double(height * width * groupChannels)
        for group in 0..<groups {
            let channels = (group * groupChannels)..<((group + 1) * groupChannels)
            var sum = 0.0
            for (index, count) in counts.enumerated() {
                let means = block(index).mean
                for channel in channels { sum += count * Double(means[channel]) }
            }
            let mean = sum / total
            var squares = 0.0
            for (index, count) in counts.enumerated() {
                let (means, deviations) = block(index)
                for channel in channels {
                    let distance = Double(means[channel]) - mean
                    squares += Double(deviations[channel]) + count * distance * distance
                }
            }
            let factor = Float(1 / (squares / total + Double(epsilon)).squareRoot())
            for channel in channels {
                result.vectors[0, channel] = Float(mean)
                result.vectors[1, channel] = weight[0, channel] * factor
                result.vectors[2, channel] = bias[0, channel]
            }
        }
        return result
    }
}

/// `y = (x - mean) ⊙ scale + shift` of every pixel.
public struct ChannelNormalization: Sendable {
    /// Mean, scale and shift, `[3, C]`.
    let vectors: Matrix

    fileprivate init(channelCount: Int) { vectors = Matrix(rows: 3, columns: channelCount) }

    /// The vectors for a kernel.
    var kernelParameters: ck_normalization {
        ck_normalization(
            mean: vectors.pointer, scale: vectors.pointer + vectors.stride, shift: vectors.pointer + 2 * vectors.stride)
    }

    /// Normalises the pixels of a map.
    ///
    /// - Parameters:
    ///   - x: `[H·W, C]`.
    ///   - y: The shape of `x`; overwritten, may be `x`.
    public func apply(to x: Matrix, into y: Matrix) {
        requireSameShape(x, y)
        requireRow(vectors.rows(0..<1), columns: x.columns)
        inParallel(x.rows, elementsPerItem: x.columns) { rows in
            var parameters = kernelParameters
            ck_normalize(
                x.pointer + rows.lowerBound * x.stride, x.stride, &parameters, y.pointer + rows.lowerBound * y.stride,
                y.stride, rows.count, x.columns)
        }
    }
}
