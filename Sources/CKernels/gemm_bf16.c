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
    return ck_best_level() == CK_AVX512 && __builtin_cpu_supports("avx512bf16") &&
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

void ck_bf16_product(const uint16_t *x, size_t x_stride, size_t rows, const uint16_t *packed, size_t first, size_t last,
                     size_t depth, const ck_output *out) {
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
