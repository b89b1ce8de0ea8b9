// 3 x 3 convolutions of channels-last maps by minimal filtering (Winograd; arXiv 1509.09308): a tile of outputs takes fewer
// multiplications, because input windows and filters are transformed to positions that are multiplied one by one.
//
// CK_WINOGRAD_2 and CK_WINOGRAD_4 are F(2 x 2, 3 x 3) and F(4 x 4, 3 x 3), the latter at the points 0, 3/4, -3/4, 3/2, -3/2
// and infinity, whose error is a third of that of the usual 0, 1, -1, 2, -2. CK_WINOGRAD_UPSAMPLED convolves a map doubled
// by repeating its pixels: each window holds three distinct pixels a, b, c, whose two outputs per direction are
// w0 (a - b) + (w0 + w1 + w2) b and (w0 + w1 + w2) b + w2 (c - b).

typedef double vd __attribute__((ext_vector_type(16)));

enum { MAX_WINDOW = 6, MAX_TILE = 4, PATCH_CHANNELS = CK_PATCH_CHANNELS, PATCH_SIDE = CK_BLOCK_SIDE + 2 };

// Pixels of an input window, and the step between windows, along one direction.
INLINE size_t window_side(ck_winograd method) {
    return method == CK_WINOGRAD_4 ? 6 : method == CK_WINOGRAD_2 ? 4 : 3;
}
INLINE size_t window_step(ck_winograd method) {
    return method == CK_WINOGRAD_4 ? 4 : method == CK_WINOGRAD_2 ? 2 : 1;
}
// Outputs of a tile along one direction.
INLINE size_t tile_side(ck_winograd method) { return method == CK_WINOGRAD_4 ? 4 : 2; }

// Three taps, `step` apart, to the positions; in double, because it happens once.
INLINE void transform_taps(ck_winograd method, const vd *g, size_t step, vd *u, size_t u_step) {
    const vd a = g[0], b = g[step], c = g[2 * step];
    switch (method) {
    case CK_WINOGRAD_2:
        u[0] = a;
        u[u_step] = 0.5 * (a + b + c);
        u[2 * u_step] = 0.5 * (a - b + c);
        u[3 * u_step] = c;
        return;
    case CK_WINOGRAD_4: {
        const vd near = a + 0.5625 * c, far = a + 2.25 * c;
        u[0] = a / 1.265625;
        u[u_step] = (near + 0.75 * b) / -1.8984375;
        u[2 * u_step] = (near - 0.75 * b) / -1.8984375;
        u[3 * u_step] = (far + 1.5 * b) / 7.59375;
        u[4 * u_step] = (far - 1.5 * b) / 7.59375;
        u[5 * u_step] = c;
        return;
    }
    case CK_WINOGRAD_UPSAMPLED:
        u[0] = a;
        u[u_step] = a + b + c;
        u[2 * u_step] = c;
    }
}

INLINE void transform_window(ck_winograd method, const vf *d, size_t step, vf *v, size_t v_step) {
    switch (method) {
    case CK_WINOGRAD_2:
        v[0] = d[0] - d[2 * step];
        v[v_step] = d[step] + d[2 * step];
        v[2 * v_step] = d[2 * step] - d[step];
        v[3 * v_step] = d[step] - d[3 * step];
        return;
    case CK_WINOGRAD_4: {
        const vf d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step];
        const vf even = fma16(d2, splat(-2.25f), d4), odd = fma16(d1, splat(-2.25f), d3);
        const vf even2 = fma16(d2, splat(-0.5625f), d4), odd2 = fma16(d1, splat(-0.5625f), d3);
        v[0] = fma16(d[0], splat(1.265625f), fma16(d2, splat(-2.8125f), d4));
        v[v_step] = fma16(odd, splat(0.75f), even);
        v[2 * v_step] = fma16(odd, splat(-0.75f), even);
        v[3 * v_step] = fma16(odd2, splat(1.5f), even2);
        v[4 * v_step] = fma16(odd2, splat(-1.5f), even2);
        v[5 * v_step] = fma16(d1, splat(1.265625f), fma16(d3, splat(-2.8125f), d[5 * step]));
        return;
    }
    case CK_WINOGRAD_UPSAMPLED:
        v[0] = d[0] - d[step];
        v[v_step] = d[step];
        v[2 * v_step] = d[2 * step] - d[step];
    }
}

INLINE void transform_products(ck_winograd method, const vf *m, size_t step, vf *y, size_t y_step) {
    switch (method) {
    case CK_WINOGRAD_2:
        y[0] = (m[0] + m[step]) + m[2 * step];
        y[y_step] = (m[step] - m[2 * step]) - m[3 * step];
        return;
    case CK_WINOGRAD_4: {
        const vf sum = m[step] + m[2 * step], difference = m[step] - m[2 * step];
        const vf sum2 = m[3 * step] + m[4 * step], difference2 = m[3 * step] - m[4 * step];
        y[0] = (m[0] + sum) + sum2;
        y[y_step] = fma16(difference2, splat(1.5f), difference * splat(0.75f));
        y[2 * y_step] = fma16(sum2, splat(2.25f), sum * splat(0.5625f));
        y[3 * y_step] = fma16(difference2, splat(3.375f), fma16(difference, splat(0.421875f), m[5 * step]));
        return;
    }
    case CK_WINOGRAD_UPSAMPLED:
        y[0] = m[0] + m[step];
        y[y_step] = m[step] + m[2 * step];
    }
}

// Filters of one input channel for sixteen outputs from `first` on, [position] in `u`.
INLINE void transform_filters(ck_winograd method, const float *weight, size_t stride, size_t first, size_t outputs,
                              size_t channel, vf u[MAX_WINDOW * MAX_WINDOW]) {
    const size_t side = window_side(method);
    vd g[9] = {0}, rows[3 * MAX_WINDOW], result[MAX_WINDOW * MAX_WINDOW];
    for (size_t o = first; o < smaller(outputs, first + LANES); o++)
        for (size_t tap = 0; tap < 9; tap++) g[tap][o - first] = weight[o * stride + 9 * channel + tap];
    for (size_t x = 0; x < 3; x++) transform_taps(method, g + x, 3, rows + x, 3);
    for (size_t i = 0; i < side; i++) transform_taps(method, rows + 3 * i, 1, result + side * i, 1);
    for (size_t p = 0; p < side * side; p++) u[p] = __builtin_convertvector(result[p], vf);
}

static void k_winograd_weights(ck_winograd method, const float *weight, size_t weight_stride, size_t outputs,
                               size_t inputs, size_t position_stride, float *panel, uint16_t *narrow) {
    const size_t positions = window_side(method) * window_side(method);
    for (size_t c = 0; c < inputs; c += 2) {
        for (size_t half = 0; half < PANEL; half += LANES) {
            vf u[2][MAX_WINDOW * MAX_WINDOW] = {0};
            for (size_t i = 0; i < smaller(2, inputs - c); i++)
                transform_filters(method, weight, weight_stride, half, outputs, c + i, u[i]);
            for (size_t p = 0; p < positions; p++) {
                if (narrow) {
                    const vu first = __builtin_convertvector(narrow_bf16(u[0][p]), vu);
                    const vu pairs = first | __builtin_convertvector(narrow_bf16(u[1][p]), vu) << 16;
                    memcpy(narrow + p * position_stride + c * PANEL + 2 * half, &pairs, sizeof pairs);
                } else {
                    store(panel + p * position_stride + c * PANEL + half, u[0][p]);
                    if (c + 1 < inputs) store(panel + p * position_stride + (c + 1) * PANEL + half, u[1][p]);
                }
            }
        }
    }
}

INLINE vf normalized(vf x, const ck_normalization *n, size_t c, size_t count) {
    return fma16(x - load_some(n->mean + c, count), load_some(n->scale + c, count), load_some(n->shift + c, count));
}

static void k_normalize(const float *x, size_t x_stride, const ck_normalization *normalization, float *y,
                        size_t y_stride, size_t pixels, size_t channels) {
    for (size_t i = 0; i < pixels; i++, x += x_stride, y += y_stride)
        for (size_t c = 0; c < channels; c += LANES)
            store_some(y + c, normalized(load_some(x + c, channels - c), normalization, c, channels - c),
                       channels - c);
}

// The pixels that a block's windows read, [rows][columns][lanes], from channel `first` on: zeros outside the map.
static void fill_patch(const ck_winograd_block *b, const float *x, size_t x_stride, const ck_normalization *normalization,
                       size_t first, size_t lanes, size_t rows, size_t columns, float *patch) {
    const size_t step = window_step(b->method), rest = b->channels - first;
    for (size_t row = 0; row < rows; row++) {
        const size_t y = b->first_row * step + row - 1;  // wraps above the map
        for (size_t column = 0; column < columns; column++, patch += lanes) {
            const size_t z = b->first_column * step + column - 1;
            if (y >= b->height || z >= b->width) {
                memset(patch, 0, lanes * sizeof(float));
                continue;
            }
            const float *const pixel = x + (y * b->width + z) * x_stride + first;
            for (size_t c = 0; c < lanes; c += LANES) {
                vf v = load_some(pixel + c, rest - c);
                if (normalization->mean) {
                    v = normalized(v, normalization, first + c, rest - c);
                    v = sigmoid_product(v, v);
                }
                store(patch + c, v);
            }
        }
    }
}

// `method` is a constant.
INLINE void transform_patch(ck_winograd method, const ck_winograd_block *b, const float *patch, size_t columns,
                            size_t lanes, float *v, uint16_t *narrow, size_t position_stride, size_t row_stride) {
    const size_t side = window_side(method), step = window_step(method), line = columns * lanes;
    size_t tile = 0;
    for (size_t row = 0; row < b->rows; row++) {
        for (size_t column = 0; column < b->columns; column++, tile++) {
            const float *const window = patch + row * step * line + column * step * lanes;
            for (size_t c = 0; c < lanes; c += LANES) {
                vf d[MAX_WINDOW * MAX_WINDOW], t[MAX_WINDOW * MAX_WINDOW];
                UNROLL for (size_t z = 0; z < side; z++) {
                    UNROLL for (size_t y = 0; y < side; y++) d[y] = load(window + y * line + z * lanes + c);
                    transform_window(method, d, 1, t + z, side);
                }
                UNROLL for (size_t y = 0; y < side; y++) {
                    transform_window(method, t + y * side, 1, d, 1);
                    UNROLL for (size_t z = 0; z < side; z++) {
                        const size_t index = (y * side + z) * position_stride + tile * row_stride + c;
                        if (narrow) store_narrow(narrow + index, d[z], LANES);
                        else store(v + index, d[z]);
                    }
                }
            }
        }
    }
}

static void k_winograd_input(const ck_winograd_block *block, const float *x, size_t x_stride,
                             const ck_normalization *normalization, float *v, uint16_t *narrow, size_t position_stride,
                             size_t row_stride, float *patch) {
    const size_t step = window_step(block->method), rows = block->rows * step + 2, columns = block->columns * step + 2;
    for (size_t first = 0; first < block->channels; first += PATCH_CHANNELS) {
        const size_t rest = smaller(PATCH_CHANNELS, block->channels - first), lanes = (rest + LANES - 1) / LANES * LANES;
        fill_patch(block, x, x_stride, normalization, first, lanes, rows, columns, patch);
        float *const wide = v ? v + first : NULL;
        uint16_t *const half = narrow ? narrow + first : NULL;
        switch (block->method) {
#define CK_METHOD(name) \
    case name: \
        if (half) transform_patch(name, block, patch, columns, lanes, NULL, half, position_stride, row_stride); \
        else transform_patch(name, block, patch, columns, lanes, wide, NULL, position_stride, row_stride); \
        break;
            CK_METHOD(CK_WINOGRAD_2) CK_METHOD(CK_WINOGRAD_4) CK_METHOD(CK_WINOGRAD_UPSAMPLED)
#undef CK_METHOD
        }
    }
}

static void k_panel_rows(const float *x, size_t x_stride, size_t rows, const float *panel, size_t depth, float *y) {
    const size_t tiles = (rows + CK_GEMM_ROWS - 1) / CK_GEMM_ROWS;
    for (size_t t = 0; t < tiles; t++) {
        const size_t row = rows * t / tiles, count = rows * (t + 1) / tiles - row;
        f32_tile_of(count, x + row * x_stride, x_stride, panel, depth, y + row * PANEL);
    }
}

// Mean and sum of squared deviations of each channel over a block of pixels.
INLINE void moments_of(const float *x, size_t x_stride, size_t width, size_t rows, size_t columns, size_t channels,
                       float *mean, float *deviations) {
    const vf share = splat(1.0f / (float)(rows * columns));
    for (size_t c = 0; c < channels; c += LANES) {
        const size_t count = channels - c;
        vf sum = 0, squares = 0;
        for (size_t row = 0; row < rows; row++)
            for (size_t column = 0; column < columns; column++)
                sum += load_some(x + (row * width + column) * x_stride + c, count);
        const vf average = sum * share;
        for (size_t row = 0; row < rows; row++)
            for (size_t column = 0; column < columns; column++) {
                const vf d = load_some(x + (row * width + column) * x_stride + c, count) - average;
                squares = fma16(d, d, squares);
            }
        store_some(mean + c, average, count);
        store_some(deviations + c, squares, count);
    }
}

static void k_moments(const float *x, size_t x_stride, size_t width, size_t rows, size_t columns, size_t channels,
                      float *mean, float *deviations) {
    moments_of(x, x_stride, width, rows, columns, channels, mean, deviations);
}

// One panel of the products of a block to outputs. `method` is a constant.
INLINE void transform_panel(ck_winograd method, const ck_winograd_block *b, const float *m, size_t position_stride,
                            const float *bias, bool adds, float *y, size_t y_stride, size_t height, size_t width,
                            size_t outputs) {
    const size_t side = window_side(method), out = tile_side(method);
    for (size_t row = 0; row < b->rows; row++) {
        for (size_t column = 0; column < b->columns; column++, m += PANEL) {
            const size_t top = (b->first_row + row) * out, left = (b->first_column + column) * out;
            for (size_t c = 0; c < outputs; c += LANES) {
                const size_t count = outputs - c;
                vf d[MAX_WINDOW], t[MAX_TILE * MAX_WINDOW];
                UNROLL for (size_t z = 0; z < side; z++) {
                    UNROLL for (size_t i = 0; i < side; i++) d[i] = load(m + (i * side + z) * position_stride + c);
                    transform_products(method, d, 1, t + z, side);
                }
                const vf offset = bias ? load_some(bias + c, count) : splat(0.0f);
                UNROLL for (size_t i = 0; i < out; i++) {
                    if (top + i >= height) break;
                    transform_products(method, t + i * side, 1, d, 1);
                    float *const pixel = y + ((top + i) * width + left) * y_stride + c;
                    UNROLL for (size_t z = 0; z < out; z++) {
                        if (left + z >= width) break;
                        vf v = d[z] + offset;
                        if (adds) v += load_some(pixel + z * y_stride, count);
                        store_some(pixel + z * y_stride, v, count);
                    }
                }
            }
        }
    }
}

static void k_winograd_output(const ck_winograd_block *block, const float *products, size_t position_stride,
                              size_t panel_stride, size_t outputs, const float *bias, bool adds, float *y,
                              size_t y_stride, float *mean, float *deviations) {
    const size_t scale = block->method == CK_WINOGRAD_UPSAMPLED ? 2 : 1, out = tile_side(block->method);
    const size_t height = block->height * scale, width = block->width * scale;
    const size_t top = block->first_row * out, left = block->first_column * out;
    for (size_t first = 0; first < outputs; first += PANEL, products += panel_stride) {
        const size_t count = smaller(PANEL, outputs - first);
        switch (block->method) {
#define CK_METHOD(name) \
    case name: \
        transform_panel(name, block, products, position_stride, bias ? bias + first : NULL, adds, y + first, y_stride, \
                        height, width, count); \
        break;
            CK_METHOD(CK_WINOGRAD_2) CK_METHOD(CK_WINOGRAD_4) CK_METHOD(CK_WINOGRAD_UPSAMPLED)
#undef CK_METHOD
        }
        if (mean)
            moments_of(y + (top * width + left) * y_stride + first, y_stride, width,
                       smaller(block->rows * out, height - top), smaller(block->columns * out, width - left), count,
                       mean + first, deviations + first);
    }
}
