import Foundation
import ModelConfiguration
import Models

/// Euler's method along a rectified flow (arXiv 2209.03003, 2403.03206): `FlowMatchEulerDiscreteScheduler` of diffusers.
///
/// The network predicts the velocity, so a step is `x += width · velocity`.
public struct FlowMatchEuler: Sendable {
    /// One step.
    public struct Step: Sendable, Equatable {
        /// The timestep divided by 1000, as the pipeline passes it to the network.
        public let timestep: Float
        /// The change of the noise level; negative.
        let width: Float
    }

    /// The steps of a trajectory, from noise to image.
    public let steps: [Step]
    /// The noise levels of every step's start, and 0.
    public let sigmas: [Float]
    /// The timesteps of the original's scheduler: noise levels times training steps.
    public let timesteps: [Float]

    /// Computes the steps of a trajectory.
    ///
    /// - Parameters:
    ///   - configuration: `scheduler/scheduler_config.json`; defaults are those of diffusers.
    ///   - stepCount: The number of denoising steps.
    ///   - imageTokenCount: Tokens per image. With `use_dynamic_shifting`, more tokens spend more steps at high noise levels.
    /// - Throws: `ModelsError` for another sampler or an unsupported option.
    public init(_ configuration: Configuration, stepCount: Int, imageTokenCount: Int) throws {
        let c = configuration
        _ = try c.require(
            "_class_name", oneOf: ["FlowMatchEulerDiscreteScheduler"], default: "FlowMatchEulerDiscreteScheduler")
        try c.requireFalse([
            "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_flow_sigmas", "invert_sigmas",
            "stochastic_sampling",
        ])
        guard try c.double("shift_terminal", default: 0) == 0 else {
            throw ModelsError.invalidValue(
                path: c.path, key: "shift_terminal", expected: "null", found: "\(try c.double("shift_terminal"))")
        }
        let trainingSteps = Float(try c.count("num_train_timesteps", default: 1000, in: 1...100_000))
        guard stepCount > 0, Float(stepCount) <= trainingSteps else {
            throw ModelsError.invalidArgument(
                "\(stepCount) steps; expected 1 to \(Int(trainingSteps)), the timesteps of \(c.path)")
        }
        let shift = try Self.shift(c, imageTokenCount: imageTokenCount)
        // The pipeline's linspace(1, 1 / stepCount, stepCount), whose last value is exact, in single precision from
        // here on, as in the original: the network amplifies the last bits of a timestep.
        let last = 1 / Double(stepCount)
        let step = (last - 1) / Double(max(1, stepCount - 1))
        let levels = (0..<stepCount).map { index in
            shift(Float(index > 0 && index == stepCount - 1 ? last : 1 + Double(index) * step))
        }
        sigmas = levels + [0]
        timesteps = levels.map { $0 * trainingSteps }
        steps = zip(timesteps, zip(sigmas, sigmas.dropFirst())).map { timestep, levels in
            Step(timestep: timestep / 1000, width: levels.1 - levels.0)
        }
        guard levels.allSatisfy({ $0 > 0 && $0.isFinite }) else {
            throw ModelsError.invalidArgument(
                "\(stepCount) steps; the shift of \(c.path) does not give positive finite noise levels")
        }
    }

    /// The time shift of the noise levels, constant or dynamic (`calculate_shift` of the pipeline).
    private static func shift(_ c: Configuration, imageTokenCount: Int) throws -> (Float) -> Float {
        let isExponential =
            try c.require("time_shift_type", oneOf: ["exponential", "linear"], default: "exponential") == "exponential"
        guard try c.bool("use_dynamic_shifting", default: false) else {
            let shift = try c.positive("shift", default: 1)
            let (factor, excess) = (Float(shift), Float(shift - 1))
            return { factor * $0 / (1 + excess * $0) }
        }
        let baseCount = try c.count("base_image_seq_len", default: 256)
        let maxCount = try c.count("max_image_seq_len", default: 4096)
        guard maxCount > baseCount else {
            throw ModelsError.invalidValue(
                path: c.path, key: "max_image_seq_len", expected: "more than base_image_seq_len = \(baseCount)",
                found: "\(maxCount)")
        }
        let (base, maximum) = (
            try c.double("base_shift", default: 0.5), try c.double("max_shift", default: 1.15)
        )
        let slope = (maximum - base) / Double(maxCount - baseCount)
        let mu = Double(imageTokenCount) * slope + (base - slope * Double(baseCount))
        let factor = Float(isExponential ? exp(mu) : mu)
        guard factor > 0, factor.isFinite else {
            throw ModelsError.invalidValue(
                path: c.path, key: "max_shift",
                expected: "a finite positive shift for images of \(imageTokenCount) tokens",
                found: "\(maximum)")
        }
        return { factor / (factor + (1 / $0 - 1)) }
    }
}
