import Basics
import CKernels

/// Layer norm of each row, `y = (x - mean) / √(variance + epsilon) ⊙ weight + bias`.
///
/// - Parameters:
///   - x: `[T, C]`.
///   - weight: `[1, C]`; nil for 1.
///   - bias: `[1, C]`; nil for 0.
///   - epsilon: Added to the variance.
///   - y: `[T, C]`; overwritten, may be `x`.
public func layerNorm(_ x: Matrix, weight: Matrix? = nil, bias: Matrix? = nil, epsilon: Float, into y: Matrix) {
    layerNorm(x, scale: weight, base: 0, shift: bias, epsilon: epsilon, into: y)
}

/// Adaptive layer norm of each row, `y = LN(x) ⊙ (1 + scale) + shift` (DiT, arXiv 2212.09748, section 3.2).
///
/// - Parameters:
///   - x: `[T, C]`.
///   - scale: `[1, C]`.
///   - shift: `[1, C]`.
///   - epsilon: Added to the variance.
///   - y: `[T, C]`, in either precision; overwritten, may be `x`.
public func modulatedLayerNorm(_ x: Matrix, scale: Matrix, shift: Matrix, epsilon: Float, into y: Matrix) {
    layerNorm(x, scale: scale, base: 1, shift: shift, epsilon: epsilon, into: y)
}

private func layerNorm(_ x: Matrix, scale: Matrix?, base: Float, shift: Matrix?, epsilon: Float, into y: Matrix) {
    requireSameShape(x, y)
    requireRow(scale, columns: x.columns)
    requireRow(shift, columns: x.columns)
    let isFloat = y.precision == .float32
    inParallel(x.rows, elementsPerItem: x.columns) { rows in
        let first = rows.lowerBound * y.stride
        ck_layer_norm(
            x.pointer + rows.lowerBound * x.stride, x.stride, scale?.pointer, base, shift?.pointer, epsilon,
            isFloat ? y.pointer + first : nil, isFloat ? nil : y.narrowPointer + first, y.stride, rows.count, x.columns)
    }
}

/// Root-mean-square norm of each row, `y = x / √(mean(x²) + epsilon) ⊙ weight` (arXiv 1910.07467).
///
/// - Parameters:
///   - x: `[T, C]`.
///   - weight: `[1, C]`.
///   - epsilon: Added to the mean square.
///   - y: `[T, C]`; overwritten, may be `x`.
public func rmsNorm(_ x: Matrix, weight: Matrix, epsilon: Float, into y: Matrix) {
    requireSameShape(x, y)
    requireRow(weight, columns: x.columns)
    inParallel(x.rows, elementsPerItem: x.columns) { rows in
        ck_rms_norm(
            x.pointer + rows.lowerBound * x.stride, x.stride, weight.pointer, epsilon,
            y.pointer + rows.lowerBound * y.stride, y.stride, rows.count, x.columns)
    }
}
