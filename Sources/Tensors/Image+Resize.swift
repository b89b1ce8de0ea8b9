extension Image {
    /// Bits behind the point of the weights: with eight bits of pixel and two of headroom they fill a 32-bit integer.
    private static let fractionBits: Int32 = 22

    /// Scales by cubic convolution, smoothing where it shrinks: to the last bit `resize((width, height), BICUBIC)` of
    /// Pillow.
    ///
    /// Each direction is rounded to eight bits by itself, with weights of 22 binary places, the horizontal first.
    ///
    /// - Parameters:
    ///   - width: Pixels in a row of the result, at least 1.
    ///   - height: Rows of the result, at least 1.
    /// - Returns: The scaled image.
    public func resized(width: Int, height: Int) -> Image {
        precondition(width > 0 && height > 0 && self.width > 0 && self.height > 0, "an empty image")
        var pixels = self.pixels
        if width != self.width {
            let table = BicubicTable(from: self.width, to: width)
            pixels = Self.resample(
                pixels, table, count: width, lines: self.height, sourceLine: 3 * self.width, sourceStep: 3,
                targetLine: 3 * width, targetStep: 3, run: 3)
        }
        if height != self.height {
            let table = BicubicTable(from: self.height, to: height)
            pixels = Self.resample(
                pixels, table, count: height, lines: 1, sourceLine: 0, sourceStep: 3 * width, targetLine: 0,
                targetStep: 3 * width, run: 3 * width)
        }
        return Image(width: width, height: height, pixels: pixels)
    }

    /// Combines runs of bytes that are `sourceStep` apart by the table's weights, line by line.
    private static func resample(
        _ source: [UInt8], _ table: BicubicTable, count: Int, lines: Int, sourceLine: Int, sourceStep: Int,
        targetLine: Int, targetStep: Int, run: Int
    ) -> [UInt8] {
        let unit = Double(1 << fractionBits)
        let weights = table.weights.map { Int32($0 * unit + ($0 < 0 ? -0.5 : 0.5)) }
        var sums = [Int32](repeating: 0, count: run)
        return [UInt8](unsafeUninitializedCapacity: max(lines * targetLine, count * targetStep)) {
            target, targetCount in
            for line in 0..<lines {
                for index in 0..<count {
                    for byte in 0..<run { sums[byte] = 1 << (fractionBits - 1) }
                    for tap in 0..<table.count[index] {
                        let weight = weights[index * table.width + tap]
                        let start = line * sourceLine + (table.first[index] + tap) * sourceStep
                        for byte in 0..<run { sums[byte] &+= Int32(source[start + byte]) &* weight }
                    }
                    let start = line * targetLine + index * targetStep
                    for byte in 0..<run { target[start + byte] = UInt8(min(max(sums[byte] >> fractionBits, 0), 255)) }
                }
            }
            targetCount = max(lines * targetLine, count * targetStep)
        }
    }

    /// A part of the image.
    ///
    /// - Parameters:
    ///   - x: The first pixel of each row.
    ///   - y: The first row.
    ///   - width: Pixels in a row.
    ///   - height: Rows.
    /// - Precondition: The part lies inside.
    /// - Returns: The part.
    public func cropped(x: Int, y: Int, width: Int, height: Int) -> Image {
        precondition(x >= 0 && y >= 0 && x + width <= self.width && y + height <= self.height, "a part outside")
        guard width != self.width || height != self.height else { return self }
        var part: [UInt8] = []
        part.reserveCapacity(3 * width * height)
        for row in y..<(y + height) {
            let start = 3 * (row * self.width + x)
            part += pixels[start..<(start + 3 * width)]
        }
        return Image(width: width, height: height, pixels: part)
    }

    /// The image as planes in 0...255, scaled as ``resized(width:height:)`` does but in floating point, as Pillow scales
    /// images of mode `F`: nothing is rounded, and values may lie beyond 0...255.
    ///
    /// - Parameters:
    ///   - width: Pixels in a row of the result, at least 1.
    ///   - height: Rows of the result, at least 1.
    /// - Returns: `[3, height * width]`.
    public func resizedPlanes(width: Int, height: Int) -> FeatureMap {
        precondition(width > 0 && height > 0 && self.width > 0 && self.height > 0, "an empty image")
        let (across, down) = (BicubicTable(from: self.width, to: width), BicubicTable(from: self.height, to: height))
        let result = FeatureMap(channelCount: 3, height: height, width: width)
        var rows = [Float](repeating: 0, count: self.height * width)
        for colour in 0..<3 {
            for row in 0..<self.height {
                for column in 0..<width {
                    if width == self.width {
                        rows[row * width + column] = Float(pixels[3 * (row * width + column) + colour])
                        continue
                    }
                    var sum = 0.0
                    for tap in 0..<across.count[column] {
                        let pixel = row * self.width + across.first[column] + tap
                        sum += Double(pixels[3 * pixel + colour]) * across.weights[column * across.width + tap]
                    }
                    rows[row * width + column] = Float(sum)
                }
            }
            let target = result.channels.pointer + colour * result.channels.stride
            for row in 0..<height {
                for column in 0..<width {
                    if height == self.height {
                        target[row * width + column] = rows[row * width + column]
                        continue
                    }
                    var sum = 0.0
                    for tap in 0..<down.count[row] {
                        sum +=
                            Double(rows[(down.first[row] + tap) * width + column])
                            * down.weights[row * down.width + tap]
                    }
                    target[row * width + column] = Float(sum)
                }
            }
        }
        return result
    }
}
