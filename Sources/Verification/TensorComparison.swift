import Foundation

/// How far one tensor of the engine is from the reference.
public struct TensorComparison: Sendable, Codable, Equatable {
    /// The tensor's name in the reference file.
    public let name: String
    /// ||engine - reference|| / ||reference||; 0 for equal integers, infinite for unequal ones.
    public let relativeL2: Double
    /// The largest absolute difference.
    public let maxAbs: Double
    /// True when the error is within the bound.
    public let passed: Bool

    private enum CodingKeys: String, CodingKey {
        case name
        case relativeL2 = "relative_l2"
        case maxAbs = "max_abs"
        case passed
    }

    /// Compares floating-point tensors; a NaN on either side fails.
    init(name: String, engine: [Float], reference: [Float], tolerance: Double) {
        precondition(engine.count == reference.count, "\(name): \(engine.count) values for \(reference.count)")
        var (difference, norm, largest) = (0.0, 0.0, 0.0)
        var isFinite = true
        for (found, expected) in zip(engine, reference) {
            let error = Double(found) - Double(expected)
            isFinite = isFinite && error.isFinite
            difference += error * error
            norm += Double(expected) * Double(expected)
            largest = max(largest, abs(error))
        }
        // JSON knows neither infinity nor NaN: the largest number stands for both.
        let relative = norm > 0 ? (difference / norm).squareRoot() : difference.squareRoot()
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

/// The outcome of one reference file.
public struct VerificationReport: Sendable, Codable, Equatable {
    /// The case, as the file names it.
    public let `case`: String
    /// True when every tensor passed.
    public let passed: Bool
    /// One row for each expected tensor.
    public let tensors: [TensorComparison]
}
