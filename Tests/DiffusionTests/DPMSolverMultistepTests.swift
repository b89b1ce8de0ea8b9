import Foundation
import ModelConfiguration
import Models
import TestSupport
import Testing

@testable import Diffusion

@Suite struct DPMSolverMultistepTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    /// A sampler from a configuration with only the given keys.
    private func sampler(_ json: String = "{}", steps: Int = 20) throws -> DPMSolverMultistep {
        let path = try folder.write(json, to: "scheduler_config.json")
        return try DPMSolverMultistep(Configuration(path: path), stepCount: steps)
    }

    @Test func twentyStepsMatchDiffusers() throws {
        let steps = try sampler().steps
        #expect(
            steps.map(\.timestep) == [
                999, 949, 899, 849, 799, 749, 699, 649, 599, 549, 500, 450, 400, 350, 300, 250, 200, 150, 100, 50,
            ])
        let ratios = steps.map { $0.sigma / $0.alpha }
        for (index, expected) in [(0, 157.40727), (1, 96.17609), (18, 0.34226), (19, 0.17601)] as [(Int, Float)] {
            #expect(abs(ratios[index] / expected - 1) < 1e-4, "\(ratios[index]) at step \(index)")
        }
    }

    @Test(arguments: [
        (20, "{}", 1..<19), (14, "{}", 1..<13), (1, "{}", 1..<1), (20, #"{"solver_order": 1}"#, 1..<1),
        (20, #"{"final_sigmas_type": "sigma_min"}"#, 1..<20), (14, #"{"final_sigmas_type": "sigma_min"}"#, 1..<13),
        (20, #"{"final_sigmas_type": "sigma_min", "euler_at_final": true}"#, 1..<19),
        (14, #"{"final_sigmas_type": "sigma_min", "lower_order_final": false}"#, 1..<14),
    ])
    func firstAndFinalStepsAreOfFirstOrder(_ count: Int, _ json: String, _ secondOrder: Range<Int>) throws {
        let steps = try sampler(json, steps: count).steps
        #expect(steps.indices.filter { steps[$0].previousWeight != 0 } == Array(secondOrder))
    }

    /// With constant, correct predictions of the clean image, every step lands on the next noise level.
    @Test(arguments: ["{}", #"{"solver_type": "heun"}"#, #"{"beta_schedule": "scaled_linear"}"#])
    func constantPredictionsLandOnTheNoiseLevels(_ json: String) throws {
        let steps = try sampler(json).steps
        for (index, step) in steps.enumerated() {
            let isLast = index == steps.count - 1
            let (alpha, sigma) = isLast ? (1, 0) : (steps[index + 1].alpha, steps[index + 1].sigma)
            #expect(abs(step.sampleWeight * step.sigma - sigma) < 1e-6)
            let image = step.sampleWeight * step.alpha + step.currentWeight + step.previousWeight
            #expect(abs(image - alpha) < 1e-6)
            #expect(abs(step.alpha * step.alpha + step.sigma * step.sigma - 1) < 1e-6)
        }
    }

    @Test func lastStepReturnsThePrediction() throws {
        let last = try #require(sampler().steps.last)
        #expect(last.sampleWeight == 0 && last.currentWeight == 1 && last.previousWeight == 0)
    }

    @Test(arguments: [("leading", 1, 941), ("trailing", 0, 999)])
    func timestepSpacingsMatchDiffusers(_ spacing: String, _ offset: Int, _ first: Int) throws {
        let steps = try sampler(#"{"timestep_spacing": "\#(spacing)", "steps_offset": \#(offset)}"#).steps
        #expect(steps[0].timestep == first)
        #expect(zip(steps, steps.dropFirst()).allSatisfy { $0.timestep > $1.timestep })
    }

    @Test func bareInfinityIsAccepted() throws {
        let path = "\(Fixtures.folder)/alpha-small/model/scheduler/scheduler_config.json"
        #expect(try String(contentsOfFile: path, encoding: .utf8).contains("-Infinity"))
        let published = try DPMSolverMultistep(Configuration(path: path), stepCount: 20).steps
        #expect(try published == sampler().steps)
    }

    @Test(arguments: [
        ("_class_name", #"{"_class_name": "EulerDiscreteScheduler"}"#),
        ("algorithm_type", #"{"algorithm_type": "sde-dpmsolver++"}"#),
        ("prediction_type", #"{"prediction_type": "v_prediction"}"#), ("solver_type", #"{"solver_type": "bh2"}"#),
        ("solver_order", #"{"solver_order": 3}"#), ("solver_order", #"{"solver_order": 0}"#),
        ("thresholding", #"{"thresholding": true}"#), ("use_karras_sigmas", #"{"use_karras_sigmas": true}"#),
        ("use_flow_sigmas", #"{"use_flow_sigmas": 1}"#),
        ("rescale_betas_zero_snr", #"{"rescale_betas_zero_snr": true}"#),
        ("trained_betas", #"{"trained_betas": [0.1]}"#), ("beta_schedule", #"{"beta_schedule": "cosine"}"#),
        ("num_train_timesteps", #"{"num_train_timesteps": 0}"#),
        ("num_train_timesteps", #"{"num_train_timesteps": 1}"#),
        ("num_train_timesteps", #"{"num_train_timesteps": -9}"#),
        ("num_train_timesteps", #"{"num_train_timesteps": 1e15}"#),
        // No signal is left, or no noise is added, in single or double precision.
        ("num_train_timesteps", #"{"num_train_timesteps": 99999}"#),
        ("num_train_timesteps", #"{"beta_start": 1e-300, "beta_end": 1e-200}"#),
        ("beta_start", #"{"beta_start": 0}"#), ("beta_start", #"{"beta_start": 0.5}"#),
        ("beta_start", #"{"beta_start": "low"}"#), ("timestep_spacing", #"{"timestep_spacing": "karras"}"#),
        ("steps_offset", #"{"timestep_spacing": "leading", "steps_offset": -1}"#),
        ("steps_offset", #"{"timestep_spacing": "leading", "steps_offset": 9223372036854774784}"#),
        ("lambda_min_clipped", #"{"lambda_min_clipped": 100}"#), ("final_sigmas_type", #"{"final_sigmas_type": 3}"#),
    ])
    func unsupportedValuesAreRejected(_ key: String, _ json: String) {
        let line = complaint { try sampler(json) }
        #expect(line.isOneLine(naming: folder.file("scheduler_config.json"), "\(key) is ", "expected"))
    }

    @Test(arguments: [0, -1, 1000, 1001, .max])
    func unsupportedStepCountsAreRejected(_ count: Int) {
        let line = complaint { try sampler(steps: count) }
        #expect(line.isOneLine(naming: folder.file("scheduler_config.json"), "\(count) steps", "1000"))
    }

    @Test func largeStepCountsAreSupported() throws {
        #expect(try sampler(steps: 500).steps.count == 500)
        #expect(try sampler(#"{"num_train_timesteps": 100}"#, steps: 50).steps.count == 50)
    }
}
