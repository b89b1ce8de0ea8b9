import CKernels

/// Multi-head attention of one image, `softmax(scale · q · kᵀ + bias) · v` for each head (arXiv 1706.03762, section
/// 3.2).
///
/// Heads are column slices of width D. Short sequences use a fused kernel, because BLAS calls would cost more than the
/// arithmetic; longer ones are processed in blocks of queries, so the scores never take more than 2 MB.
///
/// - Parameters:
///   - queries: `[T, heads · D]`.
///   - keys: `[S, heads · D]`.
///   - values: `[S, heads · D]`.
///   - headCount: The number of heads.
///   - scale: Multiplies the scores, usually `1 / √D`.
///   - bias: Added to the scores, `[heads · T, S]`.
///   - output: `[T, heads · D]`; overwritten, must not overlap the inputs.
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
    if max(queries.rows, keys.rows) <= AttentionInputs.fusedTokenLimit {
        attendFused(inputs, into: output, workspace: workspace)
    } else {
        attendInBlocks(inputs, into: output, workspace: workspace)
    }
}

private struct AttentionInputs {
    /// Up to this many tokens the fused kernel is faster than BLAS (measured).
    static let fusedTokenLimit = 128
    /// Maximum number of scores in memory at a time: 2 MB.
    static let maxScoreCount = 1 << 19

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
    let blockRows = min(tokens, max(1, AttentionInputs.maxScoreCount / keyCount))
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

/// Applies rotary position embeddings to pairs of adjacent columns, in place (RoFormer, arXiv 2104.09864, section 3.4).
///
/// ```
/// x[2k], x[2k+1] = x[2k] cos - x[2k+1] sin, x[2k+1] cos + x[2k] sin
/// ```
///
/// - Parameters:
///   - x: `[T, heads · D]` with an even D; modified.
///   - cosine: `[T, D]`, equal in both columns of a pair.
///   - sine: `[T, D]`, negated in the first column of a pair.
public func applyRotaryEmbedding(to x: Matrix, cosine: Matrix, sine: Matrix) {
    let dimension = cosine.columns
    requireSameShape(cosine, sine)
    precondition(cosine.isContiguous && sine.isContiguous, "rotation tables must be contiguous")
    precondition(
        x.rows == cosine.rows && dimension > 0 && dimension % 2 == 0 && x.columns % dimension == 0,
        "\(x.rows) x \(x.columns) rotated by \(cosine.rows) x \(dimension)")
    inParallel(x.rows, elementsPerItem: x.columns) { rows in
        ck_rotary(
            x.pointer + rows.lowerBound * x.stride, x.stride, cosine.pointer + rows.lowerBound * dimension,
            sine.pointer + rows.lowerBound * dimension, rows.count, x.columns / dimension, dimension)
    }
}
