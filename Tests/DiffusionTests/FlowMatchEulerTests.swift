import Foundation
import ModelConfiguration
import Models
import TestSupport
import Testing

@testable import Diffusion

@Suite struct FlowMatchEulerTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private func sampler(_ json: String, steps: Int = 4, tokens: Int = 1024) throws -> FlowMatchEuler {
        let path = try folder.write(json, to: "scheduler_config.json")
        return try FlowMatchEuler(Configuration(path: path), stepCount: steps, imageTokenCount: tokens)
    }

    private let dynamic = #"{"use_dynamic_shifting": true, "shift": 3.0}"#

    /// Expected noise levels are those of diffusers 0.42.1 with the pipeline's `calculate_shift`.
    @Test(arguments: [
        ("{}", 4, 1024, [1, 0.75, 0.5, 0.25]),
        (#"{"shift": 3.0}"#, 4, 1024, [1, 0.9, 0.75, 0.5]),
        (#"{"use_dynamic_shifting": true}"#, 4, 256, [1, 0.8318243, 0.6224594, 0.3546612]),
        (#"{"use_dynamic_shifting": true}"#, 4, 1024, [1, 0.8492348, 0.6524894, 0.3849447]),
        (#"{"use_dynamic_shifting": true}"#, 4, 4096, [1, 0.9045308, 0.7595109, 0.5128441]),
        (#"{"use_dynamic_shifting": true, "time_shift_type": "linear"}"#, 2, 4096, [1, 0.5348837]),
        (#"{"use_dynamic_shifting": true, "base_shift": 0.2, "max_shift": 2}"#, 1, 64, [1]),
    ])
    func noiseLevelsMatchDiffusers(_ json: String, _ count: Int, _ tokens: Int, _ expected: [Float]) throws {
        let steps = try sampler(json, steps: count, tokens: tokens).steps
        #expect(steps.count == count)
        for (step, level) in zip(steps, expected) { #expect(abs(step.timestep - level) < 1e-6) }
    }

    @Test(arguments: [1, 2, 7, 28, 1000])
    func stepsSpanAllNoiseLevels(_ count: Int) throws {
        let steps = try sampler(dynamic, steps: count).steps
        #expect(steps[0].timestep == 1 && steps.allSatisfy { $0.width < 0 })
        #expect(abs(steps.reduce(0) { $0 + $1.width } + 1) < 1e-5)
        for (step, next) in zip(steps, steps.dropFirst()) {
            #expect(abs(step.timestep + step.width - next.timestep) < 1e-6)
        }
    }

    @Test func dynamicShiftingIgnoresConstantShift() throws {
        #expect(try sampler(dynamic).steps == sampler(#"{"use_dynamic_shifting": true}"#).steps)
        #expect(try sampler(dynamic, tokens: 300).steps != sampler(dynamic).steps)
    }

    @Test(arguments: [
        ("_class_name", #""EulerDiscreteScheduler""#), ("use_karras_sigmas", "true"), ("invert_sigmas", "true"),
        ("stochastic_sampling", "true"), ("shift_terminal", "0.02"), ("shift", "0"), ("num_train_timesteps", "0"),
    ])
    func unsupportedValuesAreRejected(_ key: String, _ json: String) {
        let line = complaint { try sampler("{\"\(key)\": \(json)}") }
        #expect(line.isOneLine(naming: folder.file("scheduler_config.json"), "\(key) is ", "expected"))
    }

    @Test(arguments: [
        ("max_image_seq_len", "256"), ("base_image_seq_len", "4096"), ("time_shift_type", #""cosine""#),
        ("max_shift", "1e9"),
    ])
    func unsupportedShiftsAreRejected(_ key: String, _ json: String) {
        let line = complaint { try sampler("{\"use_dynamic_shifting\": true, \"\(key)\": \(json)}", tokens: 4096) }
        #expect(line.isOneLine(naming: folder.file("scheduler_config.json"), "expected"))
    }

    @Test(arguments: [0, -1, 1001, .max])
    func unsupportedStepCountsAreRejected(_ count: Int) {
        #expect(complaint { try sampler("{}", steps: count) }.isOneLine(naming: "\(count) steps", "1000"))
    }
}
