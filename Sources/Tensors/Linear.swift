import CKernels

/// A fully connected layer.
public struct Linear: Sendable {
    /// `[outputs, inputs]`, as PyTorch stores it.
    public let weight: Weight
    /// `[1, outputs]`.
    public let bias: Matrix?

    /// A layer with weight `[outputs, inputs]` and bias `[1, outputs]`.
    public init(weight: Weight, bias: Matrix? = nil) {
        requireRow(bias, columns: weight.rows)
        self.weight = weight
        self.bias = bias
    }
}

/// Applies a layer, `y = activation(x · Wᵀ + b)`.
///
/// Half-precision weights are widened panel by panel; each panel is used for all rows, so the weight is read once.
///
/// - Parameters:
///   - x: `[T, inputs]`.
///   - layer: The layer.
///   - activation: Applied to the sum.
///   - y: `[T, outputs]`; overwritten, must not overlap `x`.
///   - workspace: Scratch memory.
public func linear(
    _ x: Matrix, _ layer: Linear, activation: Activation = .none, into y: Matrix, workspace: Workspace
) {
    let weight = layer.weight
    precondition(x.columns == weight.columns, "\(x.columns) inputs for a layer of \(weight.columns)")
    precondition(
        y.rows == x.rows && y.columns == weight.rows,
        "output \(y.rows) x \(y.columns), expected \(x.rows) x \(weight.rows)")
    if x.rows <= LinearTuning.smallBatchLimit {
        linearOfSmallBatch(x, layer, into: y)
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

/// For few rows, reading the weight dominates: it is read as stored, without a widened copy.
private func linearOfSmallBatch(_ x: Matrix, _ layer: Linear, into y: Matrix) {
    let weight = layer.weight
    inParallel(weight.rows, elementsPerItem: weight.columns) { outputs in
        let start = weight.start + outputs.lowerBound * weight.stride * weight.type.byteWidth
        let bias = layer.bias.map { UnsafePointer($0.pointer + outputs.lowerBound) }
        ck_linear_rows(
            x.pointer, x.stride, x.rows, weight.kernelType, start, weight.stride, bias,
            y.pointer + outputs.lowerBound, y.stride, outputs.count, weight.columns)
    }
}

/// Measured sizes that affect speed, not results.
private enum LinearTuning {
    /// Up to this many rows, reading the weight costs more than the arithmetic.
    static let smallBatchLimit = 8

    /// Rows of a widened panel: about 2 MB, which fits the caches, but not so few that packing the inputs again for every
    /// panel would dominate.
    static func panelRows(columns: Int) -> Int { max(384, (1 << 19) / max(1, columns)) / 16 * 16 }
}
