import Foundation
import TestSupport
import Testing
import Verification

/// Reference files that are damaged or do not match the model.
@Suite struct ReferenceFileTests {
    private let folder: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
    }

    private static func model(_ fixture: String) -> String { "\(Fixtures.folder)/\(fixture)/model" }

    /// A modified copy of a reference file.
    private func copy(_ reference: String, _ change: (inout SafetensorsContent) -> Void = { _ in }) throws -> String {
        var content = try SafetensorsContent(path: "\(Fixtures.folder)/\(reference).safetensors")
        change(&content)
        try content.write(to: folder.file("reference.safetensors"))
        return folder.file("reference.safetensors")
    }

    private func verify(_ reference: String, model: String = model("alpha-small")) -> Complaint {
        complaint { try Verification.run(model: model, reference: reference) }
    }

    // MARK: - The file

    @Test func unmodifiedCopyPasses() throws {
        let path = try copy("alpha-small/trajectory-unguided")
        let report = try Verification.run(model: Self.model("alpha-small"), reference: path)
        #expect(report.passed && report.case == "trajectory")
        #expect(report.tensors.map(\.name) == ["timesteps", "sigmas", "initial_latents", "step_latents", "images"])
        #expect(report.notCompared.isEmpty)
    }

    @Test func missingFileIsReported() {
        #expect(verify("/absent/reference.safetensors").isOneLine(naming: "/absent/reference.safetensors"))
    }

    @Test(arguments: [
        ("format", "ecad-reference/2", "ecad-reference/1"), ("format", nil, "ecad-reference/1"),
        ("case", "sampler", "text-encoder, transformer"), ("case", nil, "text-encoder, transformer"),
        ("seeds", nil, "a string"), ("seeds", "[1, -1]", "non-negative integers"), ("seeds", "seven", "integers"),
        ("shape", "{}", "an array of sizes"),
    ])
    func invalidMetadataIsReported(_ key: String, _ value: String?, _ expected: String) throws {
        let path = try copy("noise/16") { $0.metadata[key] = value }
        let found = value ?? (key == "case" ? "" : "missing")
        #expect(verify(path).isOneLine(naming: path, "metadata \"\(key)\" is ", found, "expected", expected))
    }

    @Test(arguments: ["[4]", "[16, 1]", "[-16]", "[0]", "[9223372036854775807, 9223372036854775807]", "[]"])
    func noiseOfAnotherShapeIsRejected(_ shape: String) throws {
        let path = try copy("noise/16") { $0.metadata["shape"] = shape }
        #expect(verify(path).isOneLine(naming: path, "\"noise\"", "expected ["))
    }

    @Test func emptyTensorIsRejected() throws {
        let path = try copy("alpha-small/vae-decoder") {
            $0.tensors["latents"]?.shape[0] = 0
            $0.tensors["latents"]?.bytes = Data()
        }
        #expect(verify(path).isOneLine(naming: path, "\"latents\"", "[0, 4"))
    }

    @Test(arguments: [
        ("text-encoder", "hidden_states"), ("text-encoder", "attention_mask"), ("transformer", "sample"),
        ("transformer", "timestep"), ("vae-decoder", "image"), ("trajectory-unguided", "step_latents"),
        ("trajectory-unguided", "images"),
    ])
    func missingOrMismatchedTensorsAreReported(_ name: String, _ tensor: String) throws {
        let missing = try copy("alpha-small/\(name)") { $0.tensors[tensor] = nil }
        #expect(verify(missing).isOneLine(naming: missing, "'\(tensor)'"))
        let reshaped = try copy("alpha-small/\(name)") { $0.tensors[tensor]?.shape.append(1) }
        #expect(verify(reshaped).isOneLine(naming: reshaped, "\"\(tensor)\" has shape", "expected ["))
        let retyped = try copy("alpha-small/\(name)") {
            guard let type = $0.tensors[tensor]?.type else { return }
            $0.tensors[tensor]?.type = ["F32": "I32", "I64": "F64"][type] ?? type
        }
        #expect(verify(retyped).isOneLine(naming: retyped, "'\(tensor)' has type"))
    }

    @Test(arguments: ["0", "-1", "1e12", "4097", "\"x\""])
    func textLengthOutOfRangeIsRejected(_ length: String) throws {
        for reference in ["alpha-small/text-encoder", "alpha-small/trajectory-unguided"] {
            let path = try copy(reference) { $0.metadata["max_length"] = length }
            #expect(verify(path).isOneLine(naming: path, "\"max_length\" is \"\(length)\"", "from 1 to 4096"))
        }
    }

    // MARK: - FLUX

    @Test(arguments: [
        ("text-encoder", "pooled"), ("text-encoder-2", "hidden_states"), ("transformer", "guidance"),
        ("transformer", "img_ids"), ("transformer", "txt_ids"), ("transformer", "pooled_projections"),
    ])
    func missingOrMismatchedFluxTensorsAreReported(_ name: String, _ tensor: String) throws {
        let missing = try copy("flux-small/\(name)") { $0.tensors[tensor] = nil }
        #expect(verify(missing, model: Self.model("flux-small")).isOneLine(naming: missing, "'\(tensor)'"))
        let reshaped = try copy("flux-small/\(name)") { $0.tensors[tensor]?.shape.append(1) }
        let line = verify(reshaped, model: Self.model("flux-small"))
        #expect(line.isOneLine(naming: reshaped, "\"\(tensor)\" has shape", "expected ["))
    }

    @Test func fluxPositionsComeFromTheFile() throws {
        let path = try copy("flux-small/transformer") { $0.fill("img_ids", with: 0) }
        #expect(try !Verification.run(model: Self.model("flux-small"), reference: path).passed)
    }

    @Test(arguments: ["1", "21"])
    func textLengthBeyondCLIPsPositionsIsRejected(_ length: String) throws {
        let path = try copy("flux-small/text-encoder") { $0.metadata["max_length"] = length }
        #expect(verify(path, model: Self.model("flux-small")).isOneLine(naming: path, "max_length", "from 2 to 20"))
    }

    @Test(arguments: ["alpha-small", "flux-small"])
    func unknownTextEncoderFolderIsRejected(_ fixture: String) throws {
        let path = try copy("\(fixture)/text-encoder") {
            $0.metadata["folder"] = fixture == "flux-small" ? "../../alpha-small/model/text_encoder" : "text_encoder_2"
        }
        #expect(verify(path, model: Self.model(fixture)).isOneLine(naming: path, "\"folder\"", "text_encoder"))
    }

    // MARK: - Trajectories

    @Test(arguments: [
        ("prompts", "[]", "at least one prompt"), ("prompts", "\"a fox\"", "an array of strings"),
        ("seeds", "[1, 2, 3, 4]", "one for each prompt"), ("seeds", "[]", "one for each prompt"),
        ("steps", "five", "an integer"), ("height", "2.5", "an integer"), ("guidance_scale", "1e99", "a number"),
        ("negative_prompt", nil, "a string"), ("schedule", nil, "a string"),
    ])
    func invalidTrajectoryMetadataIsReported(_ key: String, _ value: String?, _ expected: String) throws {
        let path = try copy("alpha-small/trajectory-unguided") { $0.metadata[key] = value }
        #expect(verify(path).isOneLine(naming: path, "metadata \"\(key)\" is ", value ?? "missing", expected))
    }

    @Test(arguments: [
        ("height", "20", "height 20"), ("width", "-8", "width -8"), ("height", "9223372036854775800", "height 9223"),
        ("steps", "0", "0 steps"), ("steps", "5000", "5000 steps"),
    ])
    func unsupportedGenerationSettingsAreRejected(_ key: String, _ value: String, _ expected: String) throws {
        let path = try copy("alpha-small/trajectory-unguided") { $0.metadata[key] = value }
        #expect(verify(path).isOneLine(naming: expected, "expected"))
    }

    @Test func latentsOfAnotherSizeAreRejected() throws {
        // The same number of values in another shape.
        let path = try copy("alpha-small/trajectory-unguided") { content in
            guard let shape = content.tensors["initial_latents"]?.shape else { return }
            content.tensors["initial_latents"]?.shape = [shape[0], shape[1], shape[2] * shape[3], 1]
        }
        #expect(verify(path).isOneLine(naming: path, "\"step_latents\" has shape", "expected ["))
    }

    @Test func missingScheduleIsReported() throws {
        let path = try copy("alpha-small/trajectory-unguided") { $0.metadata["schedule"] = "absent.json" }
        #expect(verify(path).isOneLine(naming: folder.file("absent.json"), "no such file"))
    }

    @Test(arguments: ["alpha-micro/random-7", "alpha-patch1/fora-3"])
    func scheduleOfAnotherModelIsRejected(_ schedule: String) throws {
        let name = try folder.copy(of: "\(Fixtures.folder)/\(schedule).json", as: "other.json")
        let path = try copy("alpha-small/trajectory-unguided") { $0.metadata["schedule"] = "other.json" }
        #expect(verify(path).isOneLine(naming: name, "the schedule is for", "PixArt blocks x"))
    }

    @Test func differencesFailWithoutAnError() throws {
        let path = try copy("alpha-small/vae-decoder") { $0.fill("image", with: 0.25) }
        let report = try Verification.run(model: Self.model("alpha-small"), reference: path)
        #expect(!report.passed && report.tensors.map(\.passed) == [false])
    }

    @Test(arguments: [("vae-decoder", "image"), ("vae-decoder", "latents"), ("trajectory-unguided", "step_latents")])
    func referencesThatAreNotFiniteAreRejected(_ name: String, _ tensor: String) throws {
        for value in [Float.nan, .infinity] {
            let path = try copy("alpha-small/\(name)") { $0.fill(tensor, with: value) }
            #expect(verify(path).isOneLine(naming: path, "\"\(tensor)\" contains", "expected finite numbers"))
        }
    }

    /// A file of an earlier version, without the tensors, is compared without them, and the report says so.
    @Test func timestepsAndNoiseLevelsAreCompared() throws {
        let steps = 20
        let timesteps = (1...steps).reversed().map { Int64((Double($0) * 49.95).rounded(.toNearestOrEven)) }
        func run(_ change: (inout [Int64]) -> Void) throws -> VerificationReport {
            var timesteps = timesteps
            change(&timesteps)
            let path = try copy("alpha-small/trajectory-unguided") {
                $0.tensors["sigmas"] = nil
                $0.tensors["timesteps"] = .init(
                    type: "I64", shape: [steps], bytes: timesteps.withUnsafeBytes { Data($0) })
            }
            return try Verification.run(model: Self.model("alpha-small"), reference: path)
        }
        let right = try run { _ in }
        #expect(right.passed && right.notCompared == ["sigmas"], "\(right.tensors)")
        let wrong = try run { $0[7] += 1 }
        #expect(!wrong.passed && wrong.tensors.filter { !$0.passed }.map(\.name) == ["timesteps"])
    }

    /// Latents of a trajectory with one timestep off by one do not pass for those of the right one, at any step.
    @Test(arguments: Fixtures.names(in: "timesteps", ending: ".safetensors"))
    func wrongTimestepFails(_ reference: String) throws {
        let report = try Verification.run(
            model: Self.model("alpha-small"), reference: "\(Fixtures.folder)/timesteps/\(reference)")
        #expect(!report.passed && report.notCompared == ["timesteps", "sigmas"])
        #expect(report.tensors.first { $0.name == "step_latents" }?.passed == false, "\(report.tensors)")
    }
}
