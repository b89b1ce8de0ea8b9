// Products of float32 rows with a weight as stored, which is widened and transposed panel by panel.

// panel[k, o] = weight[o, k]: `outputs` rows of the weight from `element` on, zeros beyond them.
static void pack_panel(ck_type type, const void *weight, size_t element, size_t stride, size_t outputs, size_t depth,
                       float *panel) {
    for (size_t half = 0; half < PANEL; half += LANES)
        for (size_t k = 0; k < depth; k += LANES) {
            vf square[LANES];
            for (size_t o = 0; o < LANES; o++) {
                const size_t index = element + (half + o) * stride + k;
                if (half + o >= outputs) square[o] = 0;
                else if (type == CK_F32) square[o] = load_stored(CK_F32, weight, index, depth - k);
                else if (type == CK_F16) square[o] = load_stored(CK_F16, weight, index, depth - k);
                else square[o] = load_stored(CK_BF16, weight, index, depth - k);
            }
            transpose_16x16(square);
            for (size_t i = 0; i < smaller(LANES, depth - k); i++) store(panel + (k + i) * PANEL + half, square[i]);
        }
}

// Asks for rows first to last of the weight from `element` on, `depth` elements of each.
static void prefetch_rows(ck_type type, const void *weight, size_t element, size_t stride, size_t first, size_t last,
                          size_t depth) {
    const size_t size = type == CK_F32 ? sizeof(float) : sizeof(uint16_t);
    for (size_t o = first; o < last; o++) {
        const char *row = (const char *)weight + (element + o * stride) * size;
        for (size_t byte = 0; byte < depth * size; byte += 64) __builtin_prefetch(row + byte, 0, 2);
    }
}

// `rows` is a constant. Half a panel at a time where sixteen registers do not hold two vectors per row.
INLINE void f32_tile(size_t rows, const float *x, size_t x_stride, const float *panel, size_t depth, float *tile) {
    UNROLL for (size_t half = 0; half < PANEL / LANES; half += CK_GEMM_VECTORS) {
        vf s[MAX_TILE_ROWS][CK_GEMM_VECTORS];
        UNROLL for (size_t r = 0; r < rows; r++)
            UNROLL for (size_t u = 0; u < CK_GEMM_VECTORS; u++) s[r][u] = 0;
        const float *line = panel + half * LANES;
        for (size_t k = 0; k < depth; k++, line += PANEL) {
            vf w[CK_GEMM_VECTORS];
            UNROLL for (size_t u = 0; u < CK_GEMM_VECTORS; u++) w[u] = load(line + u * LANES);
            UNROLL for (size_t r = 0; r < rows; r++) {
                const vf factor = splat(x[r * x_stride + k]);
                UNROLL for (size_t u = 0; u < CK_GEMM_VECTORS; u++) s[r][u] = fma16(factor, w[u], s[r][u]);
            }
        }
        UNROLL for (size_t r = 0; r < rows; r++)
            UNROLL for (size_t u = 0; u < CK_GEMM_VECTORS; u++) store(tile + r * PANEL + (half + u) * LANES, s[r][u]);
    }
}

#define CK_TILE_CASE(n) \
    case n: \
        if (n <= CK_GEMM_ROWS) f32_tile(n, x, x_stride, panel, depth, tile); \
        return;

static __attribute__((noinline)) void f32_tile_of(size_t rows, const float *x, size_t x_stride, const float *panel,
                                                  size_t depth, float *tile) {
    switch (rows) {
        CK_TILE_CASE(1) CK_TILE_CASE(2) CK_TILE_CASE(3) CK_TILE_CASE(4) CK_TILE_CASE(5) CK_TILE_CASE(6)
        CK_TILE_CASE(7) CK_TILE_CASE(8) CK_TILE_CASE(9) CK_TILE_CASE(10) CK_TILE_CASE(11) CK_TILE_CASE(12)
        CK_TILE_CASE(13) CK_TILE_CASE(14)
    }
}
#undef CK_TILE_CASE

static void k_product(const float *x, size_t x_stride, size_t rows, ck_type type, const void *weight,
                      size_t weight_stride, size_t first, size_t last, size_t depth, const ck_output *out,
                      float *scratch) {
    float tile[MAX_TILE_ROWS * PANEL];
    const size_t tiles = (rows + CK_GEMM_ROWS - 1) / CK_GEMM_ROWS;
    for (size_t k = 0; k < depth; k += DEPTH_BLOCK) {
        const size_t block = smaller(DEPTH_BLOCK, depth - k);
        for (size_t column = first; column < last; column += PANEL) {
            const size_t columns = smaller(PANEL, last - column);
            pack_panel(type, weight, column * weight_stride + k, weight_stride, columns, block, scratch);
            // The next panel comes from memory while this one is multiplied: its many rows are no stream to the processor.
            const size_t next = column + PANEL, next_columns = next < last ? smaller(PANEL, last - next) : 0;
            for (size_t t = 0; t < tiles; t++) {
                const size_t row = rows * t / tiles, count = rows * (t + 1) / tiles - row;
                prefetch_rows(type, weight, next * weight_stride + k, weight_stride, next_columns * t / tiles,
                              next_columns * (t + 1) / tiles, block);
                f32_tile_of(count, x + row * x_stride + k, x_stride, scratch, block, tile);
                finish_tile(tile, count, columns, k > 0, k + block == depth, out, row, column);
            }
        }
    }
}

static void k_panel_product(const float *x, size_t x_stride, size_t rows, const float *panel, size_t columns,
                            size_t depth, float *y, size_t y_stride) {
    const ck_output out = {.y = y, .y_stride = y_stride};
    float tile[MAX_TILE_ROWS * PANEL];
    const size_t tiles = (rows + CK_GEMM_ROWS - 1) / CK_GEMM_ROWS;
    for (size_t k = 0; k < depth; k += DEPTH_BLOCK) {
        const size_t block = smaller(DEPTH_BLOCK, depth - k);
        for (size_t t = 0; t < tiles; t++) {
            const size_t row = rows * t / tiles, count = rows * (t + 1) / tiles - row;
            f32_tile_of(count, x + row * x_stride + k, x_stride, panel + k * PANEL, block, tile);
            finish_tile(tile, count, columns, true, false, &out, row, 0);
        }
    }
}
