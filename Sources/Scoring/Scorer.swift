import Tensors

/// An image to be scored, and what scorers may want to know of it.
public struct ScoredImage: Sendable {
    /// The image.
    public var image: Image
    /// The text that it was made for.
    public var prompt: String
    /// The uncached image of the same prompt, seed, size and steps.
    public var reference: Image?
    /// The final latents, `[1, C·h·w]`.
    public var latents: Matrix?
    /// The final latents of the reference, `[1, C·h·w]`.
    public var referenceLatents: Matrix?

    /// An image, with whatever is known of it.
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

/// Gives every image a number, of which larger ones are better.
///
/// A further scorer is a type of this protocol in a file of its own, and a case of `ScorerKind`. One thread uses a scorer
/// at a time.
public protocol Scorer: AnyObject {
    /// The name that scores are kept under.
    var name: String { get }

    /// The scores of some images, each of which depends on that image alone.
    ///
    /// - Parameter batch: The images; a scorer with a network may compute them together.
    /// - Returns: One number for each, which may not be finite where a network overflows.
    /// - Throws: ``ScoringError`` for an image without what the scorer needs, `ModelsError`.
    func scores(of batch: [ScoredImage]) throws -> [Double]
}
