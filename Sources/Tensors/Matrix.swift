import Basics
import CKernels

/// A row-major view of a ``Storage``, in float32 or, as an input or output of products, in bfloat16.
///
/// Copying a matrix copies the view, not the elements; ``rows(_:)``, ``columns(_:)`` and ``reshaped(rows:columns:)``
/// return further views and allocate nothing. Sharing between threads follows the rules of ``Storage``.
public struct Matrix: @unchecked Sendable {
    /// The underlying memory.
    public let storage: Storage
    /// The element type; operations other than products and layer norms require float32.
    public let precision: Precision
    /// The index of the first element in the storage, in elements.
    public let offset: Int
    /// The number of rows.
    public let rows: Int
    /// The number of columns.
    public let columns: Int
    /// The distance between two rows, in elements.
    public let stride: Int

    /// A new matrix of zeros.
    ///
    /// Rows of bfloat16 are padded with zeros to an even length, because products read pairs.
    public init(rows: Int, columns: Int, precision: Precision = .float32) {
        precondition(rows >= 0 && columns >= 0, "matrix of \(rows) x \(columns)")
        var stride = precision == .float32 ? columns : columns + columns % 2
        // A stride of a multiple of 4 KB would let the rows of a product evict one another from the cache.
        if precision == .bfloat16 && rows > 1 && stride > 0 && stride % 2048 == 0 { stride += 32 }
        let count = precision == .float32 ? rows * stride : rows * stride / 2
        self.init(
            storage: Storage(count: count), offset: 0, rows: rows, columns: columns, stride: stride,
            precision: precision)
    }

    /// A new matrix with a copy of `values` in row-major order.
    ///
    /// - Precondition: There are `rows * columns` values.
    public init(_ values: [Float], rows: Int, columns: Int) {
        precondition(values.count == rows * columns, "\(values.count) values for a matrix of \(rows) x \(columns)")
        self.init(rows: rows, columns: columns)
        values.withUnsafeBufferPointer { source in
            if let start = source.baseAddress { pointer.update(from: start, count: source.count) }
        }
    }

    /// A view of part of a storage.
    ///
    /// - Precondition: The view lies inside the storage.
    public init(
        storage: Storage, offset: Int, rows: Int, columns: Int, stride: Int, precision: Precision = .float32
    ) {
        precondition(
            offset >= 0 && rows >= 0 && columns >= 0 && stride >= columns, "negative extent or overlapping rows")
        precondition(
            rows == 0
                || offset + (rows - 1) * stride + columns <= storage.count * (precision == .float32 ? 1 : 2),
            "view exceeds its storage")
        self.storage = storage
        self.precision = precision
        self.offset = offset
        self.rows = rows
        self.columns = columns
        self.stride = stride
    }

    /// The first element of a float32 matrix; valid as long as the storage lives.
    public var pointer: UnsafeMutablePointer<Float> {
        precondition(precision == .float32, "a matrix in bfloat16 where float32 is required")
        return storage.pointer + offset
    }

    /// The first element of a bfloat16 matrix.
    var narrowPointer: UnsafeMutablePointer<UInt16> {
        precondition(precision == .bfloat16, "a matrix in float32 where bfloat16 is required")
        return UnsafeMutableRawPointer(storage.pointer).assumingMemoryBound(to: UInt16.self) + offset
    }

    /// The address of an element, in either precision.
    func element(_ row: Int, _ column: Int) -> UnsafeRawPointer {
        let index = row * stride + column
        return precision == .float32 ? UnsafeRawPointer(pointer + index) : UnsafeRawPointer(narrowPointer + index)
    }

    /// Whether there are no gaps between the rows.
    public var isContiguous: Bool { stride == columns || rows <= 1 }

    /// The number of elements.
    public var count: Int { rows * columns }

    /// The element in a row and a column.
    public subscript(_ row: Int, _ column: Int) -> Float {
        get { pointer[index(row, column)] }
        nonmutating set { pointer[index(row, column)] = newValue }
    }

    private func index(_ row: Int, _ column: Int) -> Int {
        precondition(
            row >= 0 && row < rows && column >= 0 && column < columns,
            "element (\(row), \(column)) of \(rows) x \(columns)")
        return row * stride + column
    }

    /// A view of a range of rows.
    public func rows(_ range: Range<Int>) -> Matrix {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) of \(rows)")
        return Matrix(
            storage: storage, offset: offset + range.lowerBound * stride, rows: range.count, columns: columns,
            stride: stride, precision: precision)
    }

    /// A view of a range of columns.
    public func columns(_ range: Range<Int>) -> Matrix {
        precondition(range.lowerBound >= 0 && range.upperBound <= columns, "columns \(range) of \(columns)")
        return Matrix(
            storage: storage, offset: offset + range.lowerBound, rows: rows, columns: range.count, stride: stride,
            precision: precision)
    }

    /// A view of the same elements, in the same order, with another shape.
    ///
    /// - Precondition: The matrix is contiguous and the element counts agree.
    public func reshaped(rows: Int, columns: Int) -> Matrix {
        precondition(isContiguous, "only a contiguous matrix can be reshaped")
        precondition(rows * columns == count, "\(self.rows) x \(self.columns) reshaped to \(rows) x \(columns)")
        return Matrix(
            storage: storage, offset: offset, rows: rows, columns: columns, stride: columns, precision: precision)
    }

    /// A copy of the elements as float32, in row-major order.
    public var values: [Float] {
        [Float](unsafeUninitializedCapacity: count) { buffer, initializedCount in
            if let start = buffer.baseAddress {
                for row in 0..<rows {
                    switch precision {
                    case .float32: (start + row * columns).initialize(from: pointer + row * stride, count: columns)
                    case .bfloat16: ck_widen(CK_BF16, narrowPointer + row * stride, start + row * columns, columns)
                    }
                }
            }
            initializedCount = count
        }
    }

    /// Copies the elements of another matrix.
    ///
    /// - Precondition: The shapes agree; the views are identical or do not overlap.
    public func copy(from other: Matrix) {
        precondition(
            rows == other.rows && columns == other.columns,
            "copy of \(other.rows) x \(other.columns) into \(rows) x \(columns)")
        if isContiguous && other.isContiguous {
            pointer.update(from: other.pointer, count: count)
            return
        }
        for row in 0..<rows {
            (pointer + row * stride).update(from: other.pointer + row * other.stride, count: columns)
        }
    }

    /// Sets every element to `value`.
    public func fill(_ value: Float) {
        for row in 0..<rows { (pointer + row * stride).update(repeating: value, count: columns) }
    }
}

/// Writes the transpose of a matrix.
///
/// - Parameters:
///   - x: `[R, C]`.
///   - y: `[C, R]`; overwritten, must not overlap `x`.
public func transpose(_ x: Matrix, into y: Matrix) {
    precondition(
        x.rows == y.columns && x.columns == y.rows,
        "the transpose of \(x.rows) x \(x.columns) is not \(y.rows) x \(y.columns)")
    for row in 0..<x.rows {
        let source = x.pointer + row * x.stride
        for column in 0..<x.columns { y.pointer[column * y.stride + row] = source[column] }
    }
}
