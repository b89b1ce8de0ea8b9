import ModelConfiguration
import TestSupport
import Testing

@Suite struct TimestepSpacingTests {
    private func timesteps(_ spacing: TimestepSpacing, _ stepCount: Int, last: Int = 1000, offset: Int = 0) -> [Int]? {
        spacing.timesteps(stepCount: stepCount, last: last, trainCount: 1000, offset: offset)
    }

    @Test func spacingsAreThoseOfDiffusers() {
        #expect(timesteps(.linspace, 4) == [999, 749, 500, 250])
        #expect(timesteps(.leading, 4, offset: 1) == [801, 601, 401, 201])
        #expect(timesteps(.trailing, 4) == [999, 749, 499, 249])
    }

    @Test func repeatedTimestepsAreRefused() {
        #expect(timesteps(.linspace, 999) != nil && timesteps(.linspace, 1000) == nil)
        #expect(timesteps(.leading, 999) != nil && timesteps(.leading, 1000) == nil)
        #expect(timesteps(.trailing, 1000) != nil)
        #expect(timesteps(.leading, 999, offset: 1) == nil, "a timestep beyond the last")
        #expect(timesteps(.linspace, 0) == nil && timesteps(.linspace, 1, last: 0) == nil)
    }

    @Test(arguments: ["alpha-micro", "flux-small"])
    func modelRefusesMoreStepsThanItsSamplerHas(_ fixture: String) throws {
        let folder = "\(Fixtures.folder)/\(fixture)/model"
        let model = try ModelDescription(modelFolder: folder)
        for count in [1, 20, 999] { try model.checkTimesteps(stepCount: count, modelFolder: folder) }
        let error = #expect(throws: ModelConfigurationError.self) {
            try model.checkTimesteps(stepCount: 1001, modelFolder: folder)
        }
        #expect(error?.name == "steps" && error?.found == "1001")
    }
}
