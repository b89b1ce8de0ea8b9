import ModelConfiguration
import Models
import Schedules
import Tensors

/// The settings of an image other than its prompt, seed and cache schedule.
public struct GenerationSettings: Sendable, Hashable {
    /// Height of the image in pixels.
    public var height: Int
    /// Width of the image in pixels.
    public var width: Int
    /// The number of denoising steps.
    public var stepCount: Int
    /// The guidance scale (see `Guidance`); with classifier-free guidance, the unconditional half is only computed for
    /// scales above 1.
    public var guidanceScale: Float

    /// Combines settings.
    public init(height: Int, width: Int, stepCount: Int, guidanceScale: Float) {
        self.height = height
        self.width = width
        self.stepCount = stepCount
        self.guidanceScale = guidanceScale
    }

    /// Whether classifier-free guidance is enabled.
    var isGuided: Bool { guidanceScale > 1 }
}

/// Denoises a fixed number of images of a fixed size, repeatedly and under different schedules.
///
/// The step loop allocates no memory.
public protocol DenoisingSession: AnyObject {
    /// The number of images denoised together.
    var imageCount: Int { get }
    /// The latents, `[images, C·h·w]`: noise before ``denoise(prompts:negative:plan:afterStep:)``, clean latents after it.
    var latents: Matrix { get }
    /// The timesteps of the sampler, as the scheduler of diffusers lists them.
    var timesteps: [Float] { get }
    /// The noise levels before every step and after the last.
    var sigmas: [Float] { get }

    /// Runs all steps on the current latents.
    ///
    /// - Parameters:
    ///   - prompts: One prompt per image.
    ///   - negative: The negative prompt; ignored by FLUX.
    ///   - plan: The schedule; its step count must be that of the session.
    ///   - afterStep: Called after each step with its index; ``latents`` are those after the step.
    /// - Returns: The duration of the step loop in seconds.
    /// - Throws: ``DiffusionError`` for a schedule that the model cannot run, `NonFiniteError` once the latents are not
    ///   finite.
    @discardableResult
    func denoise(
        prompts: [DiffusionModel.Prompt], negative: DiffusionModel.Prompt, plan: ExecutionPlan,
        afterStep: (Int) -> Void
    ) throws -> Double
}

/// A session whose trajectory can branch: single steps, with the state between them saved and restored.
protocol BranchingSession: DenoisingSession {
    /// Everything that the remaining steps depend on, apart from the cached outputs.
    associatedtype State

    /// Starts a trajectory from the current latents.
    ///
    /// - Parameters:
    ///   - prompts: One prompt per image.
    ///   - negative: The negative prompt; ignored by FLUX.
    ///   - slots: The sizes of the cache slots that steps may use.
    /// - Throws: ``DiffusionError``, `ModelsError`.
    func begin(prompts: [DiffusionModel.Prompt], negative: DiffusionModel.Prompt, slots: [ComponentExtent]) throws

    /// Runs one step.
    func step(_ index: Int, actions: [ComponentAction])

    /// The state after the last step.
    var state: State { get set }

    /// What a component's output in a cache slot adds to the residual stream at a step.
    func contributions(ofChain chain: Int, slot: Int, step: Int) -> [ComponentContribution]
}

extension DenoisingSession {
    /// Runs all steps on the current latents, without a callback.
    @discardableResult
    public func denoise(
        prompts: [DiffusionModel.Prompt], negative: DiffusionModel.Prompt, plan: ExecutionPlan
    ) throws -> Double {
        try denoise(prompts: prompts, negative: negative, plan: plan, afterStep: { _ in })
    }

    /// Throws `NonFiniteError` unless the latents after a step are finite.
    func requireFiniteLatents(after index: Int, transformer folder: String) throws {
        guard latents.isFinite else {
            throw NonFiniteError(stage: "the transformer at step \(index + 1) of \(timesteps.count)", folder: folder)
        }
    }

    /// Fills the latents with noise from one seed per image, as PyTorch draws it for a single image.
    public func drawNoise(seeds: [UInt64]) {
        precondition(seeds.count == imageCount, "\(seeds.count) seeds for \(imageCount) images")
        for (row, seed) in seeds.enumerated() {
            var generator = TorchNormal(seed: seed)
            let noise = generator.normal(count: latents.columns)
            latents.rows(row..<(row + 1)).copy(from: Matrix(noise, rows: 1, columns: noise.count))
        }
    }
}
