import TestSupport
import Testing

@testable import CoordinatorService

@Suite struct ConfigurationFuzzTests {
    /// No crash, no hang: a mutated configuration is either accepted or rejected with a one-line error.
    @Test func mutatedConfigurationsAreReadOrRejectedInOneLine() throws {
        let valid = """
            [model]
            path = "models/x"
            steps = 5
            guidance_scale = 2.5
            [prompts]
            calibration = "prompts.txt"
            [objectives]
            cost = "macs"
            [search]
            population = 6
            seeding = ["fora", "random"]
            [tasks]
            images = 2
            """
        _ = try RunConfiguration(text: valid, file: "run.toml", folder: "/")
        var mutations = Mutations(seed: 13)
        let count = Mutations.count(otherwise: 2_000)
        var rejected = 0
        for _ in 0..<count {
            let bytes = mutations.mutated(
                [Array(valid.utf8)], interesting: Array("[]=\"'\n#.,0123456789-+eE\\u{}".utf8))
            do {
                let read = try RunConfiguration(
                    text: String(decoding: bytes, as: UTF8.self), file: "run.toml", folder: "/")
                #expect(try RunConfiguration(text: read.resolved, file: "resolved", folder: "/") == read)
            } catch {
                rejected += 1
                #expect(!"\(error)".contains("\n"), "\(error)")
            }
        }
        #expect(rejected > count / 4, "\(rejected) of \(count) rejected")
    }
}
