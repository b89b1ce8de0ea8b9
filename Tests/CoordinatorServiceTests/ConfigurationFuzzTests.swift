import TestSupport
import Testing

@testable import CoordinatorService

/// Damaged run configurations are read or refused with the file's name: no crash, no hang.
@Suite struct ConfigurationFuzzTests {
    private static let good = Array(
        """
        # A run
        [model]
        path = "models/m" # of this folder
        steps = 5
        guidance_scale = 2.5e0
        [prompts]
        calibration = 'p.txt'
        negative = "a \\"quoted\\" \\u00e9 text"
        [search]
        seeding = ["fora", "random",
            "default"]
        population = 24
        [stop]
        evaluations = 100
        [tasks]
        recheck_share = 0.02

        """.utf8)

    @Test func damagedConfigurationsEndInAConfigurationOrAnError() throws {
        _ = try RunConfiguration(text: String(decoding: Self.good, as: UTF8.self), file: "x.toml", folder: "/")
        var mutations = Mutations(seed: 23)
        let count = Mutations.count(otherwise: 1_000)
        var refused = 0
        for _ in 0..<count {
            let bytes = mutations.damaged(
                [Self.good], interesting: Array("[]{}=\"'#.,_-+:\\\n \t0123456789eEinfaltruxo".utf8))
            let text = String(decoding: bytes, as: UTF8.self)
            do {
                // What is read is read again from its resolved form.
                let read = try RunConfiguration(text: text, file: "x.toml", folder: "/")
                #expect(try RunConfiguration(text: read.resolved, file: "y.toml", folder: "/") == read, "\(text)")
            } catch {
                refused += 1
                #expect("\(error)".contains("x.toml"), "\(error)")
            }
        }
        #expect(refused > count / 2, "\(refused) of \(count) refused")
    }
}
