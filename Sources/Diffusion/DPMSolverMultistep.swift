import Foundation
import ModelConfiguration
import Models

/// DPM-Solver++ (arXiv 2211.01095), multistep, of first and second order: `DPMSolverMultistepScheduler` of diffusers.
///
/// diffusers calls it a scheduler; in this project a schedule is a cache schedule, so it is a sampler here. The solver is
/// linear in the sample and the last two predictions of the clean image, so a step is defined by three weights.
public struct DPMSolverMultistep: Sendable {
    /// One step: `x0 = (x - sigma · noise) / alpha`, then `x = sampleWeight · x + currentWeight · x0 + previousWeight ·
    /// x0'`, where x0' is the prediction of the previous step.
    public struct Step: Sendable, Equatable {
        /// The model's timestep, 0...999.
        public let timestep: Int
        let alpha, sigma, sampleWeight, currentWeight, previousWeight: Float

        fileprivate var isFinite: Bool {
            [alpha, sigma, sampleWeight, currentWeight, previousWeight].allSatisfy(\.isFinite)
        }
    }

    /// The steps of a trajectory, from noise to image.
    public let steps: [Step]
    /// The noise levels sigma / alpha of every step's start, and that of the image at the end.
    public let sigmas: [Float]

    /// Computes the steps of a trajectory.
    ///
    /// - Parameters:
    ///   - configuration: `scheduler/scheduler_config.json`; defaults are those of diffusers.
    ///   - stepCount: The number of denoising steps.
    /// - Throws: `ModelsError` for another sampler or an unsupported option.
    public init(_ configuration: Configuration, stepCount: Int) throws {
        let c = configuration
        _ = try c.require("_class_name", oneOf: ["DPMSolverMultistepScheduler"], default: "DPMSolverMultistepScheduler")
        _ = try c.require("algorithm_type", oneOf: ["dpmsolver++"], default: "dpmsolver++")
        _ = try c.require("prediction_type", oneOf: ["epsilon"], default: "epsilon")
        let usesHeun = try c.require("solver_type", oneOf: ["midpoint", "heun"], default: "midpoint") == "heun"
        let endsAtZero = try c.require("final_sigmas_type", oneOf: ["zero", "sigma_min"], default: "zero") == "zero"
        // `use_dynamic_shifting` is not among them: it has no effect in the PixArt pipelines, which pass no shift.
        try c.requireFalse([
            "thresholding", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas",
            "use_flow_sigmas", "rescale_betas_zero_snr",
        ])
        // diffusers cuts the prediction of a model with a learned variance to three channels.
        try c.requireAbsent(["variance_type", "trained_betas"])
        let order = try c.count("solver_order", default: 2)
        guard order <= 2 else {
            throw ModelsError.invalidValue(path: c.path, key: "solver_order", expected: "1 or 2", found: "\(order)")
        }
        let lowerOrderFinal = try c.bool("lower_order_final", default: true)
        let eulerAtFinal = try c.bool("euler_at_final", default: false)

        let trainingSigmas = try Self.trainingSigmas(c)
        let timesteps = try Self.timesteps(c, stepCount: stepCount, trainingSigmas: trainingSigmas)
        sigmas = timesteps.map { trainingSigmas[$0] } + [endsAtZero ? 0 : trainingSigmas[0]]
        let points = sigmas.map { Point(ratio: Double($0)) }
        steps = timesteps.indices.map { index in
            let isFirstOrderFinal =
                index == stepCount - 1 && (eulerAtFinal || endsAtZero || (lowerOrderFinal && stepCount < 15))
            let previous = index == 0 || order == 1 || isFirstOrderFinal ? nil : points[index - 1]
            return Self.step(
                timestep: timesteps[index], from: points[index], to: points[index + 1], previous: previous,
                usesHeun: usesHeun)
        }
        if let index = steps.firstIndex(where: { !$0.isFinite }) {
            throw ModelsError.invalidArgument(
                "\(stepCount) steps; the weights of step \(index + 1) at timestep \(steps[index].timestep) are not finite "
                    + "with the settings of \(c.path)")
        }
    }

    /// A noise level: `x = alpha · x0 + sigma · noise`; lambda = ln(alpha / sigma).
    private struct Point {
        let alpha, sigma, lambda: Double

        /// - Parameter ratio: sigma / alpha.
        init(ratio: Double) {
            alpha = 1 / (ratio * ratio + 1).squareRoot()
            sigma = ratio * alpha
            lambda = -log(ratio)
        }
    }

    private static func step(
        timestep: Int, from current: Point, to next: Point, previous: Point?, usesHeun: Bool
    ) -> Step {
        // With a final sigma of zero, h is infinite and e^-h is 0: the step ends at x0.
        let h = next.lambda - current.lambda
        let decay = next.sigma == 0 ? 0 : exp(-h)
        let current0 = next.alpha * (1 - decay)
        var (currentWeight, previousWeight) = (current0, 0.0)
        if let previous {
            let ratio = (current.lambda - previous.lambda) / h
            let slope = usesHeun ? next.alpha * ((decay - 1) / h + 1) : 0.5 * current0
            currentWeight += slope / ratio
            previousWeight -= slope / ratio
        }
        return Step(
            timestep: timestep, alpha: Float(current.alpha), sigma: Float(current.sigma),
            sampleWeight: Float(next.sigma / current.sigma), currentWeight: Float(currentWeight),
            previousWeight: Float(previousWeight))
    }

    /// sigma / alpha of every training timestep.
    ///
    /// In the types and the order of operations of the original: betas are interpolated in single precision from the
    /// nearer end, by fused multiply-adds as in PyTorch on x86-64 with AVX2; products accumulate in double precision.
    /// The square root is rounded correctly, that of PyTorch only to one unit in the last place.
    private static func trainingSigmas(_ c: Configuration) throws -> [Float] {
        let count = try c.count("num_train_timesteps", default: 1000, in: 2...100_000)
        let start = try c.double("beta_start", default: 0.0001)
        let end = try c.double("beta_end", default: 0.02)
        let schedule = try c.require("beta_schedule", oneOf: ["linear", "scaled_linear"], default: "linear")
        guard start > 0, end > start, end < 1 else {
            throw ModelsError.invalidValue(
                path: c.path, key: "beta_start", expected: "0 < beta_start < beta_end < 1",
                found: "\(start) with a beta_end of \(end)")
        }
        let isLinear = schedule == "linear"
        let first = Float(isLinear ? start : start.squareRoot())
        let last = Float(isLinear ? end : end.squareRoot())
        let step = (last - first) / Float(count - 1)
        var alphaProduct = 1.0
        let sigmas = (0..<count).map { index in
            let value =
                index < count / 2
                ? first.addingProduct(step, Float(index))
                : last.addingProduct(-step, Float(count - 1 - index))
            alphaProduct *= Double(1 - (isLinear ? value : value * value))
            return ((1 - Float(alphaProduct)) / Float(alphaProduct)).squareRoot()
        }
        guard sigmas[0] > 0, sigmas[count - 1] < 1e15 else {
            throw ModelsError.invalidValue(
                path: c.path, key: "num_train_timesteps",
                expected:
                    "a count for which betas of \(start)...\(end) neither start without noise nor destroy all signal",
                found: "\(count)")
        }
        return sigmas
    }

    /// Distinct timesteps.
    private static func timesteps(_ c: Configuration, stepCount: Int, trainingSigmas: [Float]) throws -> [Int] {
        let isUnbounded = !c.has("lambda_min_clipped") || c.isNegativeInfinity("lambda_min_clipped")
        let lowest = isUnbounded ? -Double.infinity : try c.double("lambda_min_clipped")
        let trainCount = trainingSigmas.count
        let last = trainCount - trainingSigmas.count { -log(Double($0)) < lowest }
        guard last > 0 else {
            throw ModelsError.invalidValue(
                path: c.path, key: "lambda_min_clipped", expected: "a bound that leaves some training timesteps",
                found: "\(lowest)")
        }
        guard (1...last).contains(stepCount) else {
            throw ModelsError.invalidArgument("\(stepCount) steps; expected 1 to \(last), the timesteps of \(c.path)")
        }
        let (spacing, offset) = try c.timestepSpacing(trainCount: trainCount)
        guard
            let timesteps = spacing.timesteps(
                stepCount: stepCount, last: last, trainCount: trainCount, offset: offset)
        else {
            throw ModelsError.invalidArgument(
                "\(stepCount) steps; \(spacing) spacing of the \(last) training timesteps of \(c.path) does not give "
                    + "as many distinct ones, expected another number of steps")
        }
        return timesteps
    }
}

extension Configuration {
    /// Rejects enabled options of samplers other than this one.
    func requireFalse(_ keys: [String]) throws {
        for key in keys where try bool(key, default: false) {
            throw ModelsError.invalidValue(path: path, key: key, expected: "false", found: "true")
        }
    }

    /// Rejects values that this sampler does not read.
    func requireAbsent(_ keys: [String]) throws {
        for key in keys where has(key) {
            throw ModelsError.invalidValue(path: path, key: key, expected: "null", found: "set")
        }
    }
}
