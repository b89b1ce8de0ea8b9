import Foundation
import Scoring
import Tensors
import TestSupport
import Testing

@Suite struct SSIMScorerTests {
    private struct Case: Decodable {
        let width, height, spread: Int
        let ssim: Double
    }

    private static let cases: [Case] = {
        let data = FileManager.default.contents(atPath: "\(Fixtures.folder)/scoring/ssim.json") ?? Data()
        return (try? JSONDecoder().decode([Case].self, from: data)) ?? []
    }()

    /// The images of `scripts/fixtures/make_ssim.py`.
    private static func images(_ width: Int, _ height: Int, spread: Int) -> (Image, Image) {
        var state = UInt32(spread)
        var (changed, reference): ([UInt8], [UInt8]) = ([], [])
        for y in 0..<height {
            for x in 0..<width {
                for colour in 0..<3 {
                    state = state &* 1_103_515_245 &+ 12345
                    let value = (x / 5 * 23 + y / 3 * 41 + colour * 60) % 256
                    reference.append(UInt8(value))
                    changed.append(UInt8(min(255, value + Int(state >> 16 & 255) * spread / 256)))
                }
            }
        }
        return (
            Image(width: width, height: height, pixels: changed), Image(width: width, height: height, pixels: reference)
        )
    }

    @Test func ssimEqualsScikitImages() throws {
        #expect(Self.cases.count == 6)
        for row in Self.cases {
            let (image, reference) = Self.images(row.width, row.height, spread: row.spread)
            let found = try SSIMScorer.ssim(image, reference: reference)
            #expect(abs(found - row.ssim) < 1e-12, "\(row): \(found)")
        }
    }

    @Test(arguments: [(1, 1), (3, 2), (10, 40)])
    func imagesSmallerThanTheWindowAreScored(_ width: Int, _ height: Int) throws {
        let (image, reference) = Self.images(width, height, spread: 120)
        #expect(try SSIMScorer.ssim(reference, reference: reference) == 1)
        let found = try SSIMScorer.ssim(image, reference: reference)
        #expect(found < 0.999 && found > -1)
    }

    @Test func referenceOfTheSameSizeIsRequired() {
        let image = Image(width: 2, height: 1, pixels: [0, 1, 2, 3, 4, 5])
        let other = Image(width: 1, height: 2, pixels: image.pixels)
        #expect(throws: ScoringError.missing(scorer: "ssim", what: "the uncached image")) {
            try SSIMScorer().scores(of: [ScoredImage(image: image, prompt: "")])
        }
        #expect(throws: ScoringError.imageSize(expected: "1x2 pixels", found: "2x1 pixels")) {
            try SSIMScorer().scores(of: [ScoredImage(image: image, prompt: "", reference: other)])
        }
    }
}
