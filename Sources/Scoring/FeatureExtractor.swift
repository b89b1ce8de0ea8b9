import Foundation
import ModelConfiguration
import Models
import Tensors

/// The network whose features a Frechet distance compares: Inception-v3, or the image encoder of a CLIP.
public enum FeatureExtractor {
    /// Inception-v3's 2,048 means.
    case inception(InceptionV3)
    /// CLIP's features, of length 1.
    case clip(CLIPModel)

    /// Opens the network in a folder.
    ///
    /// - Parameter folder: Inception-v3 as `scripts/convert_scorers.py` writes it, or a Hugging Face directory of a CLIP.
    /// - Throws: ``ScoringError/noFeatures(folder:)``, `ModelsError`, `TensorsError`.
    public init(folder: String) throws {
        let path = "\(folder)/config.json"
        let type = try? Configuration(path: path).string("model_type", default: "")
        switch type {
        case "fid-inception-v3": self = .inception(try InceptionV3(folder: folder))
        case "clip": self = .clip(try CLIPModel(folder: folder))
        default: throw ScoringError.noFeatures(folder: folder)
        }
    }

    /// The name of the features in reference files.
    public var name: String {
        switch self {
        case .inception: "inception-v3"
        case .clip: "clip"
        }
    }

    /// The number of features.
    public var width: Int {
        switch self {
        case .inception(let network): network.width
        case .clip(let network): network.featureCount
        }
    }

    /// The features of an image, `[1, width]`.
    ///
    /// - Throws: `ModelsError` for an empty image.
    public func features(of image: Image) throws -> Matrix {
        switch self {
        case .inception(let network): try network.features(of: image)
        case .clip(let network): try network.features(of: image)
        }
    }
}
