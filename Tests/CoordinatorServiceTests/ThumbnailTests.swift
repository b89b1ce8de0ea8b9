import Foundation
import History
import Messages
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

    /// The beginning of a PNG file of a size, and zeros.
    private static func png(width: UInt32 = 16, height: UInt32 = 16, bytes: Int = 100) -> [UInt8] {
        let head: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52]
        let sizes = [width, height].flatMap { value in (0..<4).map { UInt8(value >> (24 - 8 * $0) & 255) } }
        return Array((head + sizes + [UInt8](repeating: 0, count: max(0, bytes - 24))).prefix(bytes))
    }

    @Test func imagesThatWereNotRequestedAreRefused() throws {
        // Three prompts; those of the first four, with seed 0, are kept.
        let context = try FakeCluster().calibration.context
        func accepts(prompt: Int = 0, seed: Int64 = 0, _ png: [UInt8]) -> Bool {
            context.accepts(Thumbnail(candidateID: 1, image: ImageKey(prompt: prompt, seed: seed), png: png))
        }
        #expect(accepts(Self.png()) && accepts(prompt: 2, Self.png()))
        #expect(!accepts(prompt: 4, Self.png()) && !accepts(seed: 1, Self.png()))
    }

    @Test func bytesThatAreNoPNGOfTheRequestedSizeAreRefused() throws {
        let context = try FakeCluster().calibration.context
        let edge = context.configuration.thumbnailPixels
        let limit = 4 * edge * edge + 1024
        #expect(edge == 192)
        #expect(context.isThumbnail(Self.png(width: 192, height: 1, bytes: limit)))
        #expect(!context.isThumbnail(Self.png(bytes: limit + 1)))
        #expect(!context.isThumbnail(Self.png(width: 193)) && !context.isThumbnail(Self.png(height: 60_000)))
        #expect(!context.isThumbnail(Self.png(width: 0)) && !context.isThumbnail(Self.png(height: 0)))
        #expect(!context.isThumbnail(Self.png(bytes: 23)) && !context.isThumbnail([]))
        #expect(!context.isThumbnail(Array("<svg onload=alert(1)>".utf8)))
        for index in 0..<16 {
            var damaged = Self.png()
            damaged[index] ^= 0x20
            #expect(!context.isThumbnail(damaged), "byte \(index)")
        }
    }

    @Test func resultWithAnOversizedImageCountsWithoutIt() throws {
        let cluster = try FakeCluster()
        let assignment = try cluster.joinAndRequest("w")
        let images = [Self.png(), Self.png(width: 5000, height: 5000)]
        var count = 0
        let result = Messages.TaskResult(of: assignment, seconds: 1) { _, image in
            image.scores = ["psnr": 30]
            image.denoiseSeconds = 0.5
            image.referenceSeconds = 1
            image.png = Data(images[count % 2])
            count += 1
        }
        try cluster.send(.taskResult(result), by: "w")
        #expect(count > 1)
        #expect(try cluster.integer("SELECT count(*) FROM image_scores") == Int64(count))
        #expect(try cluster.integer("SELECT count(*) FROM thumbnails") == Int64((count + 1) / 2))
    }
}
