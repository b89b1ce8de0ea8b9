import Tensors

/// Errors of scorers, image directories and their prompts.
public enum ScoringError: Error, Equatable, CustomStringConvertible {
    /// Images or latents of different sizes cannot be compared.
    case imageSize(expected: String, found: String)
    /// An image lacks an input that the scorer needs.
    case missing(scorer: String, what: String)
    /// A directory is not a scorer's model.
    case notAScorer(folder: String)
    /// A directory is not a feature network.
    case noFeatures(folder: String)
    /// A Frechet distance cannot be computed.
    case distance(String)
    /// Images and prompts, or images and references, cannot be paired.
    case pairing(String)
    /// A directory of images cannot be listed.
    case unreadable(folder: String, reason: String)
    /// A directory without images, and the number of its subdirectories.
    case noImages(folder: String, subdirectories: Int)
    /// No image could be scored.
    case noneScored(folder: String, count: Int, scorer: String)

    /// One line: what is wrong and what would be right.
    public var description: String {
        switch self {
        case .imageSize(let expected, let found): "image size is \(found); expected \(expected) like the reference"
        case .missing(let scorer, let what): "scorer \(scorer) needs \(what) for every image"
        case .noFeatures(let folder):
            "\(folder): not a feature network; expected a config.json with model_type fid-inception-v3 or clip"
        case .unreadable(let folder, let reason): "\(folder): \(reason); expected a directory of images"
        case .noImages(let folder, let subdirectories):
            "\(folder): no images; expected .png, .jpg or .jpeg files"
                + (subdirectories > 0 ? " in it, not in a subdirectory" : "")
        case .noneScored(let folder, let count, let scorer):
            "\(folder): \(scorer) could score none of the \(count) images"
        case .distance(let line), .pairing(let line): line
        case .notAScorer(let folder):
            "\(folder): not a scorer; expected a config.json with model_type clip or image-reward"
        }
    }

    static func require<Value>(
        _ value: Value?, _ scorer: String, _ what: String = "the uncached image"
    ) throws(ScoringError) -> Value {
        guard let value else { throw .missing(scorer: scorer, what: what) }
        return value
    }

    static func requireSameSize(_ image: Image, _ reference: Image) throws(ScoringError) {
        guard image.width == reference.width, image.height == reference.height else {
            throw .imageSize(
                expected: "\(reference.width)x\(reference.height) pixels",
                found: "\(image.width)x\(image.height) pixels")
        }
    }
}
