import Foundation

/// The scorers of images; raw values are their names in configurations, messages and histories.
///
/// A larger score is better for every scorer. The type is in this module because coordinator and engine share it, while
/// the coordinator does not depend on the engine.
public enum ScorerKind: String, Sendable, CaseIterable {
    /// Peak signal-to-noise ratio against the uncached image, in dB.
    case psnr
    /// Structural similarity to the uncached image, at most 1.
    case ssim
    /// Minus the relative L2 error of the final latents against the uncached ones; 0 if they are equal.
    case latentError = "latent-error"
    /// Image Reward (arXiv 2304.05977): predicted human preference for the image, given its prompt.
    case imageReward = "image-reward"
    /// The Image Reward, clipped at that of the uncached image.
    case imageRewardClipped = "image-reward-clipped"
    /// CLIP score: 100 times the cosine similarity of the image's and the prompt's features.
    case clip

    /// Scorers that compare an image with the uncached one of the same prompt and seed; they need no model.
    public static let paired: [ScorerKind] = [.psnr, .ssim, .latentError]
    /// Scorers with a model of their own.
    public static let modelled: [ScorerKind] = [.imageReward, .clip]

    /// Names that earlier versions wrote to histories, configurations and messages.
    public static let formerNames: [String: ScorerKind] = ["image-reward-kept": .imageRewardClipped]

    /// The scorer with a current or former name.
    public init?(rawValue name: String) {
        guard let kind = Self.allCases.first(where: { $0.rawValue == name }) ?? Self.formerNames[name] else {
            return nil
        }
        self = kind
    }

    /// Whether a stored name, current or former, means this scorer.
    public func isNamed(_ name: String) -> Bool { name == rawValue || Self.formerNames[name] == self }

    /// The first name that the scorer had; hashes of runs contain it, so that renaming a scorer does not change them.
    public var originalName: String { Self.formerNames.first { $0.value == self }?.key ?? rawValue }

    /// All names, current and former.
    public var names: [String] { [rawValue] + Self.formerNames.filter { $0.value == self }.keys.sorted() }

    /// The scorer whose model this one uses, one of ``modelled``; nil if it needs none.
    public var model: ScorerKind? {
        switch self {
        case .psnr, .ssim, .latentError: nil
        case .imageReward, .imageRewardClipped: .imageReward
        case .clip: .clip
        }
    }

    /// Name and unit for readers: in the dashboard, on the contact sheet and in the status line.
    public var title: String {
        switch self {
        case .psnr: "PSNR (dB)"
        case .ssim: "SSIM"
        case .latentError: "latent error (negative)"
        case .imageReward: "Image Reward"
        case .imageRewardClipped: "Image Reward, clipped"
        case .clip: "CLIP score"
        }
    }

    /// The axis title in plots.
    public var axisTitle: String {
        switch self {
        case .psnr: "PSNR against the uncached image, dB"
        case .ssim: "SSIM to the uncached image"
        case .latentError: "minus the relative error of the latents"
        case .imageReward: "Image Reward"
        case .imageRewardClipped: "Image Reward, clipped at the uncached image's"
        case .clip: "CLIP score"
        }
    }

    /// A score with its unit or ``title``, such as "31.2 dB".
    public func text(_ value: Double) -> String {
        switch self {
        case .psnr: String(format: "%.1f dB", value)
        case .clip: "\(title) " + String(format: "%.1f", value)
        case .ssim, .latentError, .imageReward, .imageRewardClipped: "\(title) " + String(format: "%.3f", value)
        }
    }

    /// The quality of the hypervolume's reference point, below that of every useful schedule.
    public var worst: Double {
        switch self {
        case .psnr, .ssim, .clip: 0
        case .latentError: -1.5
        case .imageReward, .imageRewardClipped: -3
        }
    }

    /// The largest difference between two workers' scores of one image that counts as agreement.
    ///
    /// Scores differ in their last bits between processors and BLAS kernels. On an image that equals its reference
    /// except for a few rounded pixels, that changes PSNR by tenths of a decibel; wrong arithmetic changes it by many.
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
