import ModelConfiguration
import Models
import Schedules
import Tensors

/// Denoises with PixArt: classifier-free guidance, in one batch of both halves.
///
/// All memory of the step loop is allocated here and before the first step; the modulations of all timesteps are
/// computed once.
final class PixArtSession: DenoisingSession {
    let imageCount: Int
    let latents: Matrix

    private let transformer: PixArtTransformer
    private let sampler: DPMSolverMultistep
    private let settings: GenerationSettings
    private let modulations: [PixArtTransformer.Modulation]
    private let activations: PixArtTransformer.Activations
    /// The model's output [halves * images, out channels * h * w]; with guidance the unconditional half comes first.
    private let predicted: Matrix
    /// The predictions of the clean latents at this step and the one before, [images, C * h * w].
    private var clean, previousClean: Matrix
    private var cache: ComponentCache

    init(
        transformer: PixArtTransformer, sampler: DPMSolverMultistep, imageCount: Int, latentHeight: Int,
        latentWidth: Int,
        settings: GenerationSettings
    ) throws {
        let batch = settings.isGuided ? 2 * imageCount : imageCount
        let pixels = latentHeight * latentWidth
        self.transformer = transformer
        self.sampler = sampler
        self.imageCount = imageCount
        self.settings = settings
        modulations = transformer.modulations(
            timesteps: sampler.steps.map(\.timestep),
            size: PixArtTransformer.ImageSize(height: settings.height, width: settings.width))
        activations = try transformer.activations(batch: batch, latentHeight: latentHeight, latentWidth: latentWidth)
        latents = Matrix(rows: imageCount, columns: transformer.settings.inChannels * pixels)
        clean = Matrix(rows: imageCount, columns: latents.columns)
        previousClean = Matrix(rows: imageCount, columns: latents.columns)
        predicted = Matrix(rows: batch, columns: transformer.settings.outChannels * pixels)
        cache = ComponentCache(slots: [])
    }

    func denoise(
        prompts: [DiffusionModel.Prompt], negative: DiffusionModel.Prompt, layout: CacheLayout,
        afterStep: (Int) -> Void
    ) throws -> Double {
        precondition(prompts.count == imageCount, "one prompt for each image")
        precondition(layout.actions.count == sampler.steps.count, "a layout for as many steps as the session has")
        if layout.gate != nil, !settings.isGuided { throw DiffusionError.gateWithoutGuidance }
        let unconditional = Array(repeating: negative.pixart, count: imageCount)
        let guided = (settings.isGuided ? unconditional : []) + prompts.map(\.pixart)
        let gateStep = layout.gate?.step ?? sampler.steps.count
        if cache.slots.count < layout.slots.count {
            let rows = activations.batch * activations.tokenCount
            cache = ComponentCache(
                slots: layout.slots.map { _ in Matrix(rows: rows, columns: transformer.settings.width) })
        }
        // The first step reads no previous prediction, but 0 times what a failed run left there could be NaN.
        clean.fill(0)
        previousClean.fill(0)

        let clock = ContinuousClock()
        let start = clock.now
        for index in sampler.steps.indices {
            let step = sampler.steps[index]
            let isGated = index >= gateStep
            if index == gateStep, let gate = layout.gate { averageHalves(of: gate.slots) }
            transformer.forward(
                latents: latents, prompts: isGated ? unconditional : guided, modulation: modulations[index],
                actions: layout.actions[index], cache: cache, activations: activations, into: predicted)
            advance(by: step, isGuided: settings.isGuided && !isGated)
            afterStep(index)
        }
        return (clock.now - start) / .seconds(1)
    }

    /// Replaces the first half of a slot by the mean of both: what TGATE's unguided steps reuse.
    private func averageHalves(of slots: [Int]) {
        let rows = imageCount * activations.tokenCount
        for slot in slots {
            let output = cache.slots[slot]
            let (first, second) = (output.pointer, output.pointer + rows * output.stride)
            for index in 0..<(rows * output.stride) { first[index] = (first[index] + second[index]) / 2 }
        }
    }

    /// Guidance and the sampler's step: noise = unconditional + g (conditional - unconditional).
    private func advance(by step: DPMSolverMultistep.Step, isGuided: Bool) {
        swap(&clean, &previousClean)
        let guidance = settings.guidanceScale
        for row in 0..<imageCount {
            let x = latents.pointer + row * latents.stride
            let x0 = clean.pointer + row * clean.stride
            let previousX0 = previousClean.pointer + row * previousClean.stride
            let unconditional = predicted.pointer + row * predicted.stride
            let conditional = unconditional + (isGuided ? imageCount * predicted.stride : 0)
            for index in 0..<latents.columns {
                let noise =
                    isGuided
                    ? unconditional[index] + guidance * (conditional[index] - unconditional[index])
                    : unconditional[index]
                x0[index] = (x[index] - step.sigma * noise) / step.alpha
                let firstOrder = step.sampleWeight * x[index] + step.currentWeight * x0[index]
                x[index] = firstOrder + step.previousWeight * previousX0[index]
            }
        }
    }
}
