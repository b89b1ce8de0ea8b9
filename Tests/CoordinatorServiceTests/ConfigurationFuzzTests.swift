import TestSupport
import Testing

@testable import CoordinatorService

/// Damaged configurations are read or refused in one line: no crash, no hang.
@Suite struct ConfigurationFuzzTests {
    @Test func damagedConfigurationsEndInAValueOrAnError() throws {
        let good = """
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
        _ = try RunConfiguration(text: good, file: "run.toml", folder: "/")
        var mutations = Mutations(seed: 13)
        let count = Mutations.count(otherwise: 2_000)
        var refused = 0
        for _ in 0..<count {
            let bytes = mutations.mutated([Array(good.utf8)], interesting: Array("[]=\"'\n#.,0123456789-+eE\\u{}".utf8))
            do {
                let read = try RunConfiguration(
                    text: String(decoding: bytes, as: UTF8.self), file: "run.toml", folder: "/")
                // What is read and written out is read the same.
                #expect(try RunConfiguration(text: read.resolved, file: "resolved", folder: "/") == read)
            } catch {
                refused += 1
                #expect(!"\(error)".contains("\n"), "\(error)")
            }
        }
        #expect(refused > count / 4, "\(refused) of \(count) refused")
    }
}
