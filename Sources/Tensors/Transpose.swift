/// Writes the transpose of a matrix.
///
/// - Parameters:
///   - x: `[R, C]`.
///   - y: `[C, R]`; overwritten, no part of `x`.
public func transpose(_ x: Matrix, into y: Matrix) {
    precondition(
        x.rows == y.columns && x.columns == y.rows,
        "the transpose of \(x.rows) x \(x.columns) is not \(y.rows) x \(y.columns)")
    for row in 0..<x.rows {
        let source = x.pointer + row * x.stride
        for column in 0..<x.columns { y.pointer[column * y.stride + row] = source[column] }
    }
}
