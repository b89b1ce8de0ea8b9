import CKernels

/// A weight matrix `[rows, columns]`, in memory or in a mapped file, in half or single precision.
public struct Weight: @unchecked Sendable {
    /// The number of rows: a linear layer's outputs.
    public let rows: Int
    /// The number of columns: a linear layer's inputs.
    public let columns: Int
    /// The element type: F32, F16 or BF16.
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

    /// A weight in a mapped file, used in place.
    ///
    /// F64 and misaligned F32 are copied, because kernels cannot read them in place.
    ///
    /// - Parameters:
    ///   - stored: `[rows, ...]`; the other extents multiply to `columns`.
    ///   - rows: The number of rows.
    ///   - columns: The number of columns.
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

    /// Writes a range of rows as float32, contiguously.
    ///
    /// - Parameters:
    ///   - rows: The rows to write.
    ///   - destination: Memory for `rows.count * columns` floats.
    public func widen(rows: Range<Int>, into destination: UnsafeMutablePointer<Float>) {
        precondition(rows.lowerBound >= 0 && rows.upperBound <= self.rows, "rows \(rows) of \(self.rows)")
        for row in rows {
            let target = destination + (row - rows.lowerBound) * columns
            ck_widen(kernelType, start + row * stride * type.byteWidth, target, columns)
        }
    }

    /// A float32 copy.
    public func matrix() -> Matrix {
        let matrix = Matrix(rows: rows, columns: columns)
        widen(rows: 0..<rows, into: matrix.pointer)
        return matrix
    }

    /// A range of rows as float32, and their stride: in place if stored as F32, else widened into scratch memory.
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
