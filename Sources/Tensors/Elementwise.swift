import Basics
import CKernels

/// An elementwise nonlinearity.
public enum Activation: Sendable, CaseIterable {
    /// The identity.
    case none
    /// `x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2`: diffusers' `gelu-approximate`, transformers' `gelu_new`.
    case geluTanh
    /// `x (1 + erf(x / √2)) / 2`: the exact GELU of BERT and ViT.
    case gelu
    /// `x sigmoid(1.702 x)`: CLIP's approximation.
    case quickGelu
    /// `x sigmoid(x)`.
    case silu
    /// `max(x, 0)`.
    case relu

    var kernelActivation: ck_activation {
        switch self {
        case .none: CK_NONE
        case .geluTanh: CK_GELU_TANH
        case .gelu: CK_GELU
        case .quickGelu: CK_QUICK_GELU
        case .silu: CK_SILU
        case .relu: CK_RELU
        }
    }
}

/// Applies an activation elementwise, in place.
public func activate(_ activation: Activation, _ x: Matrix) {
    guard activation != .none else { return }
    activate(activation, x, into: x)
}

/// Applies an activation elementwise, `y = activation(x)`.
///
/// - Parameters:
///   - activation: The function.
///   - x: `[T, C]`, float32.
///   - y: `[T, C]`, in either precision; overwritten, may be `x`.
public func activate(_ activation: Activation, _ x: Matrix, into y: Matrix) {
    requireSameShape(x, y)
    let isFloat = y.precision == .float32
    inParallel(x.rows, elementsPerItem: x.columns) { rows in
        let first = rows.lowerBound * y.stride
        ck_activate(
            x.pointer + rows.lowerBound * x.stride, x.stride, isFloat ? y.pointer + first : nil,
            isFloat ? nil : y.narrowPointer + first, y.stride, rows.count, x.columns, activation.kernelActivation)
    }
}

/// Applies the tanh form of GELU in place.
public func gelu(_ x: Matrix) { activate(.geluTanh, x) }

/// Applies SiLU in place.
public func silu(_ x: Matrix) { activate(.silu, x) }

/// Adds in place, `x += gate ⊙ y`.
///
/// - Parameters:
///   - y: `[T, C]`.
///   - gate: One factor per column, `[1, C]`; nil for a plain sum.
///   - x: `[T, C]`; modified.
public func add(_ y: Matrix, gate: Matrix? = nil, to x: Matrix) {
    requireSameShape(x, y)
    requireRow(gate, columns: x.columns)
    inParallel(x.rows, elementsPerItem: x.columns) { rows in
        ck_gated_add(
            x.pointer + rows.lowerBound * x.stride, x.stride, y.pointer + rows.lowerBound * y.stride, y.stride,
            gate?.pointer, rows.count, x.columns)
    }
}

/// Multiplies elementwise and in place, `x *= y`.
///
/// - Parameters:
///   - y: `[T, C]`.
///   - x: `[T, C]`; modified.
public func multiply(_ y: Matrix, into x: Matrix) {
    requireSameShape(x, y)
    inParallel(x.rows, elementsPerItem: x.columns) { rows in
        ck_multiply(
            x.pointer + rows.lowerBound * x.stride, x.stride, y.pointer + rows.lowerBound * y.stride, y.stride,
            rows.count, x.columns)
    }
}

/// Linear combination in place, `y = a x + b y`.
///
/// - Parameters:
///   - a: The factor of `x`.
///   - x: `[T, C]`.
///   - b: The factor of `y`.
///   - y: `[T, C]`; modified.
public func axpby(_ a: Float, _ x: Matrix, _ b: Float, _ y: Matrix) {
    requireSameShape(x, y)
    inParallel(x.rows, elementsPerItem: x.columns) { rows in
        ck_axpby(
            a, x.pointer + rows.lowerBound * x.stride, x.stride, b, y.pointer + rows.lowerBound * y.stride, y.stride,
            rows.count, x.columns)
    }
}

func requireSameShape(_ a: Matrix, _ b: Matrix) {
    precondition(
        a.rows == b.rows && a.columns == b.columns,
        "shapes \(a.rows) x \(a.columns) and \(b.rows) x \(b.columns) differ")
}

func requireRow(_ row: Matrix?, columns: Int) {
    guard let row else { return }
    precondition(
        row.rows == 1 && row.columns == columns, "shape \(row.rows) x \(row.columns), expected 1 x \(columns)")
}
