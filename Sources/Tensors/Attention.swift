import Basics
import CKernels

/// Multi-head attention of one image, `softmax(scale · q · kᵀ + bias) · v` for each head (arXiv 1706.03762, section
/// 3.2).
///
/// Heads are column slices of width D. Queries, keys and values are all in float32 or all in bfloat16; in bfloat16 both
/// products are, with float32 sums, and there is no bias. The bits of a query's result depend neither on the other
/// queries nor on the number of threads. Scores are never in memory as a whole (see `CKernels`).
///
/// - Parameters:
///   - queries: `[T, heads · D]`.
///   - keys: `[S, heads · D]`.
///   - values: `[S, heads · D]`.
///   - headCount: The number of heads.
///   - scale: Multiplies the scores, usually `1 / √D`; positive in bfloat16.
///   - bias: Added to the scores, `[heads · T, S]`.
///   - output: `[T, heads · D]`, in either precision; overwritten, must not overlap the inputs.
///   - workspace: Scratch memory.
public func attention(
    queries: Matrix, keys: Matrix, values: Matrix, headCount: Int, scale: Float, bias: Matrix? = nil,
    into output: Matrix, workspace: Workspace
) {
    attention(
        queries: queries, imageCount: 1, headCount: headCount, scale: scale, bias: bias, into: output,
        workspace: workspace
    ) { _ in (TokenRows(0..<queries.rows), KeysAndValues(keys: keys, values: values)) }
}

/// The tokens of an image among the rows of a matrix: one range of rows, or two, such as text and image tokens.
public struct TokenRows: Sendable {
    /// The number of tokens.
    public let count: Int
    let start: Int
    let kernelRows: ck_token_rows

    /// Tokens in adjacent rows.
    public init(_ rows: Range<Int>) {
        (start, count) = (rows.lowerBound, rows.count)
        kernelRows = ck_token_rows(split: rows.count, gap: 0)
    }

    /// Tokens in two ranges of rows, the second behind the first.
    public init(_ first: Range<Int>, _ second: Range<Int>) {
        precondition(second.lowerBound >= first.upperBound, "\(first) before \(second)")
        (start, count) = (first.lowerBound, first.count + second.count)
        kernelRows = ck_token_rows(split: first.count, gap: second.lowerBound - first.upperBound)
    }

    /// The end of the rows.
    var upperBound: Int { start + count + (count > kernelRows.split ? kernelRows.gap : 0) }
}

/// The keys and values of an image.
public struct KeysAndValues {
    let keys, values: Matrix
    let rows: TokenRows

    /// Rows of matrices with `heads · D` columns; all rows by default.
    public init(keys: Matrix, values: Matrix, rows: TokenRows? = nil) {
        requireSameShape(keys, values)
        precondition(keys.precision == values.precision, "keys and values differ in precision")
        self.keys = keys
        self.values = values
        self.rows = rows ?? TokenRows(0..<keys.rows)
        precondition(self.rows.count > 0 && self.rows.upperBound <= keys.rows, "tokens beyond \(keys.rows) rows")
    }
}

/// Multi-head attention of several images in one parallel region.
///
/// - Parameters:
///   - queries: `[rows, heads · D]`.
///   - imageCount: The number of images.
///   - headCount: The number of heads.
///   - scale: As for one image.
///   - bias: As for one image, of which there must be only one.
///   - output: The shape of `queries`, in either precision; must not overlap the inputs. The rows of the images'
///     tokens are overwritten.
///   - workspace: Scratch memory.
///   - tokens: The rows of an image's queries and results, as many for every image, and its keys and values, whose
///     number may differ.
public func attention(
    queries: Matrix, imageCount: Int, headCount: Int, scale: Float, bias: Matrix? = nil, into output: Matrix,
    workspace: Workspace, tokens: (Int) -> (TokenRows, KeysAndValues)
) {
    precondition(headCount > 0 && queries.columns % headCount == 0, "\(queries.columns) columns, \(headCount) heads")
    precondition(imageCount > 0 && (bias == nil || imageCount == 1), "\(imageCount) images, or a bias for several")
    requireSameShape(queries, output)
    let isNarrow = queries.precision == .bfloat16
    precondition(!isNarrow || (bias == nil && scale > 0), "attention in bfloat16 with a bias or a scale of \(scale)")
    let dimension = queries.columns / headCount
    let queryCount = tokens(0).0.count
    var scores = 0
    for image in 0..<imageCount {
        let (rows, context) = tokens(image)
        precondition(rows.count == queryCount && rows.upperBound <= queries.rows, "queries of image \(image)")
        precondition(
            context.keys.columns == queries.columns && context.keys.precision == queries.precision,
            "keys of \(context.keys.columns) columns")
        if let bias {
            precondition(
                bias.rows == headCount * queryCount && bias.columns == context.rows.count,
                "bias of \(bias.rows) x \(bias.columns), expected \(headCount * queryCount) x \(context.rows.count)")
        }
        scores += headCount * queryCount * context.rows.count
    }
    let parts = AttentionParts(
        imageCount: imageCount, headCount: headCount, queries: queryCount, dimension: dimension,
        threads: BLAS.threadCount, work: 2 * scores * dimension)
    let scratchCount = ck_attention_scratch(dimension, parts.maxQueries) / MemoryLayout<Float>.stride
    let scratch = workspace.floats(.scores, count: parts.threads * scratchCount)
    inParallelItems(parts.count, threads: parts.threads) { index, thread in
        let part = parts[index]
        let (rows, context) = tokens(part.image)
        let column = part.head * dimension
        let isFloat = output.precision == .float32
        let first = rows.start * output.stride + column
        var head = ck_attention_head(
            dimension: dimension, first_query: part.queries.lowerBound, queries: part.queries.count,
            keys: context.rows.count, q: queries.element(rows.start, column),
            k: context.keys.element(context.rows.start, column),
            v: context.values.element(context.rows.start, column), q_stride: queries.stride,
            k_stride: context.keys.stride, v_stride: context.values.stride, query_rows: rows.kernelRows,
            key_rows: context.rows.kernelRows, scale: scale,
            bias: bias.map { $0.pointer + (part.head * queryCount + part.queries.lowerBound) * $0.stride },
            bias_stride: bias?.stride ?? 0, output: isFloat ? output.pointer + first : nil,
            narrow: isFloat ? nil : output.narrowPointer + first, output_stride: output.stride)
        let memory = scratch + thread * scratchCount
        if isNarrow { ck_bf16_attention(&head, memory) } else { ck_attention(&head, memory) }
    }
}

/// The pieces of an attention that threads take one after the other: some queries of a head of an image.
///
/// The division affects speed only.
struct AttentionParts {
    /// Minimum multiplications per thread: some tens of microseconds of work.
    static let minWork = 1 << 21

    let queries, headCount: Int
    /// Queries of a piece at most.
    let maxQueries: Int
    private let partsPerHead: Int
    /// The number of pieces.
    let count: Int
    /// The number of threads that the work is worth.
    let threads: Int

    init(imageCount: Int, headCount: Int, queries: Int, dimension: Int, threads: Int, work: Int) {
        self.queries = queries
        self.headCount = headCount
        self.threads = min(threads, max(1, work / Self.minWork))
        // Each piece packs its head's keys and values again, so it should be long; but its sums, in float32, should fit
        // into half a second-level cache, and every thread should get some pieces.
        let pieces = (4 * self.threads + imageCount * headCount - 1) / (imageCount * headCount)
        let shared = self.threads > 1 ? (queries + pieces - 1) / pieces : queries
        let limit = min(max(60, shared), max(60, min(480, (1 << 16) / dimension)))
        maxQueries = min(queries, (limit + 29) / 30 * 30)
        partsPerHead = (queries + maxQueries - 1) / maxQueries
        count = imageCount * headCount * partsPerHead
    }

    subscript(index: Int) -> (image: Int, head: Int, queries: Range<Int>) {
        let (head, part) = index.quotientAndRemainder(dividingBy: partsPerHead)
        return (
            head / headCount, head % headCount, (part * maxQueries)..<min(queries, (part + 1) * maxQueries)
        )
    }
}

/// Applies a root-mean-square norm to each head, then rotary position embeddings to pairs of adjacent columns (RoFormer,
/// arXiv 2104.09864, section 3.4).
///
/// ```
/// y[2k], y[2k+1] = x[2k] cos - x[2k+1] sin, x[2k+1] cos + x[2k] sin
/// ```
///
/// - Parameters:
///   - x: `[T, heads · D]` with an even D, float32.
///   - weight: The weight of the norm, `[1, D]`; nil for no norm.
///   - epsilon: Added to the mean square.
///   - cosine: `[T, D]`, equal in both columns of a pair.
///   - sine: `[T, D]`, negated in the first column of a pair.
///   - y: `[T, heads · D]`, in either precision; overwritten, may be `x`.
public func applyRotaryEmbedding(
    to x: Matrix, normWeight weight: Matrix? = nil, epsilon: Float = 0, cosine: Matrix, sine: Matrix, into y: Matrix
) {
    let dimension = cosine.columns
    requireSameShape(cosine, sine)
    requireSameShape(x, y)
    requireRow(weight, columns: dimension)
    precondition(cosine.isContiguous && sine.isContiguous, "rotation tables must be contiguous")
    precondition(
        x.rows == cosine.rows && dimension > 0 && dimension % 2 == 0 && x.columns % dimension == 0,
        "\(x.rows) x \(x.columns) rotated by \(cosine.rows) x \(dimension)")
    let isFloat = y.precision == .float32
    inParallel(x.rows, elementsPerItem: x.columns) { rows in
        let first = rows.lowerBound * y.stride
        ck_rotary(
            x.pointer + rows.lowerBound * x.stride, x.stride, weight?.pointer, epsilon,
            cosine.pointer + rows.lowerBound * dimension, sine.pointer + rows.lowerBound * dimension,
            isFloat ? y.pointer + first : nil, isFloat ? nil : y.narrowPointer + first, y.stride, rows.count,
            x.columns / dimension, dimension)
    }
}
