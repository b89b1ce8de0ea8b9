import Basics
import Foundation
import ModelConfiguration
import TestSupport
import Testing

@testable import Diffusion

/// Timesteps and noise levels of both samplers, for 1 to 1000 steps, equal those of diffusers
/// (`scripts/fixtures/make_timesteps.py`).
@Suite struct TimestepsTests {
    /// A configuration and, for each number of steps from 1, a digest, or "-" where the engine must refuse.
    private struct Cells {
        let config: Data
        let tokens: Int
        let digests: [String]

        init(_ entry: Any) throws {
            let object = try #require(entry as? [String: Any])
            config = try TimestepsTests.config(of: object)
            tokens = object["tokens"] as? Int ?? 0
            let cells = try #require(object["cells"] as? String)
            digests = cells.split(separator: " ").map(String.init)
            try #require(digests.count == 1000)
        }
    }

    private let folder: TemporaryFolder
    private let fixture: [String: [Any]]

    init() throws {
        folder = try TemporaryFolder()
        let data = try Data(contentsOf: URL(filePath: "\(Fixtures.folder)/timesteps/diffusers.json"))
        let document = try JSONSerialization.jsonObject(with: data)
        fixture = try #require(document as? [String: [Any]])
    }

    private static func config(of object: [String: Any]) throws -> Data {
        let config = try #require(object["config"])
        return try JSONSerialization.data(withJSONObject: config)
    }

    private func configuration(_ json: Data) throws -> Configuration {
        let path = try folder.write(String(decoding: json, as: UTF8.self), to: "scheduler_config.json")
        return try Configuration(path: path)
    }

    private func digest(_ bytes: some Sequence<UInt8>) -> String {
        SHA256.digest(bytes).prefix(4).map { String(format: "%02x", $0) }.joined()
    }

    @Test func timestepsOfDPMSolverEqualDiffusers() throws {
        let entries = try #require(fixture["dpm"]).map(Cells.init)
        #expect(entries.count == 7)
        for cells in entries {
            let configuration = try configuration(cells.config)
            for (count, expected) in zip(1..., cells.digests) {
                let sampler = try? DPMSolverMultistep(configuration, stepCount: count)
                let list = sampler?.steps.map { "\($0.timestep)" }.joined(separator: ",")
                let found = list.map { digest($0.utf8) } ?? "-"
                if found != expected {
                    Issue.record(
                        "\(String(decoding: cells.config, as: UTF8.self)), \(count) steps: \(list ?? "refused")")
                }
            }
        }
    }

    /// Within one float32 unit in the last place: PyTorch's square root is exact only to that.
    @Test func noiseLevelsOfDPMSolverEqualDiffusers() throws {
        for entry in try #require(fixture["sigmas"]) {
            let object = try #require(entry as? [String: Any])
            let config = try Self.config(of: object)
            let text = try #require(object["base64"] as? String)
            let bytes = try #require(Data(base64Encoded: text))
            let table = bytes.withUnsafeBytes { source in
                (0..<bytes.count / 4).map { source.loadUnaligned(fromByteOffset: 4 * $0, as: Float.self) }
            }
            // Three numbers of steps that together use most training timesteps.
            for count in [20, table.count / 2 - 1, table.count - 1] {
                let sampler = try DPMSolverMultistep(configuration(config), stepCount: count)
                #expect(sampler.sigmas.count == count + 1 && sampler.sigmas.last == 0)
                for (step, sigma) in zip(sampler.steps, sampler.sigmas) {
                    let expected = table[step.timestep]
                    #expect(abs(sigma - expected) <= expected.ulp, "\(count) steps, timestep \(step.timestep)")
                }
            }
        }
    }

    /// To the last bit.
    @Test func stepsOfEulerEqualDiffusers() throws {
        let entries = try #require(fixture["flow"]).map(Cells.init)
        #expect(entries.count == 9)
        for cells in entries {
            let configuration = try configuration(cells.config)
            for (count, expected) in zip(1..., cells.digests) {
                let sampler = try FlowMatchEuler(configuration, stepCount: count, imageTokenCount: cells.tokens)
                let bytes = (sampler.timesteps + sampler.sigmas).withUnsafeBytes { Array($0) }
                if digest(bytes) != expected {
                    Issue.record("\(String(decoding: cells.config, as: UTF8.self)), \(count) steps: other bits")
                }
            }
        }
    }

    @Test(arguments: [
        (30, "linspace", 15, 499), (16, "trailing", 1, 937), (20, "linspace", 10, 500),
    ])
    func halvesAreRoundedAsInNumPy(_ count: Int, _ spacing: String, _ index: Int, _ expected: Int) throws {
        let json = Data("{\"timestep_spacing\": \"\(spacing)\"}".utf8)
        let steps = try DPMSolverMultistep(configuration(json), stepCount: count).steps
        #expect(steps[index].timestep == expected, "\(steps.map(\.timestep))")
    }

    @Test(arguments: [(61, "trailing"), (1000, "linspace"), (1000, "leading")])
    func countsThatDiffusersChangesAreRefused(_ count: Int, _ spacing: String) throws {
        let json = Data("{\"timestep_spacing\": \"\(spacing)\"}".utf8)
        let line = complaint { try DPMSolverMultistep(configuration(json), stepCount: count) }
        #expect(line.isOneLine(naming: "\(count) steps", spacing, "scheduler_config.json", "expected"))
    }

    /// Settings that would change the images are refused by name, those without effect are accepted.
    @Test(arguments: [
        ("variance_type", "\"learned_range\"", false), ("variance_type", "null", true),
        ("use_dynamic_shifting", "true", true), ("flow_shift", "3.0", true), ("sample_max_value", "2.0", true),
        ("dynamic_thresholding_ratio", "0.9", true), ("beta_start", "NaN", false), ("beta_end", "Infinity", false),
        ("lambda_min_clipped", "-Infinity", true), ("lambda_min_clipped", "NaN", false),
        ("steps_offset", "Infinity", false),
    ])
    func settingsOfDPMSolver(_ key: String, _ json: String, _ isAccepted: Bool) throws {
        let configuration = try configuration(Data("{\"\(key)\": \(json)}".utf8))
        let line = complaint { try DPMSolverMultistep(configuration, stepCount: 20) }
        #expect(isAccepted ? line.description.isEmpty : line.isOneLine(naming: "\(key) is ", "expected"), "\(line)")
    }

    @Test(arguments: [
        ("shift", "NaN", false), ("shift", "Infinity", false), ("base_shift", "NaN", true),
        ("shift_terminal", "0.0", true),
        ("time_shift_type", "\"cosine\"", false), ("shift_terminal", "NaN", false), ("invert_sigmas", "false", true),
    ])
    func settingsOfEuler(_ key: String, _ json: String, _ isAccepted: Bool) throws {
        let configuration = try configuration(Data("{\"\(key)\": \(json)}".utf8))
        let line = complaint { try FlowMatchEuler(configuration, stepCount: 20, imageTokenCount: 256) }
        #expect(isAccepted ? line.description.isEmpty : line.isOneLine(naming: "\(key) is ", "expected"), "\(line)")
    }

    /// With dynamic shifting, a base shift that is not a number is an error, and a constant shift is unused.
    @Test func dynamicShiftingReadsItsOwnKeysOnly() throws {
        let bad = try configuration(Data(#"{"use_dynamic_shifting": true, "base_shift": NaN}"#.utf8))
        #expect(
            complaint { try FlowMatchEuler(bad, stepCount: 4, imageTokenCount: 256) }
                .isOneLine(naming: "base_shift is NaN"))
    }

    /// The last step of 1000 trailing steps starts at the noise level that `sigma_min` ends at.
    @Test func stepsWithoutFiniteWeightsAreRefused() throws {
        let json = #"{"timestep_spacing": "trailing", "final_sigmas_type": "sigma_min", "solver_type": "heun"}"#
        let configuration = try configuration(Data(json.utf8))
        let line = complaint { try DPMSolverMultistep(configuration, stepCount: 1000) }
        #expect(line.isOneLine(naming: "step 1000", "not finite"), "\(line)")
    }
}
