import Tensors

/// Compares the engine with the original Python libraries on a reference file.
public enum Verification {
    /// The bound of the relative error for one forward pass.
    public static let forwardTolerance = 1e-4
    /// The bound for a whole trajectory.
    public static let trajectoryTolerance = 1e-3

    /// Runs the engine on a reference file's inputs and compares every expected tensor.
    ///
    /// - Parameters:
    ///   - model: A model directory in the diffusers layout, or a scorer's; the noise case does without.
    ///   - reference: The reference file.
    ///   - tolerance: The bound of the relative L2 error; nil for the case's own.
    /// - Returns: A row for each expected tensor.
    /// - Throws: ``VerificationError``, `ModelsError`, `TensorsError`, `DiffusionError`,
    ///   `SchedulesError`, `ScoringError`.
    public static func run(model: String, reference: String, tolerance: Double? = nil) throws -> VerificationReport {
        let file = try ReferenceFile(path: reference)
        let bound = tolerance ?? (file.case == .trajectory ? trajectoryTolerance : forwardTolerance)
        let tensors =
            switch file.case {
            case .textEncoder: try compareTextEncoder(file, model: model, tolerance: bound)
            case .transformer: try compareTransformer(file, model: model, tolerance: bound)
            case .vaeDecoder: try compareDecoder(file, model: model, tolerance: bound)
            case .noise: try compareNoise(file, tolerance: bound)
            case .trajectory: try compareTrajectory(file, model: model, tolerance: bound)
            case .imageReward: try compareImageReward(file, model: model, tolerance: bound)
            case .clipScore: try compareCLIPScore(file, model: model, tolerance: bound)
            case .frechet: try compareFrechet(file, model: model, tolerance: bound)
            }
        return VerificationReport(case: file.case.rawValue, passed: tensors.allSatisfy(\.passed), tensors: tensors)
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
