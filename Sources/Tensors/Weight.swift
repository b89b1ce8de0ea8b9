import CKernels

/// A matrix of weights `[rows, columns]`, kept as it is stored: in a mapped file or in memory, in half or single
/// precision.
public struct Weight: @unchecked Sendable {
    /// The rows: a linear layer's outputs.
    public let rows: Int
    /// The columns: a linear layer's inputs.
    public let columns: Int
    /// The type of the numbers where they are: F32, F16 or BF16.
    public let type: StoredType
    let kernelType: ck_type
    /// The distance between two rows, in elements.
    let stride: Int
    /// The first element; half-precision elements may be misaligned.
    let start: UnsafeRawPointer
    private let owner: AnyObject

    /// A weight in memory.
    public init(_ matrix: Matrix) {
        self.init(
            rows: matrix.rows, columns: matrix.columns, type: .float32, kernelType: CK_F32, stride: matrix.stride,
            start: UnsafeRawPointer(matrix.pointer), owner: matrix.storage)
    }

    /// A weight in a file, used where it is mapped.
    ///
    /// F64 and misaligned F32 are copied to memory, since nothing can compute with them in place.
    ///
    /// - Parameters:
    ///   - stored: The tensor, `[rows, ...]` with the other extents multiplying to `columns`.
    ///   - rows: The rows.
    ///   - columns: The columns.
    /// - Throws: ``TensorsError/shape(file:tensor:expected:found:)`` or
    ///   ``TensorsError/type(file:tensor:expected:found:)``.
    public init(_ stored: StoredTensor, rows: Int, columns: Int) throws {
        try stored.checkShape(rows: rows, columns: columns)
        let aligned = Int(bitPattern: stored.bytes.baseAddress) % MemoryLayout<Float>.alignment == 0
        guard let kernelType = stored.type.kernelType, let start = stored.bytes.baseAddress,
            kernelType != CK_F32 || aligned
        else {
            self.init(try stored.matrix(rows: rows, columns: columns))
            return
        }
        self.init(
            rows: rows, columns: columns, type: stored.type, kernelType: kernelType, stride: columns, start: start,
            owner: stored.mapping)
    }

    private init(
        rows: Int, columns: Int, type: StoredType, kernelType: ck_type, stride: Int, start: UnsafeRawPointer,
        owner: AnyObject
    ) {
        self.rows = rows
        self.columns = columns
        self.type = type
        self.kernelType = kernelType
        self.stride = stride
        self.start = start
        self.owner = owner
    }

    /// Writes some rows as float32, one after the other.
    ///
    /// - Parameters:
    ///   - rows: The rows.
    ///   - destination: Room for `rows.count * columns` floats.
    public func widen(rows: Range<Int>, into destination: UnsafeMutablePointer<Float>) {
        precondition(rows.lowerBound >= 0 && rows.upperBound <= self.rows, "rows \(rows) of \(self.rows)")
        for (index, row) in rows.enumerated() {
            ck_widen(kernelType, start + row * stride * type.byteWidth, destination + index * columns, columns)
        }
    }

    /// All numbers as a new float32 matrix.
    public func matrix() -> Matrix {
        let matrix = Matrix(rows: rows, columns: columns)
        widen(rows: 0..<rows, into: matrix.pointer)
        return matrix
    }

    /// Some rows as float32 with their stride: in place when they are stored so, else widened to scratch memory.
    func floats(rows: Range<Int>, workspace: Workspace) -> (start: UnsafePointer<Float>, stride: Int) {
        if kernelType == CK_F32 {
            return (start.assumingMemoryBound(to: Float.self) + rows.lowerBound * stride, stride)
        }
        let panel = workspace.floats(.panel, count: rows.count * columns)
        inParallel(rows.count, elementsPerItem: columns) { part in
            widen(
                rows: (rows.lowerBound + part.lowerBound)..<(rows.lowerBound + part.upperBound),
                into: panel + part.lowerBound * columns)
        }
        return (UnsafePointer(panel), columns)
    }
}
