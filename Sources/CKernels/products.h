// Small matrix products: few rows times a stored weight, and attention over few tokens, where a BLAS call costs more
// than its work.

INLINE void linear_rows_of(const float *x, size_t x_stride, size_t rows, ck_type type, const void *weight,
                           size_t weight_stride, const float *bias, float *y, size_t y_stride, size_t outputs,
                           size_t inputs) {
    enum { TOGETHER = 4 };
    for (size_t o = 0; o < outputs; o += TOGETHER) {
        const size_t n = smaller(TOGETHER, outputs - o);
        for (size_t r = 0; r < rows; r++) {
            const float *row = x + r * x_stride;
            vf s[TOGETHER] = {0, 0, 0, 0};
            if (n == TOGETHER) {
                for (size_t j = 0; j < inputs; j += LANES) {
                    const vf a = load_some(row + j, inputs - j);
                    for (size_t u = 0; u < TOGETHER; u++)
                        s[u] = fma16(a, load_stored(type, weight, (o + u) * weight_stride + j, inputs - j), s[u]);
                }
            } else {
                for (size_t u = 0; u < n; u++)
                    for (size_t j = 0; j < inputs; j += LANES)
                        s[u] = fma16(load_some(row + j, inputs - j),
                                     load_stored(type, weight, (o + u) * weight_stride + j, inputs - j), s[u]);
            }
            for (size_t u = 0; u < n; u++)
                y[r * y_stride + o + u] = horizontal_sum(s[u]) + (bias ? bias[o + u] : 0.0f);
        }
    }
}

static void k_linear_rows(const float *x, size_t x_stride, size_t rows, ck_type type, const void *weight,
                          size_t weight_stride, const float *bias, float *y, size_t y_stride, size_t outputs,
                          size_t inputs) {
    // One copy of the loops per type, with the conversion inlined.
    switch (type) {
    case CK_F32:
        return linear_rows_of(x, x_stride, rows, CK_F32, weight, weight_stride, bias, y, y_stride, outputs, inputs);
    case CK_F16:
        return linear_rows_of(x, x_stride, rows, CK_F16, weight, weight_stride, bias, y, y_stride, outputs, inputs);
    case CK_BF16:
        return linear_rows_of(x, x_stride, rows, CK_BF16, weight, weight_stride, bias, y, y_stride, outputs, inputs);
    }
}

// One tile of c = a b, rows x (vectors * 16) and at most eight vectors, which stays in registers; the last vector has
// `last` columns.
INLINE void tile(size_t rows, size_t vectors, const float *a, size_t a_stride, const float *b, size_t b_stride,
                 float *c, size_t c_stride, size_t depth, size_t last) {
    vf s[8][2];
    for (size_t r = 0; r < rows; r++)
        for (size_t u = 0; u < vectors; u++) s[r][u] = 0;
    for (size_t k = 0; k < depth; k++) {
        vf line[2];
        for (size_t u = 0; u < vectors; u++)
            line[u] = load_some(b + k * b_stride + u * LANES, u + 1 < vectors ? LANES : last);
        for (size_t r = 0; r < rows; r++) {
            const vf factor = splat(a[r * a_stride + k]);
            for (size_t u = 0; u < vectors; u++) s[r][u] = fma16(factor, line[u], s[r][u]);
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t u = 0; u < vectors; u++)
            store_some(c + r * c_stride + u * LANES, s[r][u], u + 1 < vectors ? LANES : last);
}

// Constant rows, vectors and last make each call its own fully unrolled tile.
INLINE void tile_column(size_t vectors, const float *a, size_t a_stride, const float *b, size_t b_stride, float *c,
                        size_t c_stride, size_t rows, size_t depth, size_t last) {
    enum { MOST = CK_TILE_VECTORS };
    size_t i = 0;
    for (; i + MOST / vectors <= rows; i += MOST / vectors)
        tile(MOST / vectors, vectors, a + i * a_stride, a_stride, b, b_stride, c + i * c_stride, c_stride, depth, last);
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

typedef float v4 __attribute__((ext_vector_type(4)));

// transposed[d, key] = k[key, d] for 4 x 4 numbers.
INLINE void transpose_square(const float *k, size_t k_stride, float *transposed, size_t padded) {
    v4 r[4];
    for (size_t i = 0; i < 4; i++) memcpy(&r[i], k + i * k_stride, sizeof r[i]);
    const v4 a = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5), b = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
    const v4 c = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7), d = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    const v4 lines[4] = {
        __builtin_shufflevector(a, b, 0, 1, 4, 5),
        __builtin_shufflevector(a, b, 2, 3, 6, 7),
        __builtin_shufflevector(c, d, 0, 1, 4, 5),
        __builtin_shufflevector(c, d, 2, 3, 6, 7),
    };
    for (size_t i = 0; i < 4; i++) memcpy(transposed + i * padded, &lines[i], sizeof lines[i]);
}

// transposed[d, key] = k[key, d], the rows padded with zeros to `padded` keys.
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
