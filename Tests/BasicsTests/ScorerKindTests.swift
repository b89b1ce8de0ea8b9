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

    @Test func scoresHaveTitlesForReaders() {
        #expect(ScorerKind.imageRewardClipped.text(0.7926) == "Image Reward, clipped 0.793")
        #expect(ScorerKind.psnr.text(31.24) == "31.2 dB" && ScorerKind.clip.text(27.04) == "CLIP score 27.0")
        for kind in ScorerKind.allCases where kind != .psnr {
            #expect(kind.text(0.5).hasPrefix("\(kind.title) ") && kind.title != kind.rawValue)
        }
        #expect(Set(ScorerKind.allCases.map(\.title)).count == ScorerKind.allCases.count)
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
