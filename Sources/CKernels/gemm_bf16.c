// Products in bfloat16 with float32 sums, for processors with AVX512_BF16.
//
// A weight is packed once: panels of PANEL outputs, [panel][pair of inputs][PANEL][2], zero-padded to whole panels and
// pairs. The rows are row-major, so a pair of adjacent elements is broadcast against a panel's line.
#include "table.h"

size_t ck_bf16_packed_count(size_t outputs, size_t inputs) { return (outputs + 31) / 32 * 32 * ((inputs + 1) / 2 * 2); }

#if defined(__x86_64__)
#include <immintrin.h>

bool ck_has_bf16(void) {
    __builtin_cpu_init();
    return ck_best_level() >= CK_AVX512 && __builtin_cpu_supports("avx512bf16") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,avx2,fma,f16c"))), apply_to = function)
#include "vector_avx512.h"

#include "gemm.h"

void ck_bf16_pack(ck_type type, const void *weight, size_t weight_stride, size_t outputs, size_t inputs,
                  uint16_t *packed) {
    const size_t pairs = (inputs + 1) / 2;
    for (size_t first = 0; first < outputs; first += PANEL, packed += pairs * 2 * PANEL) {
        for (size_t o = 0; o < PANEL; o++) {
            for (size_t k = 0; k < inputs; k += LANES) {
                vh line = 0;
                if (first + o < outputs)
                    line = narrow_bf16(load_stored(type, weight, (first + o) * weight_stride + k, inputs - k));
                for (size_t i = 0; i < smaller(LANES, 2 * pairs - k); i++)
                    packed[((k + i) / 2 * PANEL + o) * 2 + i % 2] = line[i];
            }
        }
    }
}

// `rows` is a constant.
INLINE void bf16_tile(size_t rows, const uint16_t *x, size_t x_stride, const uint16_t *panel, size_t pairs,
                      float *tile) {
    __m512 s[MAX_TILE_ROWS][2];
    UNROLL for (size_t r = 0; r < rows; r++) s[r][0] = s[r][1] = _mm512_setzero_ps();
    for (size_t k = 0; k < pairs; k++, panel += 2 * PANEL) {
        const __m512bh low = (__m512bh)_mm512_loadu_si512(panel), high = (__m512bh)_mm512_loadu_si512(panel + PANEL);
        UNROLL for (size_t r = 0; r < rows; r++) {
            int pair;
            memcpy(&pair, x + r * x_stride + 2 * k, sizeof pair);
            const __m512bh factor = (__m512bh)_mm512_set1_epi32(pair);
            s[r][0] = _mm512_dpbf16_ps(s[r][0], factor, low);
            s[r][1] = _mm512_dpbf16_ps(s[r][1], factor, high);
        }
    }
    UNROLL for (size_t r = 0; r < rows; r++) {
        _mm512_storeu_ps(tile + r * PANEL, s[r][0]);
        _mm512_storeu_ps(tile + r * PANEL + LANES, s[r][1]);
    }
}

#define CK_TILE_CASE(n) \
    case n: bf16_tile(n, x, x_stride, panel, pairs, tile); return;

static __attribute__((noinline)) void bf16_tile_of(size_t rows, const uint16_t *x, size_t x_stride,
                                                   const uint16_t *panel, size_t pairs, float *tile) {
    switch (rows) {
        CK_TILE_CASE(1) CK_TILE_CASE(2) CK_TILE_CASE(3) CK_TILE_CASE(4) CK_TILE_CASE(5) CK_TILE_CASE(6)
        CK_TILE_CASE(7) CK_TILE_CASE(8) CK_TILE_CASE(9) CK_TILE_CASE(10) CK_TILE_CASE(11) CK_TILE_CASE(12)
        CK_TILE_CASE(13) CK_TILE_CASE(14)
    }
}
#undef CK_TILE_CASE

static void avx512_product(const uint16_t *x, size_t x_stride, size_t rows, const uint16_t *packed, size_t first,
                           size_t last, size_t depth, const ck_output *out) {
    float tile[MAX_TILE_ROWS * PANEL];
    const size_t tiles = (rows + MAX_TILE_ROWS - 1) / MAX_TILE_ROWS, pairs = (depth + 1) / 2;
    for (size_t k = 0; k < depth; k += DEPTH_BLOCK) {
        const size_t block = smaller(DEPTH_BLOCK, depth - k);
        for (size_t column = first; column < last; column += PANEL) {
            const size_t columns = smaller(PANEL, last - column);
            const uint16_t *const panel = packed + (column / PANEL * pairs + k / 2) * 2 * PANEL;
            for (size_t t = 0; t < tiles; t++) {
                const size_t row = rows * t / tiles, count = rows * (t + 1) / tiles - row;
                bf16_tile_of(count, x + row * x_stride + k, x_stride, panel, (block + 1) / 2, tile);
                finish_tile(tile, count, columns, k > 0, k + block == depth, out, row, column);
            }
        }
    }
}

void ck_bf16_panel_rows(const uint16_t *x, size_t x_stride, size_t rows, const uint16_t *panel, size_t depth,
                        float *y) {
    const size_t tiles = (rows + MAX_TILE_ROWS - 1) / MAX_TILE_ROWS;
    for (size_t t = 0; t < tiles; t++) {
        const size_t row = rows * t / tiles, count = rows * (t + 1) / tiles - row;
        bf16_tile_of(count, x + row * x_stride, x_stride, panel, (depth + 1) / 2, y + row * PANEL);
    }
}

#pragma clang attribute pop

// The same product with AMX. A register holds a tile of 16 rows: of x and of sums 16 x 64 bytes as they are in memory, of a
// panel 16 pairs by 16 outputs. Sums are kept apart for the first and second elements of 16 pairs, so their bits differ
// from those of avx512_product, but depend on nothing but the depth.
#pragma clang attribute push( \
    __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16,avx2,fma,f16c,amx-tile,amx-bf16"))), \
    apply_to = function)

enum { AMX_ROWS = 16, AMX_PAIRS = 16, AMX_TILE_ROWS = 2 * AMX_ROWS, LINE = 2 * AMX_PAIRS };

// The palette of eight registers, all of 16 rows of 64 bytes.
static const struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} amx_registers = {
    .palette = 1,
    .row_bytes = {64, 64, 64, 64, 64, 64, 64, 64},
    .rows = {16, 16, 16, 16, 16, 16, 16, 16},
};

// The first `count` elements of up to 16 rows, padded with zeros.
INLINE const uint16_t *padded_rows(const uint16_t *x, size_t x_stride, size_t rows, size_t count,
                                   uint16_t lines[AMX_ROWS * LINE]) {
    const __mmask32 lanes = count < LINE ? (1u << count) - 1 : ~0u;
    for (size_t r = 0; r < AMX_ROWS; r++)
        _mm512_storeu_si512(lines + r * LINE, r < rows ? _mm512_maskz_loadu_epi16(lanes, x + r * x_stride)
                                                       : _mm512_setzero_si512());
    return lines;
}

// tile = x * panel for up to 32 rows; `pairs` is the depth.
static void amx_tile(const uint16_t *x, size_t x_stride, size_t rows, const uint16_t *panel, size_t pairs, float *tile) {
    uint16_t lines[AMX_ROWS * LINE], weights[AMX_PAIRS * 2 * PANEL];
    const bool has_second = rows > AMX_ROWS;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (size_t k = 0; k < pairs; k += AMX_PAIRS, x += LINE, panel += AMX_PAIRS * 2 * PANEL) {
        const bool is_whole = pairs - k >= AMX_PAIRS;
        const size_t count = is_whole ? LINE : 2 * (pairs - k);
        const uint16_t *from = panel;
        if (!is_whole) {
            memset(weights, 0, sizeof weights);
            from = memcpy(weights, panel, (pairs - k) * 2 * PANEL * sizeof *panel);
        }
        _tile_loadd(6, from, 2 * PANEL * sizeof *from);
        _tile_loadd(7, from + PANEL, 2 * PANEL * sizeof *from);
        if (is_whole && rows >= AMX_ROWS) _tile_loadd(4, x, x_stride * sizeof *x);
        else _tile_loadd(4, padded_rows(x, x_stride, smaller(rows, AMX_ROWS), count, lines), LINE * sizeof *x);
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        if (!has_second) continue;
        const uint16_t *const second = x + AMX_ROWS * x_stride;
        if (is_whole && rows == AMX_TILE_ROWS) _tile_loadd(5, second, x_stride * sizeof *x);
        else _tile_loadd(5, padded_rows(second, x_stride, rows - AMX_ROWS, count, lines), LINE * sizeof *x);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, tile, PANEL * sizeof *tile);
    _tile_stored(1, tile + LANES, PANEL * sizeof *tile);
    if (!has_second) return;
    _tile_stored(2, tile + AMX_ROWS * PANEL, PANEL * sizeof *tile);
    _tile_stored(3, tile + AMX_ROWS * PANEL + LANES, PANEL * sizeof *tile);
}

static void amx_product(const uint16_t *x, size_t x_stride, size_t rows, const uint16_t *packed, size_t first,
                        size_t last, size_t depth, const ck_output *out) {
    float tile[AMX_TILE_ROWS * PANEL];
    const size_t pairs = (depth + 1) / 2;
    _tile_loadconfig(&amx_registers);
    for (size_t k = 0; k < depth; k += DEPTH_BLOCK) {
        const size_t block = smaller(DEPTH_BLOCK, depth - k);
        for (size_t column = first; column < last; column += PANEL) {
            const size_t columns = smaller(PANEL, last - column);
            const uint16_t *const panel = packed + (column / PANEL * pairs + k / 2) * 2 * PANEL;
            for (size_t row = 0; row < rows; row += AMX_TILE_ROWS) {
                const size_t count = smaller(AMX_TILE_ROWS, rows - row);
                amx_tile(x + row * x_stride + k, x_stride, count, panel, (block + 1) / 2, tile);
                finish_tile(tile, count, columns, k > 0, k + block == depth, out, row, column);
            }
        }
    }
    _tile_release();
}
#pragma clang attribute pop

void ck_bf16_product(const uint16_t *x, size_t x_stride, size_t rows, const uint16_t *packed, size_t first, size_t last,
                     size_t depth, const ck_output *out) {
    (ck_current_level() == CK_AMX ? amx_product : avx512_product)(x, x_stride, rows, packed, first, last, depth, out);
}
#else

bool ck_has_bf16(void) { return false; }

void ck_bf16_pack(ck_type type, const void *weight, size_t weight_stride, size_t outputs, size_t inputs,
                  uint16_t *packed) {
    (void)type, (void)weight, (void)weight_stride, (void)outputs, (void)inputs, (void)packed;
}

void ck_bf16_product(const uint16_t *x, size_t x_stride, size_t rows, const uint16_t *packed, size_t first, size_t last,
                     size_t depth, const ck_output *out) {
    (void)x, (void)x_stride, (void)rows, (void)packed, (void)first, (void)last, (void)depth, (void)out;
}

void ck_bf16_panel_rows(const uint16_t *x, size_t x_stride, size_t rows, const uint16_t *panel, size_t depth,
                        float *y) {
    (void)x, (void)x_stride, (void)rows, (void)panel, (void)depth, (void)y;
}
#endif
