import Basics
import Foundation
import Tensors
import TestSupport
import Testing
import Verification

/// Compares the engine with the reference implementations on every committed reference file.
@Suite struct VerificationTests {
    /// Tighter than the program's default: the wrong GELU variant changes some outputs by only 3e-5.
    private static let forwardTolerance = 5e-6
    private static let trajectoryTolerance = 2e-5

    /// A fifth of the program's default; ten times as much for distances.
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
    func engineEqualsTheReference(_ reference: String) throws {
        let model = "\(Fixtures.folder)/\(reference.split(separator: "/")[0])/model"
        let isTrajectory = reference.contains("trajectory")
        let report = try Verification.run(
            model: model, reference: "\(Fixtures.folder)/\(reference)",
            tolerance: isTrajectory ? Self.trajectoryTolerance : Self.forwardTolerance)
        #expect(report.passed, "\(report.tensors)")
        #expect(!report.tensors.isEmpty)
    }

    /// Closer to diffusers' float32 than diffusers' own bfloat16 is, which the files record.
    @Test(
        .enabled(if: CPU.hasBFloat16),
        arguments: references.filter { name in
            ["transformer.", "transformer-bfloat16.", "vae-decoder.", "trajectory-plain."].contains {
                name.contains($0)
            }
                && !["flux-small/transformer.", "flux-plain/transformer."].contains { name.contains($0) }
                && (!name.contains("trajectory") || ["alpha-small", "flux-small"].contains { name.hasPrefix($0) })
        })
    func bfloat16IsCloserThanThatOfDiffusers(_ reference: String) throws {
        let model = "\(Fixtures.folder)/\(reference.split(separator: "/")[0])/model"
        let report = try Verification.run(
            model: model, reference: "\(Fixtures.folder)/\(reference)", precision: .bfloat16)
        #expect(report.passed, "\(report.tensors)")
        // It is another computation than that in float32.
        let exact = try Verification.run(model: model, reference: "\(Fixtures.folder)/\(reference)")
        #expect(report.tensors.last?.relativeL2 ?? 0 > 10 * (exact.tensors.last?.relativeL2 ?? .infinity))
    }

    @Test(.enabled(if: CPU.hasBFloat16)) func bfloat16NeedsItsBoundsOrATolerance() throws {
        let (model, folder) = ("\(Fixtures.folder)/flux-plain/model", "\(Fixtures.folder)/flux-plain")
        #expect(throws: VerificationError.self) {
            try Verification.run(model: model, reference: "\(folder)/transformer.safetensors", precision: .bfloat16)
        }
        #expect(throws: VerificationError.self) {
            try Verification.run(model: model, reference: "\(folder)/text-encoder.safetensors", precision: .bfloat16)
        }
        let report = try Verification.run(
            model: model, reference: "\(folder)/transformer.safetensors", tolerance: 1e-6, precision: .bfloat16)
        #expect(!report.passed)
    }

    @Test(arguments: scorers)
    func scorersEqualTheReference(_ reference: String) throws {
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

    @Test func everyCaseHasReferenceFiles() {
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
