import Foundation

/// The scorers of images, by the names that configurations, messages and histories have for them.
///
/// Of every score a larger value is better.
public enum ScorerKind: String, Sendable, CaseIterable {
    /// Peak signal-to-noise ratio against the uncached image, in dB.
    case psnr
    /// Structural similarity to the uncached image, at most 1.
    case ssim
    /// Minus the relative L2 error of the final latents against the uncached ones: 0 where they are equal.
    case latentError = "latent-error"
    /// Image Reward: how well people would like the image for its prompt.
    case imageReward = "image-reward"
    /// The lower of the image's and the uncached image's Image Reward, so that nothing is better than the uncached images.
    case imageRewardClipped = "image-reward-clipped"
    /// CLIP score: 100 times the cosine of the image's and the prompt's features.
    case clip

    /// Those that compare an image with the uncached one of the same prompt and seed; they need no model.
    public static let paired: [ScorerKind] = [.psnr, .ssim, .latentError]
    /// Those that a model of their own computes.
    public static let modelled: [ScorerKind] = [.imageReward, .clip]

    /// The scorer whose model this one computes with, of those in ``modelled``; nil if it needs none.
    public var model: ScorerKind? {
        switch self {
        case .psnr, .ssim, .latentError: nil
        case .imageReward, .imageRewardClipped: .imageReward
        case .clip: .clip
        }
    }

    /// What pictures call it.
    public var title: String {
        switch self {
        case .psnr: "PSNR against the uncached image, dB"
        case .ssim: "SSIM to the uncached image"
        case .latentError: "minus the relative error of the latents"
        case .imageReward: "Image Reward"
        case .imageRewardClipped: "Image Reward, no image counted better than uncached"
        case .clip: "CLIP score"
        }
    }

    /// A score in words.
    public func text(_ value: Double) -> String {
        switch self {
        case .psnr: String(format: "%.1f dB", value)
        case .clip: String(format: "CLIP %.1f", value)
        case .ssim, .latentError, .imageReward, .imageRewardClipped: "\(rawValue) " + String(format: "%.3f", value)
        }
    }

    /// The quality of the hypervolume's reference point: what no schedule of use falls below.
    public var worst: Double {
        switch self {
        case .psnr, .ssim, .clip: 0
        case .latentError: -1.5
        case .imageReward, .imageRewardClipped: -3
        }
    }

    /// How far two workers' scores of one image may lie apart.
    ///
    /// Their last bits differ by processor and BLAS kernel. On an image that equals its reference but for a few rounded
    /// pixels that moves PSNR by some tenths of a decibel; wrong arithmetic moves it by many.
    public func tolerance(_ value: Double) -> Double {
        switch self {
        case .psnr: 1 + 0.02 * abs(value)
        case .ssim: 0.02
        case .latentError: 0.01 + 0.02 * abs(value)
        case .imageReward, .imageRewardClipped: 0.1
        case .clip: 1
        }
    }
}
