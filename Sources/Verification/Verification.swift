import Basics
import Foundation
import Tensors

/// Compares the engine with the reference implementations (diffusers, transformers) on a reference file.
public enum Verification {
    /// Tolerance of the relative L2 error of one forward pass.
    public static let forwardTolerance = 1e-4
    /// Tolerance of a trajectory in float32, for its worst step.
    ///
    /// Small enough that one timestep off by one fails: with the bundled PixArt-alpha model and 8 to 100 steps that
    /// changes the latents after some step by 1.1e-4 at least, while the engine's own error stays below 2e-5.
    public static let trajectoryTolerance = 1e-4
    /// Tolerance of the noise levels; timesteps must be equal.
    ///
    /// A float32 unit in the last place, because PyTorch's square root is exact only to that.
    static let samplerTolerance = 0x1p-23

    /// Runs the engine on a reference file's inputs and compares every expected tensor.
    ///
    /// - Parameters:
    ///   - model: A model directory in the diffusers layout, or a scorer's; ignored by the noise case.
    ///   - reference: The reference file.
    ///   - tolerance: Bound of the relative L2 error; nil for the case's default.
    ///   - precision: The precision of the engine. In bfloat16, which only transformer, decoder and trajectory have, the
    ///     default bounds are the errors of diffusers' own bfloat16, which the file contains.
    /// - Returns: One row for each expected tensor.
    /// - Throws: ``VerificationError``, `ModelsError`, `TensorsError`, `DiffusionError`,
    ///   `SchedulesError`, `ScoringError`.
    public static func run(
        model: String, reference: String, tolerance: Double? = nil, precision: Precision = .float32
    ) throws -> VerificationReport {
        let file = try ReferenceFile(path: reference)
        guard precision == .float32 || [.transformer, .vaeDecoder, .trajectory].contains(file.case) else {
            throw VerificationError.precision(file: file.path, case: file.case.rawValue)
        }
        let bound = tolerance ?? (file.case == .trajectory ? trajectoryTolerance : forwardTolerance)
        let bounds = Bounds(
            precision: precision, float32: bound, bfloat16: try tolerance == nil ? file.bfloat16Errors(precision) : [:],
            given: tolerance)
        let tensors =
            switch file.case {
            case .textEncoder: try compareTextEncoder(file, model: model, tolerance: bound)
            case .transformer: try compareTransformer(file, model: model, bounds)
            case .vaeDecoder: try compareDecoder(file, model: model, bounds)
            case .noise: try compareNoise(file, tolerance: bound)
            case .trajectory: try compareTrajectory(file, model: model, bounds)
            case .imageReward: try compareImageReward(file, model: model, tolerance: bound)
            case .clipScore: try compareCLIPScore(file, model: model, tolerance: bound)
            case .frechet: try compareFrechet(file, model: model, tolerance: bound)
            }
        let names = file.case == .trajectory ? ["timesteps", "sigmas"] : []
        return VerificationReport(
            case: file.case.rawValue, passed: tensors.allSatisfy(\.passed), tensors: tensors,
            notCompared: names.filter { !file.has(tensor: $0) })
    }

    /// The bounds of the errors of a case's tensors, and the precision to compute them in.
    struct Bounds {
        let precision: Precision
        /// For tensors whose computation does not depend on the precision.
        let float32: Double
        let bfloat16: [String: Double]
        let given: Double?

        /// The bound of a tensor that is computed in the precision.
        subscript(_ name: String) -> Double {
            precision == .float32 ? float32 : given ?? bfloat16[name] ?? float32
        }
    }

    private static func compareNoise(_ file: ReferenceFile, tolerance: Double) throws -> [TensorComparison] {
        let seeds = try file.value("seeds", as: [UInt64].self, expected: "an array of non-negative integers")
        let shape = try file.value("shape", as: [Int].self, expected: "an array of sizes")
        let expected = try file.tensor("noise", shape: [seeds.count] + shape)
        let count = shape.reduce(1, *)
        let noise = seeds.flatMap { seed in
            var generator = TorchNormal(seed: seed)
            return generator.normal(count: count)
        }
        return [TensorComparison(name: "noise", engine: noise, reference: try expected.floats(), tolerance: tolerance)]
    }
}

// MARK: - Report

/// The error of one tensor.
public struct TensorComparison: Sendable, Codable, Equatable {
    /// Name in the reference file.
    public let name: String
    /// ||engine - reference|| / ||reference||, for the latents of a trajectory that of its worst step; 0 for equal integers, infinite for unequal ones.
    public let relativeL2: Double
    /// The largest absolute difference.
    public let maxAbs: Double
    /// Whether the error is within the tolerance.
    public let passed: Bool

    private enum CodingKeys: String, CodingKey {
        case name
        case relativeL2 = "relative_l2"
        case maxAbs = "max_abs"
        case passed
    }

    /// Compares floating-point tensors; NaN on either side fails.
    ///
    /// The error is that of the worst of `partCount` equal parts, such as the steps of a trajectory.
    init(name: String, engine: [Float], reference: [Float], tolerance: Double, partCount: Int = 1) {
        precondition(engine.count == reference.count, "\(name): \(engine.count) values for \(reference.count)")
        var (relative, largest) = (0.0, 0.0)
        var isFinite = true
        let length = engine.count / max(partCount, 1)
        for part in 0..<partCount {
            var (difference, norm) = (0.0, 0.0)
            for index in (part * length)..<((part + 1) * length) {
                let (found, expected) = (Double(engine[index]), Double(reference[index]))
                let error = found - expected
                isFinite = isFinite && error.isFinite
                difference += error * error
                norm += expected * expected
                largest = max(largest, abs(error))
            }
            relative = max(relative, norm > 0 ? (difference / norm).squareRoot() : difference.squareRoot())
        }
        // JSON has neither infinity nor NaN; the largest finite number replaces both.
        relativeL2 = isFinite ? relative : .greatestFiniteMagnitude
        maxAbs = isFinite ? largest : .greatestFiniteMagnitude
        self.name = name
        passed = isFinite && relative <= tolerance
    }

    /// Compares integer tensors, which must be equal.
    init(name: String, engine: [Int64], reference: [Int64]) {
        precondition(engine.count == reference.count, "\(name): \(engine.count) values for \(reference.count)")
        let largest =
            zip(engine, reference).map { Double($0.subtractingReportingOverflow($1).partialValue.magnitude) }.max() ?? 0
        self.name = name
        relativeL2 = largest == 0 ? 0 : .greatestFiniteMagnitude
        maxAbs = largest
        passed = largest == 0
    }
}

/// The result for one reference file.
public struct VerificationReport: Sendable, Codable, Equatable {
    /// Name of the case in the file.
    public let `case`: String
    /// Whether all tensors passed.
    public let passed: Bool
    /// In the order of comparison.
    public let tensors: [TensorComparison]
    /// Tensors that the case has but the file, written by an earlier version, lacks.
    public let notCompared: [String]

    private enum CodingKeys: String, CodingKey {
        case `case`, passed, tensors
        case notCompared = "not_compared"
    }
}
