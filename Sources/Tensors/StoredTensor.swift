import CKernels

/// A tensor as it lies in a mapped file; holds the mapping alive.
///
/// Its bytes may start anywhere: older files align nothing.
public struct StoredTensor: @unchecked Sendable {
    /// The tensor's name in the file.
    public let name: String
    /// The extents, outermost first; empty for a scalar.
    public let shape: [Int]
    /// The type of the elements.
    public let type: StoredType
    /// The file it comes from, for messages.
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
        guard type == .float64 || type.kernelType != nil else { throw wrongType("a floating-point type") }
        return [Float](unsafeUninitializedCapacity: count) { buffer, initializedCount in
            if let start = buffer.baseAddress { copyFloats(to: start) }
            initializedCount = count
        }
    }

    /// All elements as a new matrix.
    ///
    /// - Parameters:
    ///   - rows: The rows; the tensor's first extent, or 1 for a tensor of one extent.
    ///   - columns: The columns; the product of the other extents.
    /// - Returns: Owned memory, `[rows, columns]`.
    /// - Throws: ``TensorsError/shape(file:tensor:expected:found:)`` or
    ///   ``TensorsError/type(file:tensor:expected:found:)``.
    public func matrix(rows: Int, columns: Int) throws -> Matrix {
        try checkShape(rows: rows, columns: columns)
        guard type == .float64 || type.kernelType != nil else { throw wrongType("a floating-point type") }
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

    /// Writes every element as float32; the type has been checked to be a floating-point type.
    func copyFloats(to destination: UnsafeMutablePointer<Float>) {
        if let kernelType = type.kernelType {
            ck_widen(kernelType, bytes.baseAddress, destination, count)
        } else {
            for (index, value) in elements(Double.self).enumerated() { destination[index] = Float(value) }
        }
    }

    private func elements<Element: BitwiseCopyable>(_: Element.Type) -> some Sequence<Element> {
        let width = MemoryLayout<Element>.size
        return (0..<count).lazy.map { bytes.loadUnaligned(fromByteOffset: $0 * width, as: Element.self) }
    }
}
