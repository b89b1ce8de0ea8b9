/// What an image is generated with, beside its prompt, its seed and the caching schedule.
public struct GenerationSettings: Sendable, Hashable {
    /// Height of the image in pixels.
    public var height: Int
    /// Width of the image in pixels.
    public var width: Int
    /// The number of denoising steps.
    public var stepCount: Int
    /// The scale of classifier-free guidance; at 1 or below the unconditional half is not computed.
    public var guidanceScale: Float

    /// Settings; the defaults of steps and guidance are those of the PixArt pipelines.
    public init(height: Int, width: Int, stepCount: Int = 20, guidanceScale: Float = 4.5) {
        self.height = height
        self.width = width
        self.stepCount = stepCount
        self.guidanceScale = guidanceScale
    }

    /// True when every image is computed with and without its prompt.
    var isGuided: Bool { guidanceScale > 1 }
}
