import Testing

@testable import CoordinatorService

@Suite struct ThumbnailTests {
    @Test(arguments: 1...40, [1, 2, 3, 7, 40])
    func membersThatKeepImagesAreSpreadOverTheFront(count: Int, limit: Int) {
        let front = (0..<count).map(Int64.init)
        let kept = Calibration.spread(front, to: limit)
        #expect(kept.count == min(count, limit) && Set(kept).count == kept.count && Set(kept).isSubset(of: front))
        if limit > 1 { #expect(kept.contains(0) && kept.contains(front[count - 1])) }
        // A prefix, which is what fits into the bytes, has no gap of more than twice its mean distance.
        let prefix = kept.prefix(max(2, kept.count / 2)).sorted()
        let gaps = zip(prefix, prefix.dropFirst()).map { $1 - $0 }
        if limit > 3, count > limit {
            #expect(Double(gaps.max() ?? 0) <= 2.5 * Double(count) / Double(prefix.count), "\(kept)")
        }
    }

    @Test func emptyFrontKeepsNothing() { #expect(Calibration.spread([], to: 5).isEmpty) }
}
