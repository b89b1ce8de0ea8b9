import Basics
import Models
import Tensors

/// CLIP score (arXiv 2104.08718): 100 times the cosine of the image's and the prompt's features.
///
/// Not clipped at 0, which would bias means.
public final class CLIPScorer: Scorer {
    /// "clip".
    public let name = ScorerKind.clip.rawValue
    private static let promptCacheLimit = 4096
    private let model: CLIPModel
    private var features: [String: Matrix] = [:]

    /// Opens a CLIP model in the Hugging Face layout.
    ///
    /// - Throws: `ModelsError`, `TensorsError`.
    public init(folder: String) throws { model = try CLIPModel(folder: folder) }

    /// Scores within -100...100.
    public func scores(of batch: [ScoredImage]) throws -> [Double] {
        try batch.map { 100 * Self.cosine(try model.features(of: $0.image), try features(of: $0.prompt)) }
    }

    /// The dot product of two unit vectors.
    static func cosine(_ a: Matrix, _ b: Matrix) -> Double {
        zip(a.values, b.values).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }

    /// Cached: many images share a prompt.
    private func features(of prompt: String) throws -> Matrix {
        if let cached = features[prompt] { return cached }
        if features.count >= Self.promptCacheLimit { features = [:] }
        let computed = try model.features(of: prompt)
        features[prompt] = computed
        return computed
    }
}
