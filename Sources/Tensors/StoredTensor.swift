import CKernels

/// A tensor in a mapped file; keeps the mapping alive.
///
/// Its bytes may be unaligned, as in older files.
public struct StoredTensor: @unchecked Sendable {
    /// The tensor's name in the file.
    public let name: String
    /// The extents, outermost first; empty for a scalar.
    public let shape: [Int]
    /// The element type.
    public let type: StoredType
    /// The path of the file, for error messages.
    public let file: String
    let bytes: UnsafeRawBufferPointer
    let mapping: FileMapping

    init(name: String, entry: SafetensorsHeader.Entry, dataStart: Int, mapping: FileMapping, file: String) {
        self.name = name
        shape = entry.shape
        type = entry.type
        self.file = file
        self.mapping = mapping
        let range = (dataStart + entry.bytes.lowerBound)..<(dataStart + entry.bytes.upperBound)
        bytes = UnsafeRawBufferPointer(rebasing: mapping.bytes[range])
    }

    /// The number of elements.
    public var count: Int { bytes.count / type.byteWidth }

    /// All elements as float32, in row-major order.
    ///
    /// - Throws: ``TensorsError/type(file:tensor:expected:found:)`` unless the type is F32, F16, BF16 or F64.
    public func floats() throws -> [Float] {
        guard type == .float64 || type.kernelType != nil else { throw wrongType(StoredType.floatingPointText) }
        return [Float](unsafeUninitializedCapacity: count) { buffer, initializedCount in
            if let start = buffer.baseAddress { copyFloats(to: start) }
            initializedCount = count
        }
    }

    /// All elements as a new matrix.
    ///
    /// - Parameters:
    ///   - rows: The tensor's first extent, or 1 for a tensor of one extent.
    ///   - columns: The product of the other extents.
    /// - Returns: A copy, `[rows, columns]`.
    /// - Throws: ``TensorsError/shape(file:tensor:expected:found:)`` or
    ///   ``TensorsError/type(file:tensor:expected:found:)``.
    public func matrix(rows: Int, columns: Int) throws -> Matrix {
        try checkShape(rows: rows, columns: columns)
        guard type == .float64 || type.kernelType != nil else { throw wrongType(StoredType.floatingPointText) }
        let matrix = Matrix(rows: rows, columns: columns)
        copyFloats(to: matrix.pointer)
        return matrix
    }

    /// All elements as 64-bit integers, in row-major order.
    ///
    /// - Throws: ``TensorsError/type(file:tensor:expected:found:)`` unless the type is an integer type or BOOL;
    ///   ``TensorsError/integerRange(file:tensor:value:)`` for a U64 above the range.
    public func integers() throws -> [Int64] {
        switch type {
        case .int64: return elements(Int64.self).map { Int64($0) }
        case .int32: return elements(Int32.self).map { Int64($0) }
        case .int16: return elements(Int16.self).map { Int64($0) }
        case .int8: return elements(Int8.self).map { Int64($0) }
        case .uint32: return elements(UInt32.self).map { Int64($0) }
        case .uint16: return elements(UInt16.self).map { Int64($0) }
        case .uint8, .bool: return elements(UInt8.self).map { Int64($0) }
        case .uint64:
            return try elements(UInt64.self).map { value in
                guard let integer = Int64(exactly: value) else {
                    throw TensorsError.integerRange(file: file, tensor: name, value: value)
                }
                return integer
            }
        case .float32, .float16, .bfloat16, .float64, .float8e4m3, .float8e5m2: throw wrongType("an integer type")
        }
    }

    func wrongType(_ expected: String) -> TensorsError {
        .type(file: file, tensor: name, expected: expected, found: type)
    }

    /// Accepts `[rows, ...]` whose other extents multiply to `columns`, and `[columns]` for one row.
    func checkShape(rows: Int, columns: Int) throws {
        let isRow = rows == 1 && shape == [columns]
        let isMatrix = shape.first == rows && count == rows * columns
        guard isRow || isMatrix else {
            throw TensorsError.shape(file: file, tensor: name, expected: [rows, columns], found: shape)
        }
    }

    /// Writes every element as float32; the caller has checked that the type is a floating-point type.
    func copyFloats(to destination: UnsafeMutablePointer<Float>) { copyFloats(0..<count, to: destination) }

    /// Writes a range of elements as float32; the caller has checked that the type is a floating-point type.
    func copyFloats(_ range: Range<Int>, to destination: UnsafeMutablePointer<Float>) {
        if let kernelType = type.kernelType {
            ck_widen(
                kernelType, bytes.baseAddress.map { $0 + range.lowerBound * type.byteWidth }, destination, range.count)
        } else {
            for (index, value) in elements(Double.self, in: range).enumerated() { destination[index] = Float(value) }
        }
    }

    private func elements<Element: BitwiseCopyable>(
        _: Element.Type, in range: Range<Int>? = nil
    ) -> some Sequence<Element> {
        let width = MemoryLayout<Element>.size
        return (range ?? 0..<count).lazy.map { bytes.loadUnaligned(fromByteOffset: $0 * width, as: Element.self) }
    }
}

/// The element types of a safetensors file, named as in the format.
public enum StoredType: String, Sendable, CaseIterable {
    /// IEEE single precision.
    case float32 = "F32"
    /// IEEE half precision.
    case float16 = "F16"
    /// The upper half of an IEEE single-precision number.
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
    /// One byte, 0 or 1.
    case bool = "BOOL"

    /// The size of an element in bytes.
    public var byteWidth: Int {
        switch self {
        case .float64, .int64, .uint64: 8
        case .float32, .int32, .uint32: 4
        case .float16, .bfloat16, .int16, .uint16: 2
        case .float8e4m3, .float8e5m2, .int8, .uint8, .bool: 1
        }
    }

    /// The types whose elements can be read as float32, for error messages.
    static let floatingPointText =
        "a floating-point type of 16 bits or more: F32, F16, BF16 or F64 (quantized weights are not supported)"

    /// The kernels' type, for types that kernels read as stored; nil for others.
    var kernelType: ck_type? {
        switch self {
        case .float32: CK_F32
        case .float16: CK_F16
        case .bfloat16: CK_BF16
        default: nil
        }
    }
}
