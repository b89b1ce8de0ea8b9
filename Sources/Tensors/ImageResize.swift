extension Image {
    /// Fractional bits of the weights; with eight bits of pixel and two of headroom they fill a 32-bit integer.
    private static let fractionBits: Int32 = 22

    /// Resizes by cubic convolution, with antialiasing when shrinking.
    ///
    /// Bit-identical to `resize((width, height), BICUBIC)` of Pillow 11; Pillow 13 processes the vertical direction first
    /// for some sizes. The horizontal pass comes first; each pass uses weights with 22 fractional bits and rounds to
    /// eight bits.
    ///
    /// - Precondition: Both images have at least one pixel.
    public func resized(width: Int, height: Int) -> Image {
        precondition(width > 0 && height > 0 && self.width > 0 && self.height > 0, "an image must not be empty")
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

    /// The image with a longest edge of at most `edge` pixels, in the same proportions; unchanged if it is no larger.
    public func reduced(toEdge edge: Int?) -> Image {
        guard let edge, edge > 0, max(width, height) > edge else { return self }
        let scale = Double(edge) / Double(max(width, height))
        func scaled(_ length: Int) -> Int { max(1, Int((Double(length) * scale).rounded())) }
        return resized(width: scaled(width), height: scaled(height))
    }

    /// Weighted sums of runs of bytes that are `sourceStep` apart, line by line.
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

    /// The rectangle with its top left corner at column `x` and row `y`.
    ///
    /// - Precondition: The rectangle lies inside the image.
    public func cropped(x: Int, y: Int, width: Int, height: Int) -> Image {
        precondition(
            x >= 0 && y >= 0 && x + width <= self.width && y + height <= self.height, "the rectangle exceeds the image")
        guard width != self.width || height != self.height else { return self }
        var cropped: [UInt8] = []
        cropped.reserveCapacity(3 * width * height)
        for row in y..<(y + height) {
            let start = 3 * (row * self.width + x)
            cropped += pixels[start..<(start + 3 * width)]
        }
        return Image(width: width, height: height, pixels: cropped)
    }

    /// The colour planes resized as by ``resized(width:height:)`` but in floating point, as Pillow resizes images of mode
    /// `F`.
    ///
    /// - Parameters:
    ///   - width: Pixels per row of the result, at least 1.
    ///   - height: Rows of the result, at least 1.
    /// - Returns: `[3, height · width]`, nominally in 0...255; not rounded, and overshoots are not clamped.
    public func resizedPlanes(width: Int, height: Int) -> FeatureMap {
        precondition(width > 0 && height > 0 && self.width > 0 && self.height > 0, "an image must not be empty")
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

/// The weights of a cubic convolution (a = -0.5) along one side, widened for antialiasing when shrinking.
///
/// Pillow's `precompute_coeffs` for `BICUBIC`, in double precision as there.
private struct BicubicTable {
    /// First source position of each output.
    let first: [Int]
    /// Number of source positions of each output.
    let count: [Int]
    /// Distance between the weights of two outputs.
    let width: Int
    /// `width` weights per output, zero-padded; they sum to 1.
    let weights: [Double]

    init(from length: Int, to target: Int) {
        let scale = Double(length) / Double(target)
        let filterScale = max(scale, 1)
        let support = 2 * filterScale
        width = Int(support.rounded(.up)) * 2 + 1
        var first = [Int](repeating: 0, count: target)
        var count = first
        var weights = [Double](repeating: 0, count: target * width)
        for index in 0..<target {
            let centre = (Double(index) + 0.5) * scale
            let start = max(0, Int(centre - support + 0.5))
            let end = min(length, Int(centre + support + 0.5))
            var sum = 0.0
            for position in start..<end {
                let weight = Self.cubic((Double(position) - centre + 0.5) * (1 / filterScale))
                weights[index * width + position - start] = weight
                sum += weight
            }
            if sum != 0 { for tap in 0..<(end - start) { weights[index * width + tap] /= sum } }
            (first[index], count[index]) = (start, end - start)
        }
        (self.first, self.count, self.weights) = (first, count, weights)
    }

    private static func cubic(_ distance: Double) -> Double {
        let (a, x) = (-0.5, abs(distance))
        if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
        if x < 2 { return (((x - 5) * x + 8) * x - 4) * a }
        return 0
    }
}
