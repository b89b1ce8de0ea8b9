// Normalisations and rotary embeddings. Sums use four independent accumulators to hide the latency of the addition.

INLINE vf square_of_difference(vf x, vf mean, size_t count) {
    const vf d = keep(x - mean, count, splat(0.0f));
    return d * d;
}

INLINE float sum_of(const float *x, size_t count) {
    vf s[4] = {0, 0, 0, 0};
    size_t j = 0;
    for (; j + 4 * LANES <= count; j += 4 * LANES)
        for (size_t u = 0; u < 4; u++) s[u] += load(x + j + u * LANES);
    for (; j < count; j += LANES) s[0] += load_some(x + j, count - j);
    return horizontal_sum((s[0] + s[1]) + (s[2] + s[3]));
}

// The sum of (x - mean)^2.
INLINE float squares_of(const float *x, size_t count, float mean) {
    const vf m = splat(mean);
    vf s[4] = {0, 0, 0, 0};
    size_t j = 0;
    for (; j + 4 * LANES <= count; j += 4 * LANES) {
        for (size_t u = 0; u < 4; u++) {
            const vf d = load(x + j + u * LANES) - m;
            s[u] = fma16(d, d, s[u]);
        }
    }
    for (; j < count; j += LANES) s[0] += square_of_difference(load_some(x + j, count - j), m, count - j);
    return horizontal_sum((s[0] + s[1]) + (s[2] + s[3]));
}

INLINE float inverse_root(float x) { return 1.0f / __builtin_elementwise_sqrt(x); }

static void k_layer_norm(const float *x, size_t x_stride, const float *scale, float base, const float *shift,
                         float epsilon, float *y, uint16_t *narrow, size_t y_stride, size_t rows,
                         size_t columns) {
    const float n = (float)columns;
    for (size_t i = 0; i < rows; i++, x += x_stride) {
        const float mean = sum_of(x, columns) / n;
        const float factor = inverse_root(squares_of(x, columns, mean) / n + epsilon);
        for (size_t j = 0; j < columns; j += LANES) {
            const size_t count = columns - j;
            vf v = (load_some(x + j, count) - splat(mean)) * splat(factor);
            if (scale) v *= splat(base) + load_some(scale + j, count);
            if (shift) v += load_some(shift + j, count);
            if (y) store_some(y + i * y_stride + j, v, count);
            else store_narrow(narrow + i * y_stride + j, v, count);
        }
    }
}

static void k_rms_norm(const float *x, size_t x_stride, const float *weight, float epsilon, float *y, size_t y_stride,
                       size_t rows, size_t columns) {
    for (size_t i = 0; i < rows; i++, x += x_stride, y += y_stride) {
        const float factor = inverse_root(squares_of(x, columns, 0.0f) / (float)columns + epsilon);
        for (size_t j = 0; j < columns; j += LANES) {
            const vf v = load_some(x + j, columns - j) * splat(factor);
            store_some(y + j, v * load_some(weight + j, columns - j), columns - j);
        }
    }
}

static void k_rotary(const float *x, size_t x_stride, const float *weight, float epsilon, const float *cosine,
                     const float *sine, float *y, uint16_t *narrow, size_t y_stride, size_t rows, size_t heads,
                     size_t dimension) {
    for (size_t i = 0; i < rows; i++, cosine += dimension, sine += dimension) {
        for (size_t h = 0; h < heads; h++) {
            const float *const head = x + i * x_stride + h * dimension;
            const size_t first = i * y_stride + h * dimension;
            vf factor = 0;
            if (weight) factor = splat(inverse_root(squares_of(head, dimension, 0.0f) / (float)dimension + epsilon));
            for (size_t j = 0; j < dimension; j += LANES) {
                const size_t count = dimension - j;
                vf v = load_some(head + j, count);
                if (weight) v = v * factor * load_some(weight + j, count);
                const vf partner = __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
                const vf rotated = partner * load_some(sine + j, count);
                const vf result = fma16(v, load_some(cosine + j, count), rotated);
                if (narrow) store_narrow(narrow + first + j, result, count);
                else store_some(y + first + j, result, count);
            }
        }
    }
}
