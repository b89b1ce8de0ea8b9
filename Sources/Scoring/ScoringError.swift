import Tensors

/// What can be wrong with images that are to be scored.
public enum ScoringError: Error, Equatable, CustomStringConvertible {
    /// Two images that are to be compared differ in size.
    case imageSize(expected: String, found: String)
    /// A scorer needs something of an image that is not there.
    case missing(scorer: String, what: String)
    /// A folder holds no model of a scorer.
    case notAScorer(folder: String)
    /// A folder holds no network for a Frechet distance.
    case noFeatures(folder: String)
    /// A Frechet distance cannot be computed.
    case distance(String)
    /// Images and prompts, or images and references, cannot be paired.
    case pairing(String)
    /// A folder without a PNG or JPEG file.
    case noImages(folder: String)
    /// No image of a folder could be scored.
    case noneScored(folder: String, count: Int, scorer: String)

    /// One line that says what was expected.
    public var description: String {
        switch self {
        case .imageSize(let expected, let found): "an image of \(found) cannot be compared with one of \(expected)"
        case .missing(let scorer, let what): "the scorer \(scorer) needs \(what) for every image"
        case .noFeatures(let folder):
            "\(folder): no network for a Frechet distance; expected a config.json with the model_type fid-inception-v3 "
                + "or clip"
        case .noImages(let folder): "\(folder): no images; expected a folder with .png, .jpg or .jpeg files"
        case .noneScored(let folder, let count, let scorer):
            "\(folder): none of the \(count) images could be scored by \(scorer)"
        case .distance(let line), .pairing(let line): line
        case .notAScorer(let folder):
            "\(folder): no scorer's model; expected a config.json with the model_type clip or image-reward"
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
