import CKernels

/// A fully connected layer.
public struct Linear: Sendable {
    /// `[outputs, inputs]`, as PyTorch stores it.
    public let weight: Weight
    /// `[1, outputs]`.
    public let bias: Matrix?

    /// A layer of a weight `[outputs, inputs]` and a bias `[1, outputs]`.
    public init(weight: Weight, bias: Matrix? = nil) {
        requireRow(bias, columns: weight.rows)
        self.weight = weight
        self.bias = bias
    }
}

/// Applies a layer, `y = activation(x · Wᵀ + b)`.
///
/// A half-precision weight is widened panel by panel, each used for all rows, so the weight is read once.
///
/// - Parameters:
///   - x: `[T, inputs]`.
///   - layer: The layer.
///   - activation: Applied to the sum.
///   - y: `[T, outputs]`; overwritten, no part of `x`.
///   - workspace: Scratch memory.
public func linear(
    _ x: Matrix, _ layer: Linear, activation: Activation = .none, into y: Matrix, workspace: Workspace
) {
    let weight = layer.weight
    precondition(x.columns == weight.columns, "\(x.columns) inputs for a layer of \(weight.columns)")
    precondition(
        y.rows == x.rows && y.columns == weight.rows,
        "output \(y.rows) x \(y.columns), expected \(x.rows) x \(weight.rows)")
    if x.rows <= LinearTuning.fewRows {
        linearOfFewRows(x, layer, into: y)
        activate(activation, y)
        return
    }
    let panelRows = weight.kernelType == CK_F32 ? weight.rows : LinearTuning.panelRows(columns: weight.columns)
    for first in stride(from: 0, to: weight.rows, by: max(1, panelRows)) {
        let outputs = first..<min(first + panelRows, weight.rows)
        let panel = weight.floats(rows: outputs, workspace: workspace)
        let part = y.columns(outputs)
        sgemm(
            x.pointer, aStride: x.stride, panel.start, bStride: panel.stride, transposeB: true, into: part.pointer,
            cStride: part.stride, rows: x.rows, columns: outputs.count, depth: x.columns)
        addBias(layer.bias?.columns(outputs), activation: activation, to: part)
    }
}

/// A product of few rows is bound by reading the weight: read it as stored, without a widened copy.
private func linearOfFewRows(_ x: Matrix, _ layer: Linear, into y: Matrix) {
    let weight = layer.weight
    inParallel(weight.rows, elementsPerItem: weight.columns) { outputs in
        let start = weight.start + outputs.lowerBound * weight.stride * weight.type.byteWidth
        let bias = layer.bias.map { UnsafePointer($0.pointer + outputs.lowerBound) }
        ck_linear_rows(
            x.pointer, x.stride, x.rows, weight.kernelType, start, weight.stride, bias,
            y.pointer + outputs.lowerBound, y.stride, outputs.count, weight.columns)
    }
}

/// Sizes found by measurement; they move time, not results.
private enum LinearTuning {
    /// Up to this many rows the weight's bytes cost more than the arithmetic.
    static let fewRows = 8

    /// The rows of a widened panel: about 2 MB, which stays in the caches, but never so few that packing the inputs
    /// again for each panel would cost more than the panel.
    static func panelRows(columns: Int) -> Int { max(384, (1 << 19) / max(1, columns)) / 16 * 16 }
}

/// Multiplies matrices, `c = alpha · a · b + beta · c`, or with `bᵀ` for `b`.
///
/// - Parameters:
///   - a: `[M, K]`.
///   - b: `[K, N]`; `[N, K]` when `transposeB`.
///   - transposeB: Whether to use `bᵀ`.
///   - alpha: The factor of the product.
///   - beta: The factor of what `c` holds; with 0 it is not read.
///   - c: `[M, N]`; no part of `a` or `b`.
public func matmul(
    _ a: Matrix, _ b: Matrix, transposeB: Bool = false, alpha: Float = 1, beta: Float = 0, into c: Matrix
) {
    let (depth, columns) = transposeB ? (b.columns, b.rows) : (b.rows, b.columns)
    precondition(a.columns == depth, "product of \(a.rows) x \(a.columns) and \(depth) x \(columns)")
    precondition(
        c.rows == a.rows && c.columns == columns, "output \(c.rows) x \(c.columns), expected \(a.rows) x \(columns)")
    sgemm(
        a.pointer, aStride: a.stride, b.pointer, bStride: b.stride, transposeB: transposeB, alpha: alpha, beta: beta,
        into: c.pointer, cStride: c.stride, rows: a.rows, columns: columns, depth: depth)
}
