/// The weights of a resize of one side by cubic convolution (a = -0.5) that is wide enough to smooth when it shrinks.
///
/// Pillow's `precompute_coeffs` for `BICUBIC`, in double precision as there.
struct BicubicTable {
    /// The first source position of each result.
    let first: [Int]
    /// The number of source positions of each result.
    let count: [Int]
    /// Room for one result's weights.
    let width: Int
    /// The weights, `width` for each result; they sum to 1.
    let weights: [Double]

    /// The table from a length to another.
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
