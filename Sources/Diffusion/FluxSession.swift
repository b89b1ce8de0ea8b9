import ModelConfiguration
import Models
import Schedules
import Tensors

/// Denoises with FLUX; guidance is distilled, so there is one forward pass per step.
final class FluxSession: BranchingSession {
    let imageCount: Int
    let latents: Matrix

    var timesteps: [Float] { sampler.timesteps }
    var sigmas: [Float] { sampler.sigmas }

    private let transformer: FluxTransformer
    private let transformerFolder: String
    private let sampler: FlowMatchEuler
    private let guidanceScale: Float
    private let latentHeight, latentWidth: Int
    private let velocity: Matrix
    private var activations: FluxTransformer.Activations?
    private var cache = ComponentCache(slots: [])
    private var cacheExtents: [ComponentExtent] = []
    /// The prompts of the current trajectory, and the modulations of its steps.
    private var prompts: [FluxTransformer.Prompt] = []
    private var modulations: [FluxTransformer.Modulation] = []

    init(
        transformer: FluxTransformer, transformerFolder: String, sampler: FlowMatchEuler, imageCount: Int,
        latentHeight: Int, latentWidth: Int, guidanceScale: Float
    ) {
        self.transformer = transformer
        self.transformerFolder = transformerFolder
        self.sampler = sampler
        self.imageCount = imageCount
        self.latentHeight = latentHeight
        self.latentWidth = latentWidth
        self.guidanceScale = guidanceScale
        latents = Matrix(
            rows: imageCount, columns: transformer.settings.latentChannels * latentHeight * latentWidth)
        velocity = Matrix(rows: imageCount, columns: latents.columns)
    }

    func denoise(
        prompts: [DiffusionModel.Prompt], negative: DiffusionModel.Prompt, plan: ExecutionPlan,
        afterStep: (Int) -> Void
    ) throws -> Double {
        precondition(
            plan.actions.count == sampler.steps.count,
            "a plan of \(plan.actions.count) steps for a session of \(sampler.steps.count)")
        try allocate(for: prompts, slots: plan.slots)

        let clock = ContinuousClock()
        let start = clock.now
        // Modulations depend on the prompts, so they count towards the time of an image.
        modulate()
        for index in sampler.steps.indices {
            step(index, actions: plan.actions[index])
            try requireFiniteLatents(after: index, transformer: transformerFolder)
            afterStep(index)
        }
        return (clock.now - start) / .seconds(1)
    }

    func begin(
        prompts: [DiffusionModel.Prompt], negative: DiffusionModel.Prompt, slots: [ComponentExtent]
    ) throws {
        try allocate(for: prompts, slots: slots)
        modulate()
    }

    private func allocate(for prompts: [DiffusionModel.Prompt], slots: [ComponentExtent]) throws {
        precondition(prompts.count == imageCount, "\(prompts.count) prompts for \(imageCount) images")
        self.prompts = prompts.map(\.flux)
        let activations = try activations(textTokenCount: self.prompts[0].tokenCount)
        precondition(
            self.prompts.allSatisfy { $0.tokenCount == activations.textTokenCount },
            "prompts must have the same number of tokens")
        if !cacheExtents.starts(with: slots) {
            cache = ComponentCache(slots: slots.map(activations.cacheSlot))
            cacheExtents = slots
        }
    }

    private func modulate() {
        modulations = transformer.modulations(
            timesteps: sampler.steps.map(\.timestep), guidance: guidanceScale, prompts: prompts)
    }

    func step(_ index: Int, actions: [ComponentAction]) {
        guard let activations else { preconditionFailure("a trajectory begins before its steps") }
        transformer.forward(
            latents: latents, prompts: prompts, modulation: modulations[index], actions: actions, cache: cache,
            activations: activations, into: velocity)
        axpby(sampler.steps[index].width, velocity, 1, latents)
    }

    /// The latents: Euler steps have no memory.
    var state: Matrix {
        get { latents.copied() }
        set { latents.copy(from: newValue) }
    }

    func contributions(ofChain chain: Int, slot: Int, step: Int) -> [ComponentContribution] {
        guard let activations else { preconditionFailure("a trajectory begins before its steps") }
        return transformer.contributions(
            ofChain: chain, output: cache.slots[slot], modulation: modulations[step], activations: activations)
    }

    /// The activations for prompts of a length; reuses those of the last run if it matches.
    private func activations(textTokenCount: Int) throws -> FluxTransformer.Activations {
        if let activations, activations.textTokenCount == textTokenCount { return activations }
        let activations = try transformer.activations(
            imageCount: imageCount, latentHeight: latentHeight, latentWidth: latentWidth,
            textTokenCount: textTokenCount)
        self.activations = activations
        (cache, cacheExtents) = (ComponentCache(slots: []), [])
        return activations
    }
}
