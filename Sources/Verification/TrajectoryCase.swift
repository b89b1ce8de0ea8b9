import Diffusion
import Foundation
import ModelConfiguration
import Models
import Schedules
import Tensors

extension Verification {
    /// Timesteps and noise levels of the sampler, noise, latents after every step, and the decoded image in 0...1.
    static func compareTrajectory(
        _ file: ReferenceFile, model path: String, _ bounds: Bounds
    ) throws -> [TensorComparison] {
        let folder = try ModelFolder(path: path)
        let prompts = try file.value("prompts", as: [String].self, expected: "an array of strings")
        let seeds = try file.value("seeds", as: [UInt64].self, expected: "an array of non-negative integers")
        guard !prompts.isEmpty else { throw file.invalid("prompts", "at least one prompt") }
        guard seeds.count == prompts.count else {
            throw file.invalid("seeds", "\(prompts.count) seeds, one for each prompt")
        }
        let settings = GenerationSettings(
            height: try file.value("height", as: Int.self, expected: "an integer"),
            width: try file.value("width", as: Int.self, expected: "an integer"),
            stepCount: try file.value("steps", as: Int.self, expected: "an integer"),
            guidanceScale: try file.value("guidance_scale", as: Float.self, expected: "a number"))
        let maxLength = try file.has(metadata: "max_length") ? file.textLength() : nil
        let (negativeEmbedding, embeddings) = try {
            let text = try TextEncoding(model: folder)
            return (
                // FLUX uses no classifier-free guidance.
                try text.embed(folder.family == .flux ? "" : file.text("negative_prompt"), maxLength: maxLength),
                try prompts.map { try text.embed($0, maxLength: maxLength) }
            )
        }()

        let model = try DiffusionModel(folder, precision: bounds.precision)
        let session = try model.session(imageCount: seeds.count, settings: settings)
        let p = seeds.count
        let expectedLatents = try file.tensor("initial_latents", shape: [p, nil, nil, nil])
        let expectedSteps = try file.tensor("step_latents", shape: [settings.stepCount] + expectedLatents.shape)
        let expectedImages = try file.tensor("images", shape: [p, 3, settings.height, settings.width])
        guard expectedLatents.shape.dropFirst().reduce(1, *) == session.latents.columns else {
            throw VerificationError.tensorShape(
                file: file.path, name: "initial_latents", expected: "\(session.latents.columns) values for each image",
                found: expectedLatents.shape)
        }

        session.drawNoise(seeds: seeds)
        let initialLatents = session.latents.values
        var stepLatents: [Float] = []
        try session.denoise(
            prompts: try embeddings.map(model.prompt), negative: try model.prompt(negativeEmbedding),
            plan: try plan(file, shape: model.scheduleShape(stepCount: settings.stepCount))
        ) { _ in stepLatents += session.latents.values }
        let images = try (0..<p).flatMap { row in
            try model.decode(session.latents.rows(row..<(row + 1)), settings: settings).channels.values.map {
                min(1, max(0, $0 * 0.5 + 0.5))
            }
        }
        return try compareSampler(file, session) + [
            TensorComparison(
                name: "initial_latents", engine: initialLatents, reference: try expectedLatents.floats(),
                tolerance: bounds.float32),
            TensorComparison(
                name: "step_latents", engine: stepLatents, reference: try expectedSteps.floats(),
                tolerance: bounds["step_latents"], partCount: settings.stepCount),
            TensorComparison(
                name: "images", engine: images, reference: try expectedImages.floats(), tolerance: bounds["images"]),
        ]
    }

    /// Files written before format members `timesteps` and `sigmas` existed have neither.
    private static func compareSampler(
        _ file: ReferenceFile, _ session: any DenoisingSession
    ) throws -> [TensorComparison] {
        try [("timesteps", session.timesteps), ("sigmas", session.sigmas)].compactMap { name, engine in
            guard file.has(tensor: name) else { return nil }
            let expected = try file.tensor(name, shape: [engine.count])
            let reference = expected.type == .int64 ? try expected.integers().map { Float($0) } : try expected.floats()
            return TensorComparison(
                name: name, engine: engine, reference: reference, tolerance: name == "sigmas" ? samplerTolerance : 0)
        }
    }

    private static func plan(_ file: ReferenceFile, shape: ScheduleShape) throws -> ExecutionPlan {
        let name = try file.text("schedule")
        guard !name.isEmpty else { return try ExecutionPlan(Schedule(shape: shape)) }
        let path = URL(fileURLWithPath: file.path).deletingLastPathComponent().appendingPathComponent(name).path
        let schedule = try ScheduleFile(path: path).schedule
        do {
            guard schedule.shape == shape else {
                throw DiffusionError.scheduleShape(expected: shape.description, found: schedule.shape.description)
            }
            return try ExecutionPlan(schedule)
        } catch let error as DiffusionError {
            throw VerificationError.schedule(file: path, reason: error.description)
        } catch let error as SchedulesError {
            throw VerificationError.schedule(file: path, reason: error.description)
        }
    }
}
