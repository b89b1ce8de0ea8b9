import CKernels

/// The element types of a safetensors file, with the names the format gives them.
public enum StoredType: String, Sendable, CaseIterable {
    /// IEEE single precision.
    case float32 = "F32"
    /// IEEE half precision.
    case float16 = "F16"
    /// The upper half of a single-precision number.
    case bfloat16 = "BF16"
    /// IEEE double precision.
    case float64 = "F64"
    /// Eight-bit float with four exponent bits.
    case float8e4m3 = "F8_E4M3"
    /// Eight-bit float with five exponent bits.
    case float8e5m2 = "F8_E5M2"
    /// Signed 64-bit integer.
    case int64 = "I64"
    /// Signed 32-bit integer.
    case int32 = "I32"
    /// Signed 16-bit integer.
    case int16 = "I16"
    /// Signed 8-bit integer.
    case int8 = "I8"
    /// Unsigned 64-bit integer.
    case uint64 = "U64"
    /// Unsigned 32-bit integer.
    case uint32 = "U32"
    /// Unsigned 16-bit integer.
    case uint16 = "U16"
    /// Unsigned 8-bit integer.
    case uint8 = "U8"
    /// One byte, zero or one.
    case bool = "BOOL"

    /// The bytes of one element.
    public var byteWidth: Int {
        switch self {
        case .float64, .int64, .uint64: 8
        case .float32, .int32, .uint32: 4
        case .float16, .bfloat16, .int16, .uint16: 2
        case .float8e4m3, .float8e5m2, .int8, .uint8, .bool: 1
        }
    }

    /// The kernels' name of the type, for those types that kernels read as they are stored.
    var kernelType: ck_type? {
        switch self {
        case .float32: CK_F32
        case .float16: CK_F16
        case .bfloat16: CK_BF16
        default: nil
        }
    }
}
