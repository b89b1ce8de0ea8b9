/// A multi-channel image, the input and output of convolutions.
public struct FeatureMap: Sendable {
    /// `[C, H·W]`, one row per channel, pixels in row-major order.
    public let channels: Matrix
    /// H, in pixels.
    public let height: Int
    /// W, in pixels.
    public let width: Int

    /// A feature map over an existing matrix `[C, H·W]`.
    public init(_ channels: Matrix, height: Int, width: Int) {
        precondition(
            channels.columns == height * width, "\(channels.columns) columns for \(height) x \(width) pixels")
        self.channels = channels
        self.height = height
        self.width = width
    }

    /// A new feature map of zeros.
    public init(channelCount: Int, height: Int, width: Int) {
        self.init(Matrix(rows: channelCount, columns: height * width), height: height, width: width)
    }
}

extension FeatureMap {
    /// Scales until the target size is covered, then crops the centre: `resize_and_crop_tensor` of diffusers.
    ///
    /// Bilinear interpolation without antialiasing.
    ///
    /// - Parameters:
    ///   - height: H of the result, at least 1.
    ///   - width: W of the result, at least 1.
    /// - Returns: The same channels, `[C, H·W]`.
    public func resizedAndCropped(height: Int, width: Int) -> FeatureMap {
        precondition(height > 0 && width > 0 && self.height > 0 && self.width > 0, "an image must not be empty")
        guard height != self.height || width != self.width else { return self }
        let ratio = max(Double(height) / Double(self.height), Double(width) / Double(self.width))
        // The original rounds down, which can leave the side that determines the ratio one pixel short.
        let scaledHeight = max(height, Int(Double(self.height) * ratio))
        let scaledWidth = max(width, Int(Double(self.width) * ratio))
        return interpolated(
            rows: Self.taps(from: self.height, to: scaledHeight, first: (scaledHeight - height) / 2, count: height),
            columns: Self.taps(from: self.width, to: scaledWidth, first: (scaledWidth - width) / 2, count: width))
    }

    /// Bilinear interpolation without antialiasing (`interpolate(mode="bilinear", align_corners=False)` of PyTorch).
    ///
    /// - Parameters:
    ///   - height: H of the result, at least 1.
    ///   - width: W of the result, at least 1.
    /// - Returns: The same channels, `[C, H·W]`.
    public func interpolated(height: Int, width: Int) -> FeatureMap {
        precondition(height > 0 && width > 0 && self.height > 0 && self.width > 0, "an image must not be empty")
        guard height != self.height || width != self.width else { return self }
        return interpolated(
            rows: Self.taps(from: self.height, to: height, first: 0, count: height),
            columns: Self.taps(from: self.width, to: width, first: 0, count: width))
    }

    private func interpolated(rows: [Tap], columns: [Tap]) -> FeatureMap {
        let (height, width) = (rows.count, columns.count)
        let result = FeatureMap(channelCount: channels.rows, height: height, width: width)
        for channel in 0..<channels.rows {
            let source = channels.pointer + channel * channels.stride
            let target = result.channels.pointer + channel * result.channels.stride
            for (y, row) in rows.enumerated() {
                let (above, below) = (source + row.first * self.width, source + row.second * self.width)
                for (x, column) in columns.enumerated() {
                    let top = above[column.first] * (1 - column.weight) + above[column.second] * column.weight
                    let bottom = below[column.first] * (1 - column.weight) + below[column.second] * column.weight
                    target[y * width + x] = top * (1 - row.weight) + bottom * row.weight
                }
            }
        }
        return result
    }

    /// Two adjacent source positions and the weight of the second.
    private struct Tap {
        let first, second: Int
        let weight: Float
    }

    private static func taps(from length: Int, to scaled: Int, first: Int, count: Int) -> [Tap] {
        let step = Float(length) / Float(scaled)
        return (first..<(first + count)).map { index in
            let position = max(0, (Float(index) + 0.5) * step - 0.5)
            let lower = min(Int(position), length - 1)
            return Tap(first: lower, second: min(lower + 1, length - 1), weight: position - Float(lower))
        }
    }
}
