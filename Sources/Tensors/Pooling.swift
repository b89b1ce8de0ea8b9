/// Average pooling over 3 x 3 windows; padding does not count
/// (`avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)`).
///
/// - Parameters:
///   - x: `[C, H·W]`.
///   - y: The shape of `x`; overwritten, must not overlap `x`.
public func averagePool3x3(_ x: FeatureMap, into y: FeatureMap) {
    requireSameShape(x.channels, y.channels)
    pool(x, into: y, stride: 1, padding: 1) { window, source, width in
        var sum: Float = 0
        for row in window.rows { for column in window.columns { sum += source[row * width + column] } }
        return sum / Float(window.rows.count * window.columns.count)
    }
}

/// Max pooling over 3 x 3 windows (`max_pool2d(x, 3, stride, padding)`).
///
/// - Parameters:
///   - x: `[C, H·W]`.
///   - stride: The step between two windows.
///   - padding: Pixels by which windows may extend beyond the edges; those do not count.
///   - y: `[C, H'·W']` with `H' = (H + 2 padding - 3) / stride + 1`; overwritten, must not
///     overlap `x`.
public func maxPool3x3(_ x: FeatureMap, stride: Int, padding: Int = 0, into y: FeatureMap) {
    pool(x, into: y, stride: stride, padding: padding) { window, source, width in
        var largest = -Float.infinity
        for row in window.rows {
            for column in window.columns {
                let value = source[row * width + column]
                // As in PyTorch, NaN wins over every number.
                if value > largest || value.isNaN { largest = value }
            }
        }
        return largest
    }
}

/// Global average pooling: the mean of each channel of `[C, H·W]`, summed in double precision.
///
/// - Parameter x: `[C, H·W]`.
/// - Returns: `[1, C]`.
public func channelMeans(_ x: FeatureMap) -> Matrix {
    let means = Matrix(rows: 1, columns: x.channels.rows)
    for channel in 0..<x.channels.rows {
        let values = UnsafeBufferPointer(
            start: x.channels.pointer + channel * x.channels.stride, count: x.channels.columns)
        means[0, channel] = Float(values.reduce(0.0) { $0 + Double($1) } / Double(x.channels.columns))
    }
    return means
}

private struct PoolWindow {
    let rows, columns: Range<Int>
}

private func pool(
    _ x: FeatureMap, into y: FeatureMap, stride: Int, padding: Int,
    _ reduce: (PoolWindow, UnsafePointer<Float>, Int) -> Float
) {
    precondition(
        x.channels.rows == y.channels.rows && y.height == (x.height + 2 * padding - 3) / stride + 1
            && y.width == (x.width + 2 * padding - 3) / stride + 1,
        "output \(y.height) x \(y.width) for input \(x.height) x \(x.width)")
    func range(_ index: Int, _ length: Int) -> Range<Int> {
        let start = index * stride - padding
        return max(0, start)..<min(length, start + 3)
    }
    inParallel(x.channels.rows, elementsPerItem: 9 * y.channels.columns) { channels in
        for channel in channels {
            let source = UnsafePointer(x.channels.pointer + channel * x.channels.stride)
            let target = y.channels.pointer + channel * y.channels.stride
            for row in 0..<y.height {
                let rows = range(row, x.height)
                for column in 0..<y.width {
                    let window = PoolWindow(rows: rows, columns: range(column, x.width))
                    target[row * y.width + column] = reduce(window, source, x.width)
                }
            }
        }
    }
}
