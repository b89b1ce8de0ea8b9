/// An image of channels, as convolutions see it.
public struct FeatureMap: Sendable {
    /// `[C, H·W]`, one row for each channel, pixels row by row.
    public let channels: Matrix
    /// H, in pixels.
    public let height: Int
    /// W, in pixels.
    public let width: Int

    /// An image over an existing matrix `[C, H·W]`.
    public init(_ channels: Matrix, height: Int, width: Int) {
        precondition(
            channels.columns == height * width, "\(channels.columns) columns for \(height) x \(width) pixels")
        self.channels = channels
        self.height = height
        self.width = width
    }

    /// A new image of zeros.
    public init(channelCount: Int, height: Int, width: Int) {
        self.init(Matrix(rows: channelCount, columns: height * width), height: height, width: width)
    }
}

/// Doubles the size by repeating each pixel (`nn.Upsample(scale_factor=2, mode="nearest")`).
///
/// - Parameters:
///   - x: `[C, H·W]`.
///   - y: `[C, 2H·2W]`; overwritten.
public func upsampleNearest2x(_ x: FeatureMap, into y: FeatureMap) {
    precondition(
        y.channels.rows == x.channels.rows && y.height == 2 * x.height && y.width == 2 * x.width,
        "output \(y.channels.rows) x \(y.height) x \(y.width) for input \(x.channels.rows) x \(x.height) x \(x.width)")
    let (from, to, width) = (x.channels, y.channels, x.width)
    inParallel(from.rows, elementsPerItem: to.columns) { channels in
        for channel in channels {
            for row in 0..<x.height {
                let source = from.pointer + channel * from.stride + row * width
                let target = to.pointer + channel * to.stride + 4 * row * width
                for column in 0..<width {
                    target[2 * column] = source[column]
                    target[2 * column + 1] = source[column]
                }
                (target + 2 * width).update(from: target, count: 2 * width)
            }
        }
    }
}
