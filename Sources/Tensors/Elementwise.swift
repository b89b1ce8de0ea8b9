import CKernels

/// Applies an activation in place.
///
/// - Parameters:
///   - activation: The nonlinearity.
///   - x: Any shape.
public func activate(_ activation: Activation, _ x: Matrix) {
    addBias(nil, activation: activation, to: x)
}

/// Applies the tanh form of GELU in place.
public func gelu(_ x: Matrix) { activate(.geluTanh, x) }

/// Applies SiLU in place.
public func silu(_ x: Matrix) { activate(.silu, x) }

/// `x = activation(x + bias)` with a bias `[1, C]`.
func addBias(_ bias: Matrix?, activation: Activation, to x: Matrix) {
    guard bias != nil || activation != .none else { return }
    inParallel(x.rows, elementsPerItem: x.columns) { rows in
        ck_bias_activation(
            x.pointer + rows.lowerBound * x.stride, x.stride, bias?.pointer, rows.count, x.columns,
            activation.kernelActivation)
    }
}

/// Adds, `x += gate ⊙ y`.
///
/// - Parameters:
///   - y: `[T, C]`.
///   - gate: A factor for each column, `[1, C]`; none for a plain sum.
///   - x: `[T, C]`; changed.
public func add(_ y: Matrix, gate: Matrix? = nil, to x: Matrix) {
    requireSameShape(x, y)
    requireRow(gate, columns: x.columns)
    inParallel(x.rows, elementsPerItem: x.columns) { rows in
        ck_gated_add(
            x.pointer + rows.lowerBound * x.stride, x.stride, y.pointer + rows.lowerBound * y.stride, y.stride,
            gate?.pointer, rows.count, x.columns)
    }
}

/// Multiplies elementwise, `x *= y`.
///
/// - Parameters:
///   - y: `[T, C]`.
///   - x: `[T, C]`; changed.
public func multiply(_ y: Matrix, into x: Matrix) {
    requireSameShape(x, y)
    inParallel(x.rows, elementsPerItem: x.columns) { rows in
        ck_multiply(
            x.pointer + rows.lowerBound * x.stride, x.stride, y.pointer + rows.lowerBound * y.stride, y.stride,
            rows.count, x.columns)
    }
}

/// Combines linearly, `y = a x + b y`.
///
/// - Parameters:
///   - a: The factor of `x`.
///   - x: `[T, C]`.
///   - b: The factor of `y`.
///   - y: `[T, C]`; changed.
public func axpby(_ a: Float, _ x: Matrix, _ b: Float, _ y: Matrix) {
    requireSameShape(x, y)
    inParallel(x.rows, elementsPerItem: x.columns) { rows in
        ck_axpby(
            a, x.pointer + rows.lowerBound * x.stride, x.stride, b, y.pointer + rows.lowerBound * y.stride, y.stride,
            rows.count, x.columns)
    }
}

/// Combines two predictions by classifier-free guidance, `unconditional + scale (conditional - unconditional)`.
///
/// - Parameters:
///   - unconditional: `[T, C]`.
///   - conditional: `[T, C]`.
///   - scale: The guidance scale; 1 gives the conditional prediction.
///   - output: `[T, C]`; overwritten, may be one of the predictions.
public func guide(unconditional: Matrix, conditional: Matrix, scale: Float, into output: Matrix) {
    requireSameShape(unconditional, conditional)
    requireSameShape(unconditional, output)
    if output.pointer == unconditional.pointer {
        axpby(scale, conditional, 1 - scale, output)
    } else {
        output.copy(from: conditional)
        axpby(1 - scale, unconditional, scale, output)
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
