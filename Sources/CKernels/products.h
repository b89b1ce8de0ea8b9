// Products of a few rows with a stored weight, where reading the weight dominates.

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
