import CKernels

/// Multi-head attention of one image, `softmax(scale · q · kᵀ + bias) · v` for each head (arXiv 1706.03762, section
/// 3.2).
///
/// Heads are column slices of width D. Few tokens go to a fused kernel, where calls of BLAS would cost more than their
/// work; many tokens go block by block, so the scores never need more than two megabytes.
///
/// - Parameters:
///   - queries: `[T, heads · D]`.
///   - keys: `[S, heads · D]`.
///   - values: `[S, heads · D]`.
///   - headCount: The heads.
///   - scale: The factor of the scores, usually `1 / √D`.
///   - bias: Added to the scores, `[heads · T, S]`.
///   - output: `[T, heads · D]`; overwritten, no part of the inputs.
///   - workspace: Scratch memory.
public func attention(
    queries: Matrix, keys: Matrix, values: Matrix, headCount: Int, scale: Float, bias: Matrix? = nil,
    into output: Matrix, workspace: Workspace
) {
    precondition(headCount > 0 && queries.columns % headCount == 0, "\(queries.columns) columns, \(headCount) heads")
    precondition(keys.columns == queries.columns && keys.rows > 0, "keys of \(keys.rows) x \(keys.columns)")
    requireSameShape(keys, values)
    requireSameShape(queries, output)
    if let bias {
        precondition(
            bias.rows == headCount * queries.rows && bias.columns == keys.rows,
            "bias of \(bias.rows) x \(bias.columns), expected \(headCount * queries.rows) x \(keys.rows)")
    }
    let inputs = AttentionInputs(
        queries: queries, keys: keys, values: values, headCount: headCount, scale: scale, bias: bias)
    if max(queries.rows, keys.rows) <= AttentionInputs.fewTokens {
        attendFused(inputs, into: output, workspace: workspace)
    } else {
        attendInBlocks(inputs, into: output, workspace: workspace)
    }
}

private struct AttentionInputs {
    /// Up to this many tokens the fused kernel is faster than BLAS, by measurement.
    static let fewTokens = 128
    /// The most scores held at a time: 2 MB.
    static let mostScores = 1 << 19

    var queries, keys, values: Matrix
    var headCount: Int
    var scale: Float
    var bias: Matrix?
    var dimension: Int { queries.columns / headCount }
}

private func attendFused(_ inputs: AttentionInputs, into output: Matrix, workspace: Workspace) {
    let (queries, keys, values) = (inputs.queries, inputs.keys, inputs.values)
    let shape = ck_attention_shape(
        heads: inputs.headCount, dimension: inputs.dimension, queries: queries.rows, keys: keys.rows)
    let scratch = workspace.floats(.scores, count: ck_attention_scratch(shape.dimension, shape.keys))
    ck_attention(
        shape, queries.pointer, queries.stride, keys.pointer, keys.stride, values.pointer, values.stride,
        inputs.scale, inputs.bias?.pointer, inputs.bias?.stride ?? 0, output.pointer, output.stride, scratch)
}

private func attendInBlocks(_ inputs: AttentionInputs, into output: Matrix, workspace: Workspace) {
    let (tokens, keyCount, dimension) = (inputs.queries.rows, inputs.keys.rows, inputs.dimension)
    let blockRows = min(tokens, max(1, AttentionInputs.mostScores / keyCount))
    let scores = workspace.floats(.scores, count: blockRows * keyCount)
    for head in 0..<inputs.headCount {
        let slice = (head * dimension)..<((head + 1) * dimension)
        let (keys, values) = (inputs.keys.columns(slice), inputs.values.columns(slice))
        for first in stride(from: 0, to: tokens, by: blockRows) {
            let block = first..<min(first + blockRows, tokens)
            let queries = inputs.queries.rows(block).columns(slice)
            let result = output.rows(block).columns(slice)
            sgemm(
                queries.pointer, aStride: queries.stride, keys.pointer, bStride: keys.stride, transposeB: true,
                into: scores, cStride: keyCount, rows: block.count, columns: keyCount, depth: dimension)
            let bias = inputs.bias?.rows((head * tokens + first)..<(head * tokens + block.upperBound))
            inParallel(block.count, elementsPerItem: keyCount) { rows in
                let rowBias = bias.map { UnsafePointer($0.pointer + rows.lowerBound * $0.stride) }
                ck_softmax(
                    scores + rows.lowerBound * keyCount, keyCount, inputs.scale, rowBias, bias?.stride ?? 0,
                    rows.count, keyCount)
            }
            sgemm(
                scores, aStride: keyCount, values.pointer, bStride: values.stride, transposeB: false,
                into: result.pointer, cStride: result.stride, rows: block.count, columns: dimension, depth: keyCount)
        }
    }
}
