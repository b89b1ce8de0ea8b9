import Basics
import Foundation
import ModelConfiguration
import Models
import Tensors

/// An image and the inputs that scorers compare it with.
public struct ScoredImage: Sendable {
    /// The image to score.
    public var image: Image
    /// The prompt it was generated from.
    public var prompt: String
    /// The uncached image with the same prompt, seed, size and steps.
    public var reference: Image?
    /// The final latents, `[1, C·h·w]`.
    public var latents: Matrix?
    /// The final latents of the reference, `[1, C·h·w]`.
    public var referenceLatents: Matrix?

    /// Bundles an image with its inputs; scorers report missing ones.
    public init(
        image: Image, prompt: String, reference: Image? = nil, latents: Matrix? = nil, referenceLatents: Matrix? = nil
    ) {
        self.image = image
        self.prompt = prompt
        self.reference = reference
        self.latents = latents
        self.referenceLatents = referenceLatents
    }
}

/// Maps images to scores; larger is better.
///
/// To add a scorer, conform to this protocol and add a case to `ScorerKind`. Scorers are not thread-safe.
public protocol Scorer: AnyObject {
    /// The name under which scores are stored.
    var name: String { get }

    /// Scores a batch; a score does not depend on the other images of the batch.
    ///
    /// - Parameter batch: The images, which a network may process together.
    /// - Returns: One score for each image; not finite if a network overflows.
    /// - Throws: ``ScoringError`` if an image lacks an input, `ModelsError`.
    func scores(of batch: [ScoredImage]) throws -> [Double]
}

/// A scorer and the directory of its model.
public struct ScorerSource: Sendable, Hashable {
    /// The kind of scorer.
    public let kind: ScorerKind
    /// The model directory; empty for scorers without a model.
    public let folder: String

    /// Selects a scorer; those with a model need its directory.
    public init(_ kind: ScorerKind, folder: String = "") {
        self.kind = kind
        self.folder = folder
    }

    /// Detects the scorer of a model directory by the `model_type` in its `config.json`; nil if there is none.
    public init?(folder: String) {
        let path = "\(folder)/config.json"
        guard FileManager.default.fileExists(atPath: path), let configuration = try? Configuration(path: path),
            let type = try? configuration.string("model_type"),
            let kind = ScorerKind.modelled.first(where: { $0.rawValue == type })
        else { return nil }
        self.init(kind, folder: folder)
    }

    /// Checks all weights of the scorer's model, to explain a score that is not finite.
    ///
    /// - Throws: `NonFiniteError.weight` for a weight that is infinite or NaN.
    public func requireFiniteWeights() throws {
        guard !folder.isEmpty else { return }
        let error = NonFiniteError(stage: "the scorer \(kind.rawValue)", folder: folder)
        if case .weight = error { throw error }
    }

    /// The scorers that compare an image with the uncached one.
    public static let paired = ScorerKind.paired.map { ScorerSource($0) }

    /// Opens scorers; those with the same reward model share it and its latest results.
    ///
    /// - Throws: `ModelsError`, `TensorsError` if a model cannot be read.
    public static func open(_ sources: [ScorerSource]) throws -> [any Scorer] {
        var rewards: [String: ImageRewardScorer] = [:]
        func reward(_ folder: String) throws -> ImageRewardScorer {
            if let scorer = rewards[folder] { return scorer }
            let scorer = try ImageRewardScorer(folder: folder)
            rewards[folder] = scorer
            return scorer
        }
        return try sources.map { source in
            switch source.kind {
            case .psnr: PSNRScorer()
            case .ssim: SSIMScorer()
            case .latentError: LatentErrorScorer()
            case .imageReward: try reward(source.folder)
            case .imageRewardClipped: ClippedRewardScorer(try reward(source.folder))
            case .clip: try CLIPScorer(folder: source.folder)
            }
        }
    }
}
