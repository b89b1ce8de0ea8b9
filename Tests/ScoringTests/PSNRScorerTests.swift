import Foundation
import Scoring
import Tensors
import Testing

@Suite struct PSNRScorerTests {
    private func image(_ pixels: [UInt8], width: Int = 2) -> Image {
        Image(width: width, height: pixels.count / 3 / width, pixels: pixels)
    }

    @Test func identicalImagesScoreTheMaximum() throws {
        let some = image([0, 128, 255, 3, 4, 5])
        #expect(try PSNRScorer.psnr(some, reference: some) == 100)
        #expect(PSNRScorer.maximum == 100)
    }

    /// Squared errors of all six values: 10 log10(255² / (sum / 6)).
    @Test(
        arguments: [
            ([10, 0, 0, 0, 0, 0], 100), ([3, 0, 4, 0, 0, 12], 169), ([255, 255, 255, 255, 255, 255], 6 * 255 * 255),
        ] as [([UInt8], Double)])
    func scoreFollowsTheMeanSquaredError(_ pixels: [UInt8], _ squares: Double) throws {
        let psnr = try PSNRScorer.psnr(image(pixels), reference: image([0, 0, 0, 0, 0, 0]))
        #expect(abs(psnr - 10 * log10(255 * 255 / (squares / 6))) < 1e-12)
        #expect(try PSNRScorer.psnr(image([0, 0, 0, 0, 0, 0]), reference: image(pixels)) == psnr)
    }

    @Test func extremeDifferencesHaveExactScores() throws {
        let black = image([UInt8](repeating: 0, count: 6))
        #expect(try PSNRScorer.psnr(image([UInt8](repeating: 255, count: 6)), reference: black) == 0)
        let one = try PSNRScorer.psnr(image([UInt8](repeating: 1, count: 6)), reference: black)
        #expect(abs(one - 48.130803608679) < 1e-9)
    }

    /// A difference of 1 in one of n values: 48.13 + 10 log10(n) dB, up to the maximum.
    @Test func smallestDifferenceIsBelowTheMaximumForSmallImages() throws {
        for (side, expected) in [(40, 48.1308036086791 + 10 * log10(4800.0)), (300, 100)] {
            var pixels = [UInt8](repeating: 9, count: side * side * 3)
            let reference = image(pixels, width: side)
            pixels[77] = 10
            #expect(abs(try PSNRScorer.psnr(image(pixels, width: side), reference: reference) - expected) < 1e-9)
        }
    }

    @Test func imagesOfDifferentSizesAreRejected() {
        let (wide, high) = (
            image([UInt8](repeating: 0, count: 12), width: 4), image([UInt8](repeating: 0, count: 12), width: 1)
        )
        #expect(throws: ScoringError.imageSize(expected: "1x4 pixels", found: "4x1 pixels")) {
            try PSNRScorer.psnr(wide, reference: high)
        }
        #expect(
            "\(ScoringError.imageSize(expected: "1x4 pixels", found: "4x1 pixels"))"
                == "image size is 4x1 pixels; expected 1x4 pixels like the reference")
    }
}
