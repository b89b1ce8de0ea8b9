import Foundation
import TestSupport
import Testing
import Verification

/// The engine against the original Python libraries, on every committed reference file.
@Suite struct VerificationTests {
    /// Tighter than the program's defaults: a GELU of the other kind moves some outputs by no more than 3e-5.
    private static let forwardTolerance = 5e-6
    private static let trajectoryTolerance = 2e-5

    /// A fifth of the program's default; the distance may be off by ten times as much.
    private static let scorerTolerance = 2e-5

    private static let scorers = ["image-reward", "clip", "inception"].flatMap { folder in
        Fixtures.names(in: folder, ending: ".safetensors").map { "\(folder)/\($0)" }
    }
    private static let references = [
        "alpha-small", "alpha-patch1", "alpha-micro", "alpha-micro-explicit", "sigma-small", "flux-small", "flux-plain",
    ]
    .flatMap { folder in Fixtures.names(in: folder, ending: ".safetensors").map { "\(folder)/\($0)" } }
    private static let noise = Fixtures.names(in: "noise", ending: ".safetensors").map { "noise/\($0)" }

    @Test(arguments: references)
    func engineEqualsTheOriginal(_ reference: String) throws {
        let model = "\(Fixtures.folder)/\(reference.split(separator: "/")[0])/model"
        let isTrajectory = reference.contains("trajectory")
        let report = try Verification.run(
            model: model, reference: "\(Fixtures.folder)/\(reference)",
            tolerance: isTrajectory ? Self.trajectoryTolerance : Self.forwardTolerance)
        #expect(report.passed, "\(report.tensors)")
        #expect(!report.tensors.isEmpty)
    }

    @Test(arguments: scorers)
    func scorersEqualTheOriginals(_ reference: String) throws {
        let model = "\(Fixtures.folder)/\(reference.split(separator: "/")[0])/model"
        let report = try Verification.run(
            model: model, reference: "\(Fixtures.folder)/\(reference)", tolerance: Self.scorerTolerance)
        #expect(report.passed, "\(report.tensors)")
        #expect(!report.tensors.isEmpty)
    }

    @Test(arguments: noise)
    func noiseEqualsTorch(_ reference: String) throws {
        let report = try Verification.run(model: "", reference: "\(Fixtures.folder)/\(reference)", tolerance: 1e-6)
        #expect(report.passed, "\(report.tensors)")
    }

    @Test func everyCaseHasReferences() {
        for name in [
            "text-encoder", "transformer", "vae-decoder", "trajectory-plain", "trajectory-fora", "trajectory-tgate",
        ] {
            #expect(Self.references.contains { $0.contains(name) }, "no reference of \(name)")
        }
        #expect(Self.noise.count >= 5)
        for name in [
            "image-reward.", "image-reward-large.", "clip-score.", "clip/frechet.", "frechet-clean.",
            "frechet-pytorch.",
        ] {
            #expect(Self.scorers.contains { $0.contains(name) }, "no reference of \(name)")
        }
    }
}
