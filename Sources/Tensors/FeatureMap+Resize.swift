extension FeatureMap {
    /// Scales until a size is covered, and cuts what is beyond it off on both sides.
    ///
    /// Linear between pixels' centres, without smoothing: `resize_and_crop_tensor` of diffusers.
    ///
    /// - Parameters:
    ///   - height: H of the result, at least 1.
    ///   - width: W of the result, at least 1.
    /// - Returns: The same channels, [C, H * W].
    public func covering(height: Int, width: Int) -> FeatureMap {
        precondition(height > 0 && width > 0 && self.height > 0 && self.width > 0, "an empty image")
        guard height != self.height || width != self.width else { return self }
        let ratio = max(Double(height) / Double(self.height), Double(width) / Double(self.width))
        // As the original: rounded down, where the side that decides may come out one short of what is wanted.
        let scaledHeight = max(height, Int(Double(self.height) * ratio))
        let scaledWidth = max(width, Int(Double(self.width) * ratio))
        return interpolated(
            rows: Self.taps(from: self.height, to: scaledHeight, first: (scaledHeight - height) / 2, count: height),
            columns: Self.taps(from: self.width, to: scaledWidth, first: (scaledWidth - width) / 2, count: width))
    }

    /// Scales linearly between pixels' centres, without smoothing
    /// (`interpolate(mode="bilinear", align_corners=False)` of torch).
    ///
    /// - Parameters:
    ///   - height: H of the result, at least 1.
    ///   - width: W of the result, at least 1.
    /// - Returns: The same channels, [C, H * W].
    public func interpolated(height: Int, width: Int) -> FeatureMap {
        precondition(height > 0 && width > 0 && self.height > 0 && self.width > 0, "an empty image")
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
                    let top = above[column.first] * (1 - column.share) + above[column.second] * column.share
                    let bottom = below[column.first] * (1 - column.share) + below[column.second] * column.share
                    target[y * width + x] = top * (1 - row.share) + bottom * row.share
                }
            }
        }
        return result
    }

    /// Two neighbours, and the second one's share of the value between them.
    private struct Tap {
        let first, second: Int
        let share: Float
    }

    private static func taps(from length: Int, to scaled: Int, first: Int, count: Int) -> [Tap] {
        let step = Float(length) / Float(scaled)
        return (first..<(first + count)).map { index in
            let position = max(0, (Float(index) + 0.5) * step - 0.5)
            let lower = min(Int(position), length - 1)
            return Tap(first: lower, second: min(lower + 1, length - 1), share: position - Float(lower))
        }
    }
}
