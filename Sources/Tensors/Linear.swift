import Basics
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

    /// The same layer for products in bfloat16 (see ``Weight/init(packing:)``).
    public var packed: Linear { Linear(weight: Weight(packing: [weight]), bias: bias) }
}

/// A sum to which a layer's result is added, `x += gate ⊙ result`, while the result is in the cache.
public struct ResidualSum {
    /// `[T, outputs]`, float32; modified.
    public let sum: Matrix
    /// One factor per column, `[1, outputs]`, or of several images with as many rows of the sum each, `[images, outputs]`;
    /// nil for 1.
    public let gate: Matrix?

    /// A sum `[T, outputs]` and a gate, `[1, outputs]` or `[images, outputs]`.
    public init(_ sum: Matrix, gate: Matrix? = nil) {
        if let gate {
            precondition(
                gate.rows > 0 && sum.rows % gate.rows == 0 && gate.columns == sum.columns,
                "a gate of \(gate.rows) x \(gate.columns) for a sum of \(sum.rows) x \(sum.columns)")
        }
        self.sum = sum
        self.gate = gate
    }

    /// Adds a result that is in memory.
    public func add(_ result: Matrix) {
        guard let gate else { return Tensors.add(result, to: sum) }
        let count = sum.rows / gate.rows
        for image in 0..<gate.rows {
            let rows = (image * count)..<((image + 1) * count)
            Tensors.add(result.rows(rows), gate: gate.rows(image..<(image + 1)), to: sum.rows(rows))
        }
    }
}

/// Applies a layer, `y = activation(x · Wᵀ + b)`.
///
/// With a packed weight the product is in bfloat16 and a float32 `x` is rounded first; otherwise it is in float32, and a
/// half-precision weight is widened panel by panel. The bits of a row's result depend neither on the other rows nor on the
/// number of threads, except that up to ``LinearTuning/smallBatchLimit`` rows of float32 are summed in another order.
///
/// - Parameters:
///   - x: `[T, inputs]`; in bfloat16 only with a packed weight.
///   - layer: The layer.
///   - activation: Applied to the sum.
///   - residual: A sum to add the result to.
///   - storesResult: Whether the result itself is needed; if not, `y` holds arbitrary values afterwards.
///   - y: `[T, outputs]`, in either precision; overwritten, must not overlap `x`.
///   - workspace: Scratch memory.
public func linear(
    _ x: Matrix, _ layer: Linear, activation: Activation = .none, addingTo residual: ResidualSum? = nil,
    storesResult: Bool = true, into y: Matrix, workspace: Workspace
) {
    let weight = layer.weight
    precondition(x.columns == weight.columns, "\(x.columns) inputs for a layer of \(weight.columns)")
    precondition(
        y.rows == x.rows && y.columns == weight.rows,
        "output \(y.rows) x \(y.columns), expected \(x.rows) x \(weight.rows)")
    if y.precision == .bfloat16 && x.columns > Int(CK_DEPTH_BLOCK) {
        // Sums over more columns continue in the output, which must be float32.
        let storage = workspace.storage(.wide, count: y.count)
        let wide = Matrix(storage: storage, offset: 0, rows: y.rows, columns: y.columns, stride: y.columns)
        linear(x, layer, activation: activation, addingTo: residual, into: wide, workspace: workspace)
        return narrow(wide, into: y)
    }
    if let residual { requireSameShape(residual.sum, y) }
    if !weight.isPacked && x.rows <= LinearTuning.smallBatchLimit {
        linearOfSmallBatch(x, layer, into: y)
        activate(activation, y)
        residual?.add(y)
        return
    }
    let isFloat = y.precision == .float32
    let isStored = storesResult || x.columns > Int(CK_DEPTH_BLOCK)
    let output = ck_output(
        y: isFloat && isStored ? y.pointer : nil, y_stride: isFloat ? y.stride : 0,
        narrow: isFloat || !isStored ? nil : y.narrowPointer, narrow_stride: isFloat ? 0 : y.stride,
        bias: layer.bias.map { UnsafePointer($0.pointer) },
        activation: activation.kernelActivation, residual: residual?.sum.pointer,
        residual_stride: residual?.sum.stride ?? 0, gate: residual?.gate.map { UnsafePointer($0.pointer) },
        gate_stride: residual?.gate?.stride ?? 0,
        gate_rows: residual?.gate.map { $0.rows > 1 ? y.rows / $0.rows : 0 } ?? 0, first_row: 0)
    if let packed = weight.packed {
        multiply(x, packed, outputs: weight.rows, output, workspace: workspace)
    } else {
        multiply(x, weight, output, workspace: workspace)
    }
}

/// A product in float32.
private func multiply(_ x: Matrix, _ weight: Weight, _ output: ck_output, workspace: Workspace) {
    let panelCount = Int(CK_PANEL) * min(x.columns, Int(CK_DEPTH_BLOCK))
    let tiles = ProductTiles(rows: x.rows, columns: weight.rows, depth: x.columns)
    // Read once: the scratch memory is for this number of threads.
    let threads = min(BLAS.threadCount, tiles.count)
    let scratch = workspace.floats(.panel, count: threads * panelCount)
    inParallelItems(tiles.count, threads: threads) { index, thread in
        let tile = tiles[index]
        var part = output.from(row: tile.rows.lowerBound)
        ck_product(
            x.pointer + tile.rows.lowerBound * x.stride, x.stride, tile.rows.count, weight.kernelType, weight.start,
            weight.stride, tile.columns.lowerBound, tile.columns.upperBound, x.columns, &part,
            scratch + thread * panelCount)
    }
}

/// A product in bfloat16.
private func multiply(
    _ x: Matrix, _ packed: UnsafePointer<UInt16>, outputs: Int, _ output: ck_output, workspace: Workspace
) {
    let input = x.precision == .bfloat16 ? x : narrowed(x, workspace: workspace)
    let tiles = ProductTiles(rows: x.rows, columns: outputs, depth: x.columns)
    inParallelItems(tiles.count, threads: BLAS.threadCount) { index, _ in
        let tile = tiles[index]
        var part = output.from(row: tile.rows.lowerBound)
        ck_bf16_product(
            input.narrowPointer + tile.rows.lowerBound * input.stride, input.stride, tile.rows.count, packed,
            tile.columns.lowerBound, tile.columns.upperBound, x.columns, &part)
    }
}

/// A copy in bfloat16 in scratch memory.
private func narrowed(_ x: Matrix, workspace: Workspace) -> Matrix {
    // A row of zeros follows an odd number of columns; a stride of a multiple of 4 KB would let rows evict one another.
    var stride = (x.columns + 31) / 32 * 32
    if stride % 1024 == 0 { stride += 32 }
    let storage = workspace.storage(.narrowed, count: x.rows * stride / 2)
    let result = Matrix(
        storage: storage, offset: 0, rows: x.rows, columns: x.columns, stride: stride, precision: .bfloat16)
    narrow(x, into: result)
    return result
}

/// Rounds to bfloat16.
///
/// - Parameters:
///   - x: `[T, C]`, float32.
///   - y: `[T, C]`, bfloat16; overwritten.
public func narrow(_ x: Matrix, into y: Matrix) {
    requireSameShape(x, y)
    inParallel(x.rows, elementsPerItem: x.columns) { rows in
        for row in rows {
            ck_narrow(x.pointer + row * x.stride, y.narrowPointer + row * y.stride, x.columns)
            if x.columns % 2 != 0 && y.stride > x.columns { y.narrowPointer[row * y.stride + x.columns] = 0 }
        }
    }
}

extension ck_output {
    /// The same output for a product of the rows from `row` on.
    fileprivate func from(row: Int) -> ck_output {
        var part = self
        if let y { part.y = y + row * y_stride }
        if let narrow { part.narrow = narrow + row * narrow_stride }
        if let residual { part.residual = residual + row * residual_stride }
        part.first_row = row
        return part
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

/// Measured sizes that affect speed.
enum LinearTuning {
    /// Up to this many rows, reading the weight costs more than the arithmetic.
    static let smallBatchLimit = 8
}
