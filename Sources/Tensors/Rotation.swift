import CKernels

/// Turns pairs of neighbouring columns in place, the rotary position embedding (RoFormer, arXiv 2104.09864, section 3.4).
///
/// ```
/// x[2k], x[2k+1] = x[2k] cos - x[2k+1] sin, x[2k+1] cos + x[2k] sin
/// ```
///
/// - Parameters:
///   - x: `[T, heads · D]` with an even D; changed.
///   - cosine: `[T, D]`, the same number in both columns of a pair.
///   - sine: `[T, D]`, negative in the first column of a pair.
public func rotate(_ x: Matrix, cosine: Matrix, sine: Matrix) {
    let dimension = cosine.columns
    requireSameShape(cosine, sine)
    precondition(cosine.isContiguous && sine.isContiguous, "a table of rotations without gaps")
    precondition(
        x.rows == cosine.rows && dimension > 0 && dimension % 2 == 0 && x.columns % dimension == 0,
        "\(x.rows) x \(x.columns) rotated by \(cosine.rows) x \(dimension)")
    inParallel(x.rows, elementsPerItem: x.columns) { rows in
        ck_rotate(
            x.pointer + rows.lowerBound * x.stride, x.stride, cosine.pointer + rows.lowerBound * dimension,
            sine.pointer + rows.lowerBound * dimension, rows.count, x.columns / dimension, dimension)
    }
}
