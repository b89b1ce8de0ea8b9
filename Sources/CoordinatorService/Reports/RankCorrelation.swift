/// How far two numberings of the same things agree in order.
enum RankCorrelation {
    /// Spearman's coefficient: the correlation of the ranks, equal values sharing the mean of theirs.
    ///
    /// - Returns: From -1 to 1; nil for fewer than two things, and where one side has no order at all.
    static func spearman(_ a: [Double], _ b: [Double]) -> Double? {
        guard a.count == b.count, a.count > 1 else { return nil }
        let (x, y) = (ranks(a), ranks(b))
        let mean = Double(a.count - 1) / 2
        var product = 0.0
        var squares = (x: 0.0, y: 0.0)
        for (first, second) in zip(x, y) {
            product += (first - mean) * (second - mean)
            squares.x += (first - mean) * (first - mean)
            squares.y += (second - mean) * (second - mean)
        }
        guard squares.x > 0, squares.y > 0 else { return nil }
        return product / (squares.x * squares.y).squareRoot()
    }

    /// Ranks from 0, the mean of their places for equal values.
    private static func ranks(_ values: [Double]) -> [Double] {
        let order = values.indices.sorted { values[$0] < values[$1] }
        var ranks = [Double](repeating: 0, count: values.count)
        var start = 0
        while start < order.count {
            var end = start
            while end + 1 < order.count, values[order[end + 1]] == values[order[start]] { end += 1 }
            for place in start...end { ranks[order[place]] = Double(start + end) / 2 }
            start = end + 1
        }
        return ranks
    }
}
