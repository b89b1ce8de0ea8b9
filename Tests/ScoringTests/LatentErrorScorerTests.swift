import Scoring
import Tensors
import Testing

@Suite struct LatentErrorScorerTests {
    private func score(_ latents: [Float]?, _ reference: [Float]?) throws -> Double {
        let image = ScoredImage(
            image: Image(width: 0, height: 0, pixels: []), prompt: "",
            latents: latents.map { Matrix($0, rows: 1, columns: $0.count) },
            referenceLatents: reference.map { Matrix($0, rows: 1, columns: $0.count) })
        return try LatentErrorScorer().scores(of: [image])[0]
    }

    @Test func equalLatentsScoreZero() throws {
        #expect(try score([1, -2, 3], [1, -2, 3]) == 0)
    }

    @Test func scoreIsTheNegativeRelativeError() throws {
        #expect(try score([6, 8, 0], [3, 4, 0]) == -1)
        #expect(try score([0, 0], [3, 4]) == -1)
        #expect(try score([3.5, 4], [3, 4]) == -0.1)
    }

    @Test func zeroReferenceScoresNegativeInfinity() throws {
        #expect(try score([1], [0]) == -.infinity)
        #expect(try score([0], [0]) == 0)
    }

    @Test func missingOrMismatchedLatentsAreErrors() {
        #expect(throws: ScoringError.missing(scorer: "latent-error", what: "latents")) { try score(nil, [1]) }
        #expect(throws: ScoringError.missing(scorer: "latent-error", what: "latents of an uncached image")) {
            try score([1], nil)
        }
        #expect(throws: ScoringError.self) { try score([1, 2], [1]) }
    }

    @Test func pairedScorersHaveTheirStoredNames() throws {
        #expect(try ScorerSource.open(ScorerSource.paired).map(\.name) == ["psnr", "ssim", "latent-error"])
    }
}
