/// A row-major float32 window of a ``Storage``.
///
/// Copying a matrix copies the window, not the numbers; ``rows(_:)``, ``columns(_:)`` and ``reshaped(rows:columns:)``
/// are further windows of the same numbers and allocate nothing. Sharing between threads is as for ``Storage``.
public struct Matrix: @unchecked Sendable {
    /// The memory looked at.
    public let storage: Storage
    /// The index of the first number in the storage.
    public let offset: Int
    /// The number of rows.
    public let rows: Int
    /// The number of columns.
    public let columns: Int
    /// The distance between the starts of two rows, in floats.
    public let stride: Int

    /// A new matrix of zeros.
    public init(rows: Int, columns: Int) {
        precondition(rows >= 0 && columns >= 0, "a matrix of \(rows) x \(columns)")
        self.init(storage: Storage(count: rows * columns), offset: 0, rows: rows, columns: columns, stride: columns)
    }

    /// A new matrix with a copy of `values`, row by row.
    ///
    /// - Precondition: There are `rows * columns` values.
    public init(_ values: [Float], rows: Int, columns: Int) {
        precondition(values.count == rows * columns, "\(values.count) values for a matrix of \(rows) x \(columns)")
        self.init(rows: rows, columns: columns)
        values.withUnsafeBufferPointer { source in
            if let start = source.baseAddress { pointer.update(from: start, count: source.count) }
        }
    }

    /// A window of a storage.
    ///
    /// - Precondition: The window lies inside the storage.
    public init(storage: Storage, offset: Int, rows: Int, columns: Int, stride: Int) {
        precondition(offset >= 0 && rows >= 0 && columns >= 0 && stride >= columns, "a window with negative extent")
        precondition(
            rows == 0 || offset + (rows - 1) * stride + columns <= storage.count, "a window beyond its storage")
        self.storage = storage
        self.offset = offset
        self.rows = rows
        self.columns = columns
        self.stride = stride
    }

    /// The first number; valid as long as the storage lives.
    public var pointer: UnsafeMutablePointer<Float> { storage.pointer + offset }

    /// Whether the rows follow each other without gaps.
    public var isContiguous: Bool { stride == columns || rows <= 1 }

    /// The number of elements.
    public var count: Int { rows * columns }

    /// One element.
    public subscript(_ row: Int, _ column: Int) -> Float {
        get { pointer[index(row, column)] }
        nonmutating set { pointer[index(row, column)] = newValue }
    }

    private func index(_ row: Int, _ column: Int) -> Int {
        precondition(row >= 0 && row < rows && column >= 0 && column < columns, "element outside of the matrix")
        return row * stride + column
    }

    /// The window of some rows.
    public func rows(_ range: Range<Int>) -> Matrix {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) of \(rows)")
        return Matrix(
            storage: storage, offset: offset + range.lowerBound * stride, rows: range.count, columns: columns,
            stride: stride)
    }

    /// The window of some columns.
    public func columns(_ range: Range<Int>) -> Matrix {
        precondition(range.lowerBound >= 0 && range.upperBound <= columns, "columns \(range) of \(columns)")
        return Matrix(
            storage: storage, offset: offset + range.lowerBound, rows: rows, columns: range.count, stride: stride)
    }

    /// The same numbers in the same order as a matrix of another shape.
    ///
    /// - Precondition: The matrix is contiguous and the element counts agree.
    public func reshaped(rows: Int, columns: Int) -> Matrix {
        precondition(isContiguous, "only a contiguous matrix can be reshaped")
        precondition(rows * columns == count, "\(self.rows) x \(self.columns) reshaped to \(rows) x \(columns)")
        return Matrix(storage: storage, offset: offset, rows: rows, columns: columns, stride: columns)
    }

    /// A copy of the numbers, row by row.
    public var values: [Float] {
        [Float](unsafeUninitializedCapacity: count) { buffer, initializedCount in
            if let start = buffer.baseAddress {
                for row in 0..<rows {
                    (start + row * columns).initialize(from: pointer + row * stride, count: columns)
                }
            }
            initializedCount = count
        }
    }

    /// Overwrites the numbers with those of another matrix.
    ///
    /// - Precondition: The shapes agree; the windows are the same or do not overlap.
    public func copy(from other: Matrix) {
        precondition(rows == other.rows && columns == other.columns, "copy between matrices of different shape")
        if isContiguous && other.isContiguous {
            pointer.update(from: other.pointer, count: count)
            return
        }
        for row in 0..<rows {
            (pointer + row * stride).update(from: other.pointer + row * other.stride, count: columns)
        }
    }

    /// Overwrites every number with `value`.
    public func fill(_ value: Float) {
        for row in 0..<rows { (pointer + row * stride).update(repeating: value, count: columns) }
    }
}
