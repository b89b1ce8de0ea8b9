import Basics
import Testing

@Suite struct ScorerKindTests {
    @Test func currentNamesSurviveCoding() {
        for kind in ScorerKind.allCases {
            #expect(ScorerKind(rawValue: kind.rawValue) == kind)
            #expect(ScorerKind.allCases.filter { $0.isNamed(kind.rawValue) } == [kind])
        }
        #expect(ScorerKind(rawValue: "image-reward-clip") == nil)
    }

    /// Histories, configurations and messages of earlier versions contain them.
    @Test func formerNamesAreAccepted() {
        #expect(ScorerKind(rawValue: "image-reward-kept") == .imageRewardClipped)
        #expect(ScorerKind.imageRewardClipped.isNamed("image-reward-kept"))
        #expect(!ScorerKind.imageReward.isNamed("image-reward-kept"))
        #expect(ScorerKind.imageRewardClipped.rawValue == "image-reward-clipped")
        #expect(ScorerKind.imageRewardClipped.originalName == "image-reward-kept")
        #expect(ScorerKind.psnr.originalName == "psnr")
    }
}
