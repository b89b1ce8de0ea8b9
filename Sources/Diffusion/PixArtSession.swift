import ModelConfiguration
import Models
import Schedules
import Tensors

/// Denoises with PixArt, with both halves of classifier-free guidance in one batch.
///
/// The modulations of all timesteps are computed once per session.
final class PixArtSession: BranchingSession {
    let imageCount: Int
    let latents: Matrix

    var timesteps: [Float] { sampler.steps.map { Float($0.timestep) } }
    var sigmas: [Float] { sampler.sigmas }

    private let transformer: PixArtTransformer
    private let transformerFolder: String
    private let sampler: DPMSolverMultistep
    private let settings: GenerationSettings
    private let modulations: [PixArtTransformer.Modulation]
    private let activations: PixArtTransformer.Activations
    /// The model's output, `[halves · images, out_channels·h·w]`; with guidance the unconditional half comes first.
    private let predicted: Matrix
    /// The predictions of the clean latents at this step and the previous one, `[images, C·h·w]`.
    private var clean, previousClean: Matrix
    private var cache: ComponentCache
    /// The prompts of the current trajectory: both halves of guidance, and the unconditional half.
    private var guided, unconditional: [PixArtTransformer.Prompt]

    init(
        transformer: PixArtTransformer, transformerFolder: String, sampler: DPMSolverMultistep, imageCount: Int,
        latentHeight: Int, latentWidth: Int, settings: GenerationSettings
    ) throws {
        let batch = settings.isGuided ? 2 * imageCount : imageCount
        let pixels = latentHeight * latentWidth
        self.transformer = transformer
        self.transformerFolder = transformerFolder
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
        (guided, unconditional) = ([], [])
    }

    func denoise(
        prompts: [DiffusionModel.Prompt], negative: DiffusionModel.Prompt, plan: ExecutionPlan,
        afterStep: (Int) -> Void
    ) throws -> Double {
        precondition(
            plan.actions.count == sampler.steps.count,
            "a plan of \(plan.actions.count) steps for a session of \(sampler.steps.count)")
        if plan.gate != nil, !settings.isGuided { throw DiffusionError.gateWithoutGuidance }
        begin(prompts: prompts, negative: negative, slots: plan.slots)
        let gateStep = plan.gate?.step ?? sampler.steps.count

        let clock = ContinuousClock()
        let start = clock.now
        for index in sampler.steps.indices {
            if index == gateStep, let gate = plan.gate { averageHalves(of: gate.slots) }
            step(index, actions: plan.actions[index], isGated: index >= gateStep)
            try requireFiniteLatents(after: index, transformer: transformerFolder)
            afterStep(index)
        }
        return (clock.now - start) / .seconds(1)
    }

    func begin(
        prompts: [DiffusionModel.Prompt], negative: DiffusionModel.Prompt, slots: [ComponentExtent]
    ) {
        precondition(prompts.count == imageCount, "\(prompts.count) prompts for \(imageCount) images")
        unconditional = Array(repeating: negative.pixart, count: imageCount)
        guided = (settings.isGuided ? unconditional : []) + prompts.map(\.pixart)
        if cache.slots.count < slots.count {
            let rows = activations.batch * activations.tokenCount
            cache = ComponentCache(slots: slots.map { _ in Matrix(rows: rows, columns: transformer.settings.width) })
        }
        // The first step weights the previous prediction by 0, which would not cancel a NaN left by a failed run.
        clean.fill(0)
        previousClean.fill(0)
    }

    func step(_ index: Int, actions: [ComponentAction]) { step(index, actions: actions, isGated: false) }

    private func step(_ index: Int, actions: [ComponentAction], isGated: Bool) {
        transformer.forward(
            latents: latents, prompts: isGated ? unconditional : guided, modulation: modulations[index],
            actions: actions, cache: cache, activations: activations, into: predicted)
        applyGuidanceAndStep(sampler.steps[index], isGuided: settings.isGuided && !isGated)
    }

    /// The latents and the prediction of the clean latents, which the next step of the solver uses.
    struct State {
        fileprivate let latents, clean: Matrix
    }

    var state: State {
        get { State(latents: latents.copied(), clean: clean.copied()) }
        set {
            latents.copy(from: newValue.latents)
            clean.copy(from: newValue.clean)
        }
    }

    func contributions(ofChain chain: Int, slot: Int, step: Int) -> [ComponentContribution] {
        transformer.contributions(
            ofChain: chain, output: cache.slots[slot], modulation: modulations[step],
            tokenCount: activations.tokenCount)
    }

    /// Replaces the unconditional half of each slot with the mean of both halves, which TGATE's unguided steps reuse.
    private func averageHalves(of slots: [Int]) {
        let rows = imageCount * activations.tokenCount
        for slot in slots {
            let output = cache.slots[slot]
            let (first, second) = (output.pointer, output.pointer + rows * output.stride)
            for index in 0..<(rows * output.stride) { first[index] = (first[index] + second[index]) / 2 }
        }
    }

    /// Applies classifier-free guidance, `noise = unconditional + g (conditional - unconditional)`, and the sampler's step.
    private func applyGuidanceAndStep(_ step: DPMSolverMultistep.Step, isGuided: Bool) {
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
