// Matrix products in tiles whose sums stay in registers over the whole depth.
//
// Every element is one chain of fused multiply-adds in the order of the depth, so its bits do not depend on the tile, the
// rows computed beside it, the thread or the instruction set. The weight comes in panels of PANEL columns,
// [depth][PANEL], which stay in the second-level cache while all rows pass.

enum { PANEL = CK_PANEL, MAX_TILE_ROWS = 14 };

// Beyond this depth a panel and a tile's rows leave the second-level cache; sums continue in the output.
enum { DEPTH_BLOCK = CK_DEPTH_BLOCK };

// Adds bias and earlier sums to a tile [rows, PANEL], applies the activation and writes the result.
INLINE void finish_tile_of(const float *tile, size_t rows, size_t columns, bool continues, bool ends,
                           const ck_output *out, size_t row, size_t column, ck_activation activation) {
    for (size_t r = 0; r < rows; r++) {
        const float *gate = out->gate;
        if (gate && out->gate_rows) gate += (out->first_row + row + r) / out->gate_rows * out->gate_stride;
        for (size_t j = 0; j < columns; j += LANES) {
            const size_t count = columns - j, index = column + j;
            vf v = load(tile + r * PANEL + j);
            float *const y = out->y ? out->y + (row + r) * out->y_stride + index : NULL;
            if (continues) v += load_some(y, count);
            if (ends) {
                if (out->bias) v += load_some(out->bias + index, count);
                v = activate(v, activation);
                if (out->narrow) store_narrow(out->narrow + (row + r) * out->narrow_stride + index, v, count);
                if (out->residual) {
                    float *const x = out->residual + (row + r) * out->residual_stride + index;
                    const vf old = load_some(x, count);
                    store_some(x, gate ? fma16(load_some(gate + index, count), v, old) : old + v, count);
                }
            }
            if (y) store_some(y, v, count);
        }
    }
}

static __attribute__((noinline)) void finish_tile(const float *tile, size_t rows, size_t columns, bool continues,
                                                  bool ends, const ck_output *out, size_t row, size_t column) {
    switch (ends ? out->activation : CK_NONE) {
    case CK_NONE: return finish_tile_of(tile, rows, columns, continues, ends, out, row, column, CK_NONE);
    case CK_GELU_TANH: return finish_tile_of(tile, rows, columns, continues, ends, out, row, column, CK_GELU_TANH);
    case CK_GELU: return finish_tile_of(tile, rows, columns, continues, ends, out, row, column, CK_GELU);
    case CK_QUICK_GELU: return finish_tile_of(tile, rows, columns, continues, ends, out, row, column, CK_QUICK_GELU);
    case CK_SILU: return finish_tile_of(tile, rows, columns, continues, ends, out, row, column, CK_SILU);
    case CK_RELU: return finish_tile_of(tile, rows, columns, continues, ends, out, row, column, CK_RELU);
    }
}
