import Models
import Schedules
import Tensors

/// CLIP score (arXiv 2104.08718): 100 times the cosine of the image's and the prompt's features.
///
/// Not cut off at 0, so that a mean is not moved by it.
public final class CLIPScorer: Scorer {
    /// "clip".
    public let name = ScorerKind.clip.rawValue
    private static let mostPrompts = 4096
    private let model: CLIPModel
    private var features: [String: Matrix] = [:]

    /// Opens a Hugging Face directory of a CLIP model.
    ///
    /// - Throws: `ModelsError`, `TensorsError`.
    public init(folder: String) throws { model = try CLIPModel(folder: folder) }

    /// The score of each image, within -100...100.
    public func scores(of batch: [ScoredImage]) throws -> [Double] {
        try batch.map { 100 * Self.cosine(try model.features(of: $0.image), try features(of: $0.prompt)) }
    }

    /// The product of two vectors of length 1.
    static func cosine(_ a: Matrix, _ b: Matrix) -> Double {
        zip(a.values, b.values).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }

    /// The features of a prompt, which many images may have in common.
    private func features(of prompt: String) throws -> Matrix {
        if let known = features[prompt] { return known }
        if features.count >= Self.mostPrompts { features = [:] }
        let new = try model.features(of: prompt)
        features[prompt] = new
        return new
    }
}
