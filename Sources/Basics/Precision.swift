/// The number format of the matrix products of a model's transformer and decoder.
///
/// Products in bfloat16 are summed in float32. The residual stream, norms, modulation, softmax and sampler are float32
/// in either precision.
public enum Precision: String, Sendable, CaseIterable, CustomStringConvertible {
    /// IEEE single precision.
    case float32
    /// The upper half of a float32: eight bits of precision, at about twice the speed on processors with AVX512_BF16.
    case bfloat16

    /// The name, as in configurations and options.
    public var description: String { rawValue }
}
