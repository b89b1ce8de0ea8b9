// Small matrix products: a few rows times a stored weight, and attention over short sequences, where the overhead of a
// BLAS call would dominate.

typedef float v4 __attribute__((ext_vector_type(4)));

INLINE void transpose_4x4(v4 r[4]) {
    const v4 a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5), b = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
    const v4 c = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7), d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    r[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5);
    r[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
    r[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5);
    r[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
}

// The sums of four vectors at once, each in the order of horizontal_sum.
INLINE v4 four_sums(const vf s[4]) {
    v4 parts[4];
    UNROLL for (size_t u = 0; u < 4; u++) {
        const __typeof__(s[u].lo) half = s[u].lo + s[u].hi;
        parts[u] = half.lo + half.hi;
    }
    transpose_4x4(parts);
    return (parts[0] + parts[2]) + (parts[1] + parts[3]);
}

// Accumulates up to sixteen products into each of four outputs of `rows` rows; every weight is converted once.
INLINE void accumulate(vf s[4][4], size_t rows, const float *x, size_t x_stride, ck_type type, const void *weight,
                       size_t element, size_t weight_stride, size_t count) {
    vf a[4];
    UNROLL for (size_t r = 0; r < rows; r++) a[r] = load_some(x + r * x_stride, count);
    UNROLL for (size_t u = 0; u < 4; u++) {
        const vf w = load_stored(type, weight, element + u * weight_stride, count);
        UNROLL for (size_t r = 0; r < rows; r++) s[r][u] = fma16(a[r], w, s[r][u]);
    }
}

// Four outputs of `rows` rows (a constant, at most four), starting at the weight's row at `element`.
INLINE void four_outputs(size_t rows, const float *x, size_t x_stride, ck_type type, const void *weight,
                         size_t element, size_t weight_stride, size_t inputs, v4 results[4]) {
    vf s[4][4];
    UNROLL for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t u = 0; u < 4; u++) s[r][u] = 0;
    size_t j = 0;
    for (; j + LANES <= inputs; j += LANES)
        accumulate(s, rows, x + j, x_stride, type, weight, element + j, weight_stride, LANES);
    if (j < inputs) accumulate(s, rows, x + j, x_stride, type, weight, element + j, weight_stride, inputs - j);
    UNROLL for (size_t r = 0; r < rows; r++) results[r] = four_sums(s[r]);
}

INLINE void linear_rows_of(size_t rows, const float *x, size_t x_stride, ck_type type, const void *weight,
                           size_t weight_stride, const float *bias, float *y, size_t y_stride, size_t outputs,
                           size_t inputs) {
    for (size_t o = 0; o < outputs; o += 4) {
        const size_t count = smaller(4, outputs - o);
        v4 sums[4];
        if (count == 4) {
            four_outputs(rows, x, x_stride, type, weight, o * weight_stride, weight_stride, inputs, sums);
        } else {
            // A stride of zero repeats the row, to avoid reading beyond the weight.
            for (size_t u = 0; u < count; u++) {
                v4 repeated[4];
                four_outputs(rows, x, x_stride, type, weight, (o + u) * weight_stride, 0, inputs, repeated);
                for (size_t r = 0; r < rows; r++) sums[r][u] = repeated[r][0];
            }
        }
        for (size_t r = 0; r < rows; r++)
            for (size_t u = 0; u < count; u++) y[r * y_stride + o + u] = sums[r][u] + (bias ? bias[o + u] : 0.0f);
    }
}

// Specialised for each type and number of rows.
INLINE void linear_rows_typed(const float *x, size_t x_stride, size_t rows, ck_type type, const void *weight,
                              size_t weight_stride, const float *bias, float *y, size_t y_stride, size_t outputs,
                              size_t inputs) {
    for (size_t r = 0; r < rows;) {
        const float *from = x + r * x_stride;
        float *to = y + r * y_stride;
        if (rows - r >= 4) {
            linear_rows_of(4, from, x_stride, type, weight, weight_stride, bias, to, y_stride, outputs, inputs);
            r += 4;
        } else if (rows - r >= 2) {
            linear_rows_of(2, from, x_stride, type, weight, weight_stride, bias, to, y_stride, outputs, inputs);
            r += 2;
        } else {
            linear_rows_of(1, from, x_stride, type, weight, weight_stride, bias, to, y_stride, outputs, inputs);
            r += 1;
        }
    }
}

static void k_linear_rows(const float *x, size_t x_stride, size_t rows, ck_type type, const void *weight,
                          size_t weight_stride, const float *bias, float *y, size_t y_stride, size_t outputs,
                          size_t inputs) {
    switch (type) {
    case CK_F32:
        return linear_rows_typed(x, x_stride, rows, CK_F32, weight, weight_stride, bias, y, y_stride, outputs, inputs);
    case CK_F16:
        return linear_rows_typed(x, x_stride, rows, CK_F16, weight, weight_stride, bias, y, y_stride, outputs, inputs);
    case CK_BF16:
        return linear_rows_typed(x, x_stride, rows, CK_BF16, weight, weight_stride, bias, y, y_stride, outputs, inputs);
    }
}

// One tile of c = a b, rows x (vectors * 16), of at most eight vectors so that it stays in registers. The last vector
// has `last` columns.
INLINE void tile(size_t rows, size_t vectors, const float *a, size_t a_stride, const float *b, size_t b_stride,
                 float *c, size_t c_stride, size_t depth, size_t last) {
    vf s[8][2];
    UNROLL for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t u = 0; u < vectors; u++) s[r][u] = 0;
    for (size_t k = 0; k < depth; k++) {
        vf line[2];
        UNROLL for (size_t u = 0; u < vectors; u++)
            line[u] = load_some(b + k * b_stride + u * LANES, u + 1 < vectors ? LANES : last);
        UNROLL for (size_t r = 0; r < rows; r++) {
            const vf factor = splat(a[r * a_stride + k]);
            UNROLL for (size_t u = 0; u < vectors; u++) s[r][u] = fma16(factor, line[u], s[r][u]);
        }
    }
    UNROLL for (size_t r = 0; r < rows; r++)
        UNROLL for (size_t u = 0; u < vectors; u++)
            store_some(c + r * c_stride + u * LANES, s[r][u], u + 1 < vectors ? LANES : last);
}

// With constant rows, vectors and last, each call is inlined as a fully unrolled tile.
INLINE void tile_column(size_t vectors, const float *a, size_t a_stride, const float *b, size_t b_stride, float *c,
                        size_t c_stride, size_t rows, size_t depth, size_t last) {
    enum { MAX_ROWS = CK_TILE_VECTORS };
    size_t i = 0;
    for (; i + MAX_ROWS / vectors <= rows; i += MAX_ROWS / vectors)
        tile(MAX_ROWS / vectors, vectors, a + i * a_stride, a_stride, b, b_stride, c + i * c_stride, c_stride, depth, last);
    for (; i < rows; i++)
        tile(1, vectors, a + i * a_stride, a_stride, b, b_stride, c + i * c_stride, c_stride, depth, last);
}

// c[rows, columns] = a[rows, depth] b[depth, columns].
INLINE void small_product(const float *a, size_t a_stride, const float *b, size_t b_stride, float *c, size_t c_stride,
                          size_t rows, size_t depth, size_t columns) {
    size_t j = 0;
    if (CK_TILE_VECTORS >= 8)
        for (; j + 2 * LANES <= columns; j += 2 * LANES)
            tile_column(2, a, a_stride, b + j, b_stride, c + j, c_stride, rows, depth, LANES);
    for (; j + LANES <= columns; j += LANES)
        tile_column(1, a, a_stride, b + j, b_stride, c + j, c_stride, rows, depth, LANES);
    if (j < columns) tile_column(1, a, a_stride, b + j, b_stride, c + j, c_stride, rows, depth, columns - j);
}

// transposed[d, key] = k[key, d] for a 4 x 4 block.
INLINE void transpose_square(const float *k, size_t k_stride, float *transposed, size_t padded) {
    v4 r[4];
    for (size_t i = 0; i < 4; i++) memcpy(&r[i], k + i * k_stride, sizeof r[i]);
    transpose_4x4(r);
    for (size_t i = 0; i < 4; i++) memcpy(transposed + i * padded, &r[i], sizeof r[i]);
}

// transposed[d, key] = k[key, d]; rows are zero-padded to `padded` keys.
INLINE void transpose_keys(const float *k, size_t k_stride, float *transposed, size_t padded, size_t keys,
                           size_t dimension) {
    const size_t whole_keys = keys / 4 * 4, whole_dimension = dimension / 4 * 4;
    for (size_t d = 0; d < whole_dimension; d += 4)
        for (size_t key = 0; key < whole_keys; key += 4)
            transpose_square(k + key * k_stride + d, k_stride, transposed + d * padded + key, padded);
    for (size_t d = 0; d < dimension; d++) {
        float *const line = transposed + d * padded;
        for (size_t key = d < whole_dimension ? whole_keys : 0; key < keys; key++) line[key] = k[key * k_stride + d];
        for (size_t key = keys; key < padded; key++) line[key] = 0;
    }
}

static void k_attention(ck_attention_shape shape, const float *q, size_t q_stride, const float *k, size_t k_stride,
                        const float *v, size_t v_stride, float scale, const float *bias, size_t bias_stride,
                        float *output, size_t output_stride, float *scratch) {
    enum { BLOCK = 16 };
    const size_t padded = (shape.keys + LANES - 1) / LANES * LANES;
    float *const transposed = scratch;
    float *const scores = scratch + shape.dimension * padded;
    for (size_t head = 0; head < shape.heads; head++) {
        const size_t column = head * shape.dimension;
        transpose_keys(k + column, k_stride, transposed, padded, shape.keys, shape.dimension);
        for (size_t first = 0; first < shape.queries; first += BLOCK) {
            const size_t rows = smaller(BLOCK, shape.queries - first);
            float *const out = output + first * output_stride + column;
            small_product(q + first * q_stride + column, q_stride, transposed, padded, scores, padded, rows,
                          shape.dimension, padded);
            float factor[BLOCK];
            for (size_t r = 0; r < rows; r++) {
                const float *row_bias = bias ? bias + (head * shape.queries + first + r) * bias_stride : NULL;
                factor[r] = 1.0f / exponentials_of(scores + r * padded, scale, row_bias, shape.keys);
            }
            small_product(scores, padded, v + column, v_stride, out, output_stride, rows, shape.keys,
                          shape.dimension);
            for (size_t r = 0; r < rows; r++)
                for (size_t j = 0; j < shape.dimension; j += LANES) {
                    float *const p = out + r * output_stride + j;
                    const size_t count = shape.dimension - j;
                    store_some(p, load_some(p, count) * splat(factor[r]), count);
                }
        }
    }
}
