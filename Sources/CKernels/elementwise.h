// Elementwise operations on strided matrices.

static void k_exp(const float *x, float *y, size_t count) {
    for (size_t j = 0; j < count; j += LANES) store_some(y + j, exp16(load_some(x + j, count - j)), count - j);
}

static void k_tanh(const float *x, float *y, size_t count) {
    for (size_t j = 0; j < count; j += LANES) store_some(y + j, tanh16(load_some(x + j, count - j)), count - j);
}

// `activation` is a constant at each call site, so the compiler hoists the switch out of the loop.
INLINE void bias_activation_rows(float *y, size_t stride, const float *bias, size_t rows, size_t columns,
                                 ck_activation activation) {
    for (size_t i = 0; i < rows; i++, y += stride) {
        for (size_t j = 0; j < columns; j += LANES) {
            const size_t count = columns - j;
            vf v = load_some(y + j, count);
            if (bias) v += load_some(bias + j, count);
            store_some(y + j, activate(v, activation), count);
        }
    }
}

static void k_bias_activation(float *y, size_t stride, const float *bias, size_t rows, size_t columns,
                              ck_activation activation) {
    switch (activation) {
    case CK_NONE:
        if (bias) bias_activation_rows(y, stride, bias, rows, columns, CK_NONE);
        return;
    case CK_GELU_TANH: return bias_activation_rows(y, stride, bias, rows, columns, CK_GELU_TANH);
    case CK_GELU: return bias_activation_rows(y, stride, bias, rows, columns, CK_GELU);
    case CK_QUICK_GELU: return bias_activation_rows(y, stride, bias, rows, columns, CK_QUICK_GELU);
    case CK_SILU: return bias_activation_rows(y, stride, bias, rows, columns, CK_SILU);
    case CK_RELU: return bias_activation_rows(y, stride, bias, rows, columns, CK_RELU);
    }
}

static void k_gated_add(float *x, size_t x_stride, const float *y, size_t y_stride, const float *gate, size_t rows,
                        size_t columns) {
    for (size_t i = 0; i < rows; i++, x += x_stride, y += y_stride) {
        for (size_t j = 0; j < columns; j += LANES) {
            const size_t count = columns - j;
            const vf a = load_some(x + j, count), b = load_some(y + j, count);
            store_some(x + j, gate ? fma16(load_some(gate + j, count), b, a) : a + b, count);
        }
    }
}

static void k_multiply(float *x, size_t x_stride, const float *y, size_t y_stride, size_t rows, size_t columns) {
    for (size_t i = 0; i < rows; i++, x += x_stride, y += y_stride)
        for (size_t j = 0; j < columns; j += LANES)
            store_some(x + j, load_some(x + j, columns - j) * load_some(y + j, columns - j), columns - j);
}

static void k_axpby(float a, const float *x, size_t x_stride, float b, float *y, size_t y_stride, size_t rows,
                    size_t columns) {
    for (size_t i = 0; i < rows; i++, x += x_stride, y += y_stride) {
        for (size_t j = 0; j < columns; j += LANES) {
            const vf scaled = splat(b) * load_some(y + j, columns - j);
            store_some(y + j, fma16(splat(a), load_some(x + j, columns - j), scaled), columns - j);
        }
    }
}

static void k_rotary(float *x, size_t stride, const float *cosine, const float *sine, size_t rows, size_t heads,
                     size_t dimension) {
    for (size_t i = 0; i < rows; i++, x += stride, cosine += dimension, sine += dimension) {
        for (size_t h = 0; h < heads; h++) {
            float *head = x + h * dimension;
            for (size_t j = 0; j < dimension; j += LANES) {
                const size_t count = dimension - j;
                const vf v = load_some(head + j, count);
                const vf partner = __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
                const vf rotated = partner * load_some(sine + j, count);
                store_some(head + j, fma16(v, load_some(cosine + j, count), rotated), count);
            }
        }
    }
}

static void k_widen(ck_type type, const void *source, float *destination, size_t count) {
    switch (type) {
    case CK_F32: memcpy(destination, source, count * sizeof(float)); return;
    case CK_F16:
        for (size_t j = 0; j < count; j += LANES)
            store_some(destination + j, load_stored(CK_F16, source, j, count - j), count - j);
        return;
    case CK_BF16:
        for (size_t j = 0; j < count; j += LANES)
            store_some(destination + j, load_stored(CK_BF16, source, j, count - j), count - j);
        return;
    }
}

static void k_narrow(const float *source, uint16_t *destination, size_t count) {
    for (size_t j = 0; j < count; j += LANES) store_narrow(destination + j, load_some(source + j, count - j), count - j);
}
