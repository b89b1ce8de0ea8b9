import Foundation
import ModelConfiguration
import Models
import Schedules

/// Which scorer to apply, and the folder of its model if it has one.
public struct ScorerSource: Sendable, Hashable {
    /// The scorer.
    public let kind: ScorerKind
    /// The folder of its model; empty for scorers without.
    public let folder: String

    /// A scorer.
    ///
    /// - Parameters:
    ///   - kind: The scorer.
    ///   - folder: The folder of its model.
    public init(_ kind: ScorerKind, folder: String = "") {
        self.kind = kind
        self.folder = folder
    }

    /// The scorer whose model a folder holds, by the `model_type` of its `config.json`; nil if it holds none.
    ///
    /// - Parameter folder: Any folder.
    public init?(folder: String) {
        let path = "\(folder)/config.json"
        guard FileManager.default.fileExists(atPath: path), let configuration = try? Configuration(path: path),
            let type = try? configuration.string("model_type"),
            let kind = ScorerKind.modelled.first(where: { $0.rawValue == type })
        else { return nil }
        self.init(kind, folder: folder)
    }

    /// The scorers that compare an image with the uncached one.
    public static let paired = ScorerKind.paired.map { ScorerSource($0) }

    /// Opens the scorer.
    ///
    /// - Throws: `ModelsError`, `TensorsError` for a model that cannot be read.
    public func open() throws -> any Scorer {
        switch kind {
        case .psnr: PSNRScorer()
        case .ssim: SSIMScorer()
        case .latentError: LatentErrorScorer()
        case .imageReward: try ImageRewardScorer(folder: folder)
        case .imageRewardKept: try KeptRewardScorer(folder: folder)
        case .clip: try CLIPScorer(folder: folder)
        }
    }
}
