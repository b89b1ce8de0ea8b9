import Diffusion
import ModelConfiguration
import Models
import Schedules
import Tensors
import TestSupport

/// A fixture's model with embedded prompts.
struct Engine {
    let model: DiffusionModel
    let prompts: [DiffusionModel.Prompt]
    let negative: DiffusionModel.Prompt

    /// `maxLength` keeps tests fast: FLUX attends to padding, so its time depends on the padded length.
    init(_ fixture: String = "alpha-small", maxLength: Int? = nil) throws {
        let folder = try ModelFolder(path: "\(Fixtures.folder)/\(fixture)/model")
        let text = try TextEncoding(model: folder)
        let model = try DiffusionModel(folder)
        self.model = model
        prompts = try ["a red lighthouse", "", "a silver fox in the snow"].map {
            try model.prompt(text.embed($0, maxLength: maxLength))
        }
        negative = try model.prompt(text.embed("", maxLength: maxLength))
    }

    static func settings(steps: Int = 6, guidance: Float = 4.5) -> GenerationSettings {
        GenerationSettings(height: 24, width: 40, stepCount: steps, guidanceScale: guidance)
    }

    func session(images: Int = 1, steps: Int = 6, guidance: Float = 4.5) throws -> any DenoisingSession {
        try model.session(imageCount: images, settings: Self.settings(steps: steps, guidance: guidance))
    }

    /// The schedule that recomputes at every `period`-th step.
    func periodic(_ period: Int, steps: Int = 6, gateStep: Int? = nil) throws -> Schedule {
        var schedule = Schedule(shape: try model.scheduleShape(stepCount: steps), gateStep: gateStep)
        for step in 0..<steps where step % period != 0 {
            for gene in 0..<schedule.shape.genesPerStep { schedule[step * schedule.shape.genesPerStep + gene] = .reuse }
        }
        return schedule
    }

    /// The latents of the first images after all steps.
    func latents(_ session: any DenoisingSession, _ schedule: Schedule, seeds: [UInt64] = [7]) throws -> [Float] {
        session.drawNoise(seeds: seeds)
        try session.denoise(
            prompts: Array(prompts.prefix(seeds.count)), negative: negative, plan: ExecutionPlan(schedule))
        return session.latents.values
    }
}
