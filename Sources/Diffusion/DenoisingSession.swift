import Tensors

/// Denoises a fixed number of images of a fixed size, again and again under different schedules.
///
/// All memory of the step loop is allocated before the first step.
public protocol DenoisingSession: AnyObject {
    /// The number of images that are denoised together.
    var imageCount: Int { get }
    /// The latents [images, C * h * w]: noise before, clean latents after ``denoise(prompts:negative:layout:afterStep:)``.
    var latents: Matrix { get }

    /// Runs all steps on the current latents.
    ///
    /// - Parameters:
    ///   - prompts: The prompt of each image.
    ///   - negative: The prompt of the unconditional half, which FLUX does not have.
    ///   - layout: The schedule, worked out for as many steps as the session has.
    ///   - afterStep: Called with the step's number; the latents are those after the step.
    /// - Returns: The seconds of the step loop.
    /// - Throws: ``DiffusionError`` for a schedule that the model cannot run.
    @discardableResult
    func denoise(
        prompts: [DiffusionModel.Prompt], negative: DiffusionModel.Prompt, layout: CacheLayout,
        afterStep: (Int) -> Void
    ) throws -> Double
}

extension DenoisingSession {
    /// Runs all steps on the current latents.
    ///
    /// - Parameters:
    ///   - prompts: The prompt of each image.
    ///   - negative: The prompt of the unconditional half, which FLUX does not have.
    ///   - layout: The schedule, worked out for as many steps as the session has.
    /// - Returns: The seconds of the step loop.
    /// - Throws: ``DiffusionError`` for a schedule that the model cannot run.
    @discardableResult
    public func denoise(
        prompts: [DiffusionModel.Prompt], negative: DiffusionModel.Prompt, layout: CacheLayout
    ) throws -> Double {
        try denoise(prompts: prompts, negative: negative, layout: layout, afterStep: { _ in })
    }

    /// Fills the latents with the noise of each image's seed, as torch draws it for that image alone.
    public func drawNoise(seeds: [UInt64]) {
        precondition(seeds.count == imageCount, "one seed for each image")
        for (row, seed) in seeds.enumerated() {
            var generator = TorchNormal(seed: seed)
            let noise = generator.normal(count: latents.columns)
            latents.rows(row..<(row + 1)).copy(from: Matrix(noise, rows: 1, columns: noise.count))
        }
    }
}
