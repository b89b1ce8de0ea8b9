import Basics
import CKernels
import Glibc

/// A weight matrix `[rows, columns]`: in memory or in a mapped file, in half or single precision, or packed for products in
/// bfloat16.
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
    /// The weight in the layout of `ck_bf16_product`, which can only be multiplied; nil if it is as stored.
    let packed: UnsafePointer<UInt16>?

    /// Whether products with this weight are in bfloat16.
    public var isPacked: Bool { packed != nil }

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
        packed = nil
    }

    /// All parts of a packed weight but the last have a multiple of this number of rows.
    public static let packedRowMultiple = Int(CK_PANEL)

    /// A weight packed for products in bfloat16, from weights with the same number of columns above one another.
    ///
    /// The mapped pages of each part are released once it is packed, so that no second copy stays resident.
    ///
    /// - Precondition: ``Precision/isSupported`` of bfloat16; parts are not packed, and all but the last have a multiple
    ///   of ``packedRowMultiple`` rows.
    public init(packing parts: [Weight]) {
        precondition(Precision.bfloat16.isSupported, "the processor has no AVX512_BF16")
        let columns = parts[0].columns
        rows = parts.reduce(0) { $0 + $1.rows }
        self.columns = columns
        type = .bfloat16
        kernelType = CK_BF16
        stride = columns
        let storage = Storage(count: (ck_bf16_packed_count(rows, columns) + 1) / 2)
        let target = UnsafeMutableRawPointer(storage.pointer).assumingMemoryBound(to: UInt16.self)
        var first = 0
        for part in parts {
            precondition(part.columns == columns && !part.isPacked && first % Int(CK_PANEL) == 0, "parts do not fit")
            let panels = (part.rows + Int(CK_PANEL) - 1) / Int(CK_PANEL)
            let destination = target + ck_bf16_packed_count(first, columns)
            inParallel(panels, elementsPerItem: Int(CK_PANEL) * columns) { range in
                let row = range.lowerBound * Int(CK_PANEL)
                let rows = min(range.upperBound * Int(CK_PANEL), part.rows) - row
                ck_bf16_pack(
                    part.kernelType, part.start + row * part.stride * part.type.byteWidth, part.stride, rows, columns,
                    destination + ck_bf16_packed_count(row, columns))
            }
            part.releasePages()
            first += part.rows
        }
        packed = UnsafePointer(target)
        start = UnsafeRawPointer(target)
        owner = storage
    }

    /// Removes the pages of a mapped file from this process; they are read again if needed.
    func releasePages() {
        guard owner is FileMapping, rows > 0 else { return }
        let page = Int(sysconf(Int32(_SC_PAGESIZE)))
        let (address, bytes) = (Int(bitPattern: start), ((rows - 1) * stride + columns) * type.byteWidth)
        let lower = (address + page - 1) / page * page
        let upper = (address + bytes) / page * page
        if upper > lower { madvise(UnsafeMutableRawPointer(bitPattern: lower), upper - lower, MADV_DONTNEED) }
    }

    /// Writes a range of rows as float32, contiguously.
    ///
    /// - Parameters:
    ///   - rows: The rows to write.
    ///   - destination: Memory for `rows.count * columns` floats.
    public func widen(rows: Range<Int>, into destination: UnsafeMutablePointer<Float>) {
        precondition(!isPacked, "a packed weight can only be multiplied")
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
