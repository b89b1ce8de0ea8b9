import Foundation
import ModelConfiguration
import Schedules
import TestSupport
import Testing

@Suite struct MeasurementSettingsTests {
    let folder: TemporaryFolder
    let model: String

    init() throws {
        folder = try TemporaryFolder()
        model = try folder.copy(of: "\(Fixtures.folder)/alpha-small/model", as: "model")
    }

    func replace(_ old: String, with new: String, in file: String) throws {
        let path = "\(model)/\(file)"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        #expect(text.contains(old))
        try text.replacingOccurrences(of: old, with: new).write(toFile: path, atomically: true, encoding: .utf8)
    }

    @Test func settingsHashCoversWhatMeasurementsDependOn() throws {
        let settings = try MeasurementSettings(modelFolder: model, stepCount: 20)
        #expect(settings.hash.count == 64)
        #expect(settings.canonicalText.hasPrefix("{\"architecture\":{\"attention_head_dim\":"))
        #expect(try MeasurementSettings(modelFolder: model, stepCount: 20).hash == settings.hash)
        let native = settings.model
        #expect(
            try MeasurementSettings(modelFolder: model, height: native.height, width: native.width, stepCount: 20).hash
                == settings.hash)
        #expect(try MeasurementSettings(modelFolder: model, stepCount: 19).hash != settings.hash)
        #expect(
            try MeasurementSettings(modelFolder: model, height: 2 * native.height, stepCount: 20).hash
                != settings.hash)
        // Python writes what JSON lacks, and other spellings of a number are the same number.
        try replace("\"beta_start\": 0.0001", with: "\"beta_start\": 1e-4", in: "scheduler/scheduler_config.json")
        #expect(try MeasurementSettings(modelFolder: model, stepCount: 20).hash == settings.hash)
        try replace("\"beta_start\": 1e-4", with: "\"beta_start\": 2e-4", in: "scheduler/scheduler_config.json")
        #expect(try MeasurementSettings(modelFolder: model, stepCount: 20).hash != settings.hash)
        try replace("2e-4", with: "0.0001, \"lambda_min\": -Infinity", in: "scheduler/scheduler_config.json")
        #expect(try MeasurementSettings(modelFolder: model, stepCount: 20).hash != settings.hash)
    }
}
