// Elementwise operations on strided matrices.

static void k_exp(const float *x, float *y, size_t count) {
    for (size_t j = 0; j < count; j += LANES) store_some(y + j, exp16(load_some(x + j, count - j)), count - j);
}

static void k_tanh(const float *x, float *y, size_t count) {
    for (size_t j = 0; j < count; j += LANES) store_some(y + j, tanh16(load_some(x + j, count - j)), count - j);
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

// `activation` is a constant at each call site, so the compiler hoists the switch out of the loop.
INLINE void activation_rows(const float *x, size_t x_stride, float *y, uint16_t *narrow, size_t y_stride, size_t rows,
                            size_t columns, ck_activation activation) {
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j += LANES) {
            const vf v = activate(load_some(x + i * x_stride + j, columns - j), activation);
            if (narrow) store_narrow(narrow + i * y_stride + j, v, columns - j);
            else store_some(y + i * y_stride + j, v, columns - j);
        }
}

static void k_activate(const float *x, size_t x_stride, float *y, uint16_t *narrow, size_t y_stride, size_t rows,
                         size_t columns, ck_activation activation) {
    switch (activation) {
    case CK_NONE: return activation_rows(x, x_stride, y, narrow, y_stride, rows, columns, CK_NONE);
    case CK_GELU_TANH: return activation_rows(x, x_stride, y, narrow, y_stride, rows, columns, CK_GELU_TANH);
    case CK_GELU: return activation_rows(x, x_stride, y, narrow, y_stride, rows, columns, CK_GELU);
    case CK_QUICK_GELU: return activation_rows(x, x_stride, y, narrow, y_stride, rows, columns, CK_QUICK_GELU);
    case CK_SILU: return activation_rows(x, x_stride, y, narrow, y_stride, rows, columns, CK_SILU);
    case CK_RELU: return activation_rows(x, x_stride, y, narrow, y_stride, rows, columns, CK_RELU);
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
